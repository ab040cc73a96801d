//! Findings for a terminal: where, the line, a caret under what is meant, and what to do.

use std::fmt::Write as _;

use crate::api::error::Finding;

/// Columns of a source line that are shown; of a longer one, the part around the finding.
const WIDTH: usize = 120;

/// Findings as text, each with its line of `text` when it has one. `text` is the document that the findings' lines are lines of.
#[must_use]
pub fn render(findings: &[Finding], text: &str) -> String {
    let mut out = String::new();
    for (index, finding) in findings.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        render_one(&mut out, finding, text);
    }
    out
}

fn render_one(out: &mut String, finding: &Finding, text: &str) {
    // Writing to a string cannot fail.
    let _ = match (finding.line, finding.column) {
        (0, _) => writeln!(out, "{}: {} ({})", finding.place, finding.message, finding.code),
        (line, 0) => writeln!(out, "{}:{line}: {} ({})", finding.place, finding.message, finding.code),
        (line, column) => writeln!(out, "{}:{line}:{column}: {} ({})", finding.place, finding.message, finding.code),
    };
    let line = (finding.line as usize).checked_sub(1).and_then(|at| text.lines().nth(at));
    if let Some(line) = line {
        excerpt(out, finding, line);
    }
    if !finding.help.is_empty() {
        let _ = writeln!(out, "help: {}", finding.help);
    }
}

fn excerpt(out: &mut String, finding: &Finding, line: &str) {
    let number = finding.line.to_string();
    let margin = " ".repeat(number.len());
    let column = (finding.column as usize).saturating_sub(1);
    let skipped = if column > WIDTH * 3 / 4 { column - WIDTH / 2 } else { 0 };
    let shown: String = line.chars().skip(skipped).take(WIDTH).map(printable).collect();
    let _ = writeln!(out, "{margin} |");
    let _ = writeln!(out, "{number} | {shown}");
    if finding.column > 0 {
        // Tabs stay tabs, so that the caret stands under its character whatever a tab is.
        let indent: String = line.chars().skip(skipped).take(column - skipped).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let room = WIDTH.saturating_sub(column - skipped).max(1);
        let carets = "^".repeat((finding.length as usize).clamp(1, room));
        let _ = writeln!(out, "{margin} | {indent}{carets}");
    }
}

/// A source must not move the cursor of the one who reads about it.
fn printable(char: char) -> char {
    if char.is_control() && char != '\t' { '\u{fffd}' } else { char }
}
