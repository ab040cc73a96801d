//! What every store must do: one conformance suite and one model test for all of them, and a kill test for the file.
//!
//! A store is plugged in at one place: `stores.rs`.

mod conformance;
mod crash;
mod invariants;
mod model;
mod stores;
mod world;
