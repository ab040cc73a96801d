//! From byte offsets to lines and columns.

use crate::api::Code;
use crate::api::error::Finding;

/// A finding before it has a line and a column.
#[derive(Debug, Clone)]
pub(super) struct Raw {
    pub code: Code,
    pub message: String,
    pub help: String,
    /// Byte offsets, end exclusive.
    pub start: usize,
    pub end: usize,
}

impl Raw {
    /// About a span of the source.
    pub fn at(code: Code, span: oxc_span::Span, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { code, message: message.into(), help: help.into(), start: span.start as usize, end: span.end as usize }
    }

    /// With its line, its column and its length in characters; only the first line of a longer span is meant.
    pub fn place(self, source: &str, place: &str) -> Finding {
        let start = floor(source, self.start);
        let end = floor(source, self.end).max(start);
        let before = &source[..start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let meant = source[start..end].lines().next().unwrap_or_default();
        Finding {
            code: self.code,
            message: self.message,
            help: self.help,
            place: place.to_owned(),
            line: number(before.bytes().filter(|b| *b == b'\n').count() + 1),
            column: number(before[line_start..].chars().count() + 1),
            length: number(meant.chars().count().max(1)),
        }
    }
}

/// The character boundary at or before an offset.
fn floor(text: &str, offset: usize) -> usize {
    let mut at = offset.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Sources are bounded far below 4 GiB.
pub(super) fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Sorted by place, and no more than a person would read.
pub(super) fn placed(mut raw: Vec<Raw>, source: &str, place: &str) -> Vec<Finding> {
    raw.sort_by_key(|r| (r.start, r.end));
    raw.truncate(FINDINGS_MAX);
    raw.into_iter().map(|r| r.place(source, place)).collect()
}

/// Findings per module: after so many, more of them say nothing.
const FINDINGS_MAX: usize = 50;
