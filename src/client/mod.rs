//! The typed HTTP client of the queue service: one method per route.
//!
//! Owns how a call is repeated: every mutating call carries an `Idempotency-Key`, so a call whose answer was lost is sent
//! again, unchanged, until it is answered or the caller's [`Patience`] is used up. Deliberately absent: output, arguments, and
//! any decision about runs.

mod control;
mod error;
mod operator;
mod path;
mod probe;
mod reply;
mod runs;
mod send;
mod servers;
#[cfg(test)]
mod tests;
pub mod worker;
mod workflows;

pub use error::ClientError;
pub use probe::answers;
pub use runs::{ListRuns, new_key};
pub use send::{Client, ClientConfig, Patience};
pub use servers::Servers;
