//! Definition files: found in folders, split into documents, read and checked. What `apply`, `check` and `dev` share.
//!
//! Deliberately absent: what a document may hold (that is `crd`), and sending it anywhere.

mod find;
mod read;
#[cfg(test)]
mod tests;

use crate::api::definition::Workflow;
use crate::api::error::Finding;
use crate::api::{Name, Version};
use crate::source;

pub use find::{LoadError, load};
pub use read::read;

/// A document in which nothing is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The file, as it was named; `-` for stdin.
    pub place: String,
    /// `metadata.namespace`, when it is there.
    pub namespace: Option<Name>,
    /// What it defines.
    pub workflow: Workflow,
}

impl Document {
    /// The version of what it defines.
    #[must_use]
    pub fn version(&self) -> Version {
        self.workflow.definition.version()
    }
}

/// A document in which something is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The file.
    pub place: String,
    /// The whole text of it: the findings' lines are lines of this.
    pub text: String,
    /// At least one.
    pub findings: Vec<Finding>,
}

impl Broken {
    /// For a terminal, with carets.
    #[must_use]
    pub fn render(&self) -> String {
        source::render(&self.findings, &self.text)
    }
}

/// What files hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Definitions {
    /// In the order of the files.
    pub documents: Vec<Document>,
    /// Likewise.
    pub broken: Vec<Broken>,
    /// A sentence for each document that is none of ours.
    pub skipped: Vec<String>,
}

impl Definitions {
    /// All documents, when all are in order.
    ///
    /// # Errors
    /// The findings of all the others as text for a terminal.
    pub fn checked(self) -> Result<Vec<Document>, String> {
        if self.broken.is_empty() {
            return Ok(self.documents);
        }
        let findings: usize = self.broken.iter().map(|broken| broken.findings.len()).sum();
        let texts: Vec<_> = self.broken.iter().map(Broken::render).collect();
        let (s, these) = if findings == 1 { ("", "it") } else { ("s", "them") };
        Err(format!("{}\nerror: {findings} finding{s}; nothing was sent: correct {these} and type the same again\n", texts.join("\n")))
    }
}
