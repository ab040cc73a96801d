//! The Redis store against a real server: each operation, its refusals and its repeats; what it costs; what survives.

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
