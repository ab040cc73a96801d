//! The JavaScript engine behind a seam of plain data: [`TurnInput`] in, [`TurnOutput`] out; no live handle crosses it.
//! The only user of `rquickjs`.
//!
//! From the outside in: `quickjs` keeps the cached runs; `host` is one QuickJS runtime with its heap and its limits;
//! `realm` is one context in it, with the shim of `js/`, and serves many runs of one version; `turn` applies
//! events to a run; `replay` does it for a whole journal and compares. Invariants: at most one run is current, and its jobs
//! are drained before the next; a turn that reached a limit is never handed out, and its runtime is not used again.
//! Deliberately absent: clocks (but for the CPU's), I/O, and everything about leases and commits.

mod budget;
mod errors;
pub(in crate::worker) mod heap;
mod host;
mod natives;
pub(in crate::worker) mod natives_text;
mod positions;
mod quickjs;
mod random;
mod realm;
mod replay;
mod run_state;
pub mod seam;
mod source;
mod stacks;
#[cfg(test)]
mod tests;
mod turn;

pub use quickjs::{ENGINE_NAME, FLAGS, QuickJsEngine};
pub use seam::{Engine, EngineLimits, TurnInput, TurnOutcome, TurnOutput};
pub use source::Hooks;
