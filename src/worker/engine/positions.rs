//! From the position that QuickJS gives a call to the position of the call.
//!
//! QuickJS gives a call the position of the last name inside of its parentheses. The call itself is the nearest `name(`
//! before it whose parenthesis is still open there. Where none is found, the given position stands: the line is right
//! anyway, but for arguments over several lines.

/// Lines that the arguments of one call are looked for over.
const CALL_LINES_MAX: usize = 40;

/// A source with its lines.
#[derive(Debug, Default)]
pub struct Positions {
    text: String,
    line_starts: Vec<usize>,
}

impl Positions {
    pub fn of(text: &str) -> Self {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text: text.to_owned(), line_starts }
    }

    /// The source.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The line and column, from 1, of the call of `name` that is at the given ones.
    pub fn call_of(&self, name: &str, line: usize, column: usize) -> Option<(usize, usize)> {
        let line_start = *self.line_starts.get(line.checked_sub(1)?)?;
        let given = line_start + self.text[line_start..].char_indices().nth(column.checked_sub(1)?)?.0;
        if self.text[given..].starts_with(name) {
            return Some((line, column));
        }
        let from = self.line_starts[line.saturating_sub(CALL_LINES_MAX)];
        let before = &self.text[from..given];
        let start = before.rmatch_indices(name).map(|(at, _)| at).find(|at| {
            let starts_a_word = before[..*at].chars().next_back().is_none_or(|c| !is_word(c));
            starts_a_word && is_open_call(&before[at + name.len()..])
        })?;
        let start = from + start;
        let line = self.line_starts.partition_point(|line_start| *line_start <= start);
        Some((line, self.text[self.line_starts[line - 1]..start].chars().count() + 1))
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// Whether a text begins with a parenthesis that it does not close. Parentheses in strings count: a guess may fail, no more.
fn is_open_call(text: &str) -> bool {
    let Some(arguments) = text.trim_start().strip_prefix('(') else { return false };
    let mut open = 1_usize;
    for byte in arguments.bytes() {
        match byte {
            b'(' => open += 1,
            b')' if open == 1 => return false,
            b')' => open -= 1,
            _ => {}
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_call_is_found_before_its_arguments() {
        let positions = Positions::of("await pay(\n  order, f(x),\n  last);\npay(1); repay(pay(a, b), c);\nconst \u{e9} = pay(z);");
        assert_eq!(positions.call_of("pay", 1, 7), Some((1, 7)), "the call's own position");
        assert_eq!(positions.call_of("pay", 3, 3), Some((1, 7)), "over lines");
        assert_eq!(positions.call_of("pay", 4, 22), Some((4, 15)), "nested, and not the one that is closed");
        assert_eq!(positions.call_of("repay", 4, 26), Some((4, 9)));
        assert_eq!(positions.call_of("pay", 5, 15), Some((5, 11)), "columns are characters");
        assert_eq!(positions.call_of("other", 3, 3), None);
        assert_eq!(positions.call_of("pay", 99, 1), None);
    }
}
