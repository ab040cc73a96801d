//! What every store must do: one conformance suite, run on all of them.
//!
//! A store is plugged in at one place: `stores.rs`.

mod conformance;
#[path = "../support/redis.rs"]
#[allow(dead_code, reason = "the crash tests use more of it")]
mod server;
mod stores;
mod world;
