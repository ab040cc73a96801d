//! The Redis store against a real server: each operation, its refusals and its repeats; what it costs; what survives.

#![allow(
    clippy::unwrap_used,
    clippy::unnecessary_wraps,
    clippy::unused_self,
    clippy::cast_possible_truncation,
    clippy::items_after_statements,
    reason = "tests: a panic is the failure, numbers are small, and what helpers make goes where an option is asked for"
)]

#[path = "../support/redis.rs"]
mod server;
mod world;

mod activities;
mod costs;
mod due;
mod reading;
mod servers;
mod sessions;
mod turns;
