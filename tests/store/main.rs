//! What every store must do: one conformance suite, run on all of them.
//!
//! A store is plugged in at one place: `stores.rs`.

mod conformance;
mod stores;
mod world;
