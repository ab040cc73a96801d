//! The words that every part shares: ids, times, limits, errors, and the shapes that travel.
//!
//! Owns the wire types and their checks. Invariants: no I/O, no clock, no randomness, no runtime; a value of a type
//! from here has passed its check. Deliberately absent: decisions (they are in `machine`).

pub mod definition;
pub mod error;
pub mod http;
pub mod ids;
pub mod journal;
pub mod json;
pub mod limits;
pub mod run;
mod schema;
pub mod signals;
pub mod time;
pub mod worker;

pub use definition::Definition;
pub use error::{Code, Problem};
pub use ids::{Attempt, CommandNo, Head, Name, Origin, Partition, RunId, RunKey, Seq, SessionId, Uid, Version};
pub use journal::{Command, Entry, Event};
pub use json::Json;
pub use run::{RunError, RunStatus, RunView};
pub use time::{DurationMs, TimeMs};
