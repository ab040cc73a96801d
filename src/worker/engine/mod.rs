//! The JavaScript engine behind a seam of plain data: [`TurnInput`] in, [`TurnOutput`] out; no live handle crosses it.
//! The only user of `rquickjs`.

pub mod seam;

pub use seam::{Engine, EngineLimits, TurnInput, TurnOutcome, TurnOutput};
