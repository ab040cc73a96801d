//! Numbers over time as columns of blocks, for a terminal.

/// Eighths of a character, from none to all of it.
const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Lines of a chart from top to bottom, each `width` characters: the latest value is on the right, and `most` fills the height. A value above zero is
/// seen, however small. Values that do not fit on the left are left out.
pub fn chart(values: &[f64], most: f64, width: usize, height: usize) -> Vec<String> {
    let shown = &values[values.len().saturating_sub(width)..];
    let eighths: Vec<usize> = shown.iter().map(|value| filled(*value, most, height * 8)).collect();
    let line = |row: usize| {
        let below = (height - 1 - row) * 8;
        let column = |filled: &usize| BLOCKS[filled.saturating_sub(below).min(8)];
        std::iter::repeat_n(' ', width - shown.len()).chain(eighths.iter().map(column)).collect()
    };
    (0..height).map(line).collect()
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a few characters")]
fn filled(value: f64, most: f64, all: usize) -> usize {
    if value > 0.0 && most > 0.0 { ((value / most * all as f64).round() as usize).clamp(1, all) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_is_on_the_right_and_the_most_fills_the_height() {
        assert_eq!(chart(&[0.0, 1.0, 4.0, 8.0], 8.0, 6, 1), ["   ▁▄█"]);
        assert_eq!(chart(&[0.0, 4.0, 6.0, 8.0], 8.0, 4, 2), ["  ▄█", " ███"]);
        assert_eq!(chart(&[9.0, 1.0, 2.0], 2.0, 2, 1), ["▄█"], "what is too old is left out");
    }

    #[test]
    fn a_value_above_zero_is_seen_and_none_is_not() {
        assert_eq!(chart(&[0.0, 0.001, 0.0], 1_000.0, 3, 1), [" ▁ "]);
        assert_eq!(chart(&[0.0, 0.0], 0.0, 2, 1), ["  "]);
        assert_eq!(chart(&[], 1.0, 3, 2), ["   ", "   "]);
    }
}
