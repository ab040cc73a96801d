//! Reads the source of a workflow and of its scripts; never runs it.
//!
//! Owns what may be written: syntax, imports, names, the shape of a module; which top levels may be shared between runs; and
//! TypeScript without its types. Invariants: pure functions of the text, no I/O, no runtime; no text, however hostile, overflows
//! the stack. Deliberately absent: types are not checked, only removed.

mod check;
mod exports;
mod imports;
mod module;
mod names;
mod nesting;
mod position;
mod references;
mod render;
mod shareable;
mod strip;
#[cfg(test)]
mod tests;
mod typescript;

pub use check::{SOURCE_PLACE, check, script_place};
pub use names::{EVERLOOP, activity_name_problem, nearest};
pub use render::render;
pub use shareable::shareable;
pub use strip::strip_types;
