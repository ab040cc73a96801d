//! What happens to a source before the engine reads it: the one place where the parser is plugged in.

/// Decisions about sources that need a parser.
#[derive(Debug, Clone, Copy)]
pub struct Hooks {
    /// TypeScript to JavaScript, with lines and columns kept. The error is a sentence with its position.
    pub prepare: fn(&str) -> Result<String, String>,
    /// The names bound at the top level, when it is immutable, so that runs may share one instance of the module; `None`: each
    /// run has its own.
    pub shareable: fn(&str) -> Option<Vec<String>>,
    /// Whether instances are in fact shared; off, every run has its own, and nothing else differs.
    pub share: bool,
}

impl Default for Hooks {
    fn default() -> Self {
        Self { prepare: prepare_source, shareable: crate::source::shareable, share: true }
    }
}

/// The source as JavaScript.
///
/// # Errors
/// A sentence, when it cannot be read.
pub fn prepare_source(source: &str) -> Result<String, String> {
    crate::source::strip_types(source, crate::source::SOURCE_PLACE).map_err(|findings| crate::source::render(&findings, source))
}

/// A shareable source with a last line that freezes what its top level binds, so that no run can leave anything in it. It is
/// added to own instances too: nobody can observe which one a run has. Lines and columns before it stay.
pub fn with_frozen_top_level(source: &str, names: &[String]) -> String {
    format!("{source}\n;import __everloopFreeze from \"everloop/internal\"; __everloopFreeze({});", names.join(", "))
}
