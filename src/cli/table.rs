//! Tables for people: columns of text, no borders, as kubectl prints them.

use comfy_table::{ContentArrangement, Row, Table, presets};

/// A table with a heading; every row has as many cells.
pub fn table(heading: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(heading.iter().map(|name| name.to_uppercase()));
    for row in rows {
        table.add_row(Row::from(row));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 3));
    }
    trimmed(&table.trim_fmt())
}

/// Lines of `name  value`; a value of several lines stays under its first one.
pub fn pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let pairs: Vec<_> = pairs.into_iter().collect();
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 3;
    let text = pairs.iter().flat_map(|(name, value)| {
        let lines = if value.is_empty() { vec![""] } else { value.lines().collect() };
        lines.into_iter().enumerate().map(move |(n, line)| format!("{:width$}{line}\n", if n == 0 { name } else { "" })).collect::<Vec<_>>()
    });
    trimmed(&text.collect::<String>())
}

fn trimmed(text: &str) -> String {
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// The terminal's width in columns, or one that suits a log and a mail.
pub fn width() -> usize {
    Table::new().width().map_or(120, usize::from).clamp(60, 400)
}

/// One line of at most `width` characters: what does not fit is cut off and shown to be.
pub fn cut(text: &str, width: usize) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.chars().count() <= width {
        return line;
    }
    line.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}
