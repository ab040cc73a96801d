//! Everloop: an event loop that does not die.
//!
//! Users write an ordinary `async` function; it runs durably: every step is committed to a store before the next one, so any
//! worker can take the run's next turn, and the death of any process loses nothing.
//!
//! The words: a *workflow* has *versions*; a *run* of one has a *mailbox* of *events*, a *journal* of *turns* and at most one turn
//! at a time; a turn's *commands* ask for *activities* and *timers*; a *worker* takes turns and activities under *leases*, which
//! hang on its *session*. `docs/concepts.md` has them all.
//!
//! Where truth lives: in the [`store`], and nowhere else. The [`queue`] service is stateless; a [`worker`] holds nothing that it
//! cannot lose.
//!
//! The layers, downwards only: [`cli`], [`dev`] | [`queue`], [`worker`], [`operator`] | [`store`], [`client`], [`crd`], [`discovery`] | [`machine`], [`source`],
//! [`telemetry`], [`clock`] | [`api`]; [`simulate`] stands on [`machine`] alone. `tests/layers.rs` holds them.

pub mod api;
pub mod cli;
pub mod client;
pub mod clock;
pub mod crd;
pub mod definitions;
pub mod dev;
pub mod discovery;
#[cfg(test)]
mod generated;
pub mod machine;
pub mod operator;
pub mod queue;
pub mod simulate;
pub mod source;
pub mod store;
pub mod telemetry;
pub mod worker;
