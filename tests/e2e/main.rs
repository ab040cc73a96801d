//! Real processes, real stores, real signals: the program as its users run it.
//!
//! `guarantees.md` names the tests here. Each starts its own servers on its own ports with its own folder, and ends what it started by process id.

mod activities;
mod bad_input;
mod bombs;
#[path = "../support/certificates.rs"]
mod certificates;
mod checker;
#[path = "../support/cluster.rs"]
mod cluster;
mod commands;
mod crash;
mod demo;
mod draining;
mod durability;
mod examples;
mod failover;
mod fleet;
mod full_disk;
mod lost_grants;
mod operations;
mod points;
mod pool;
mod probes;
#[path = "../support/process.rs"]
mod process;
mod reload;
#[path = "../support/sentinel.rs"]
mod sentinel;
mod shop;
mod shutdown;
mod takeover;
mod tour;
mod workload;
