//! What every store must do: one conformance suite, run on all of them.
//!
//! A store is plugged in at one place: `stores.rs`. What holds for Redis alone is in `redis/`.

#![allow(
    clippy::unwrap_used,
    clippy::unnecessary_wraps,
    clippy::unused_self,
    clippy::cast_possible_truncation,
    clippy::items_after_statements,
    reason = "tests: a panic is the failure, numbers are small, and what helpers make goes where an option is asked for"
)]

#[path = "../support/certificates.rs"]
mod certificates;
#[path = "../support/cluster.rs"]
mod cluster;
mod conformance;
mod model;
#[path = "../support/process.rs"]
mod process;
mod redis;
#[path = "../support/sentinel.rs"]
mod sentinel;
#[path = "../support/redis.rs"]
mod server;
mod stores;
mod world;
