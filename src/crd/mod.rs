//! The custom resources as Rust types, and their YAML.
//!
//! Owns what a `Workflow` document may contain and what is said about one that is wrong: every finding has a line, a column and
//! the path of the field. Invariants: what [`parse`] returns keeps every rule of [`validate`]. Deliberately absent: filling in
//! defaults of policies (a version is the hash of what was written), and any contact with a cluster.

mod check;
mod read;
pub mod resources;
mod rules;
#[cfg(test)]
mod tests;
mod workflow;
mod yaml;

pub use check::check_workflow;
pub use rules::{Violation, validate};
pub use workflow::{API_VERSION, KIND, POOL_DEFAULT, Parsed, ParsedWorkflow, SourceText, parse};
