//! The operator against a real API server: resources are applied by kubectl, runs run on real workers beside it.
//!
//! `control_plane.rs` starts the API server. There is no node (tests/node has one): pods stay pending, and workers are processes of
//! this machine.

mod another_store;
mod clocks;
mod control_plane;
mod discovery;
mod external;
mod installation;
mod leading;
mod leaving;
mod pools;
#[path = "../support/process.rs"]
mod process;
#[path = "../support/redis.rs"]
mod redis;
mod relay;
mod rights;
mod rules;
mod runs;
mod scale_in;
mod scaling;
mod setup;
mod workflows;

/// What the API server knows before any test, by its place in the repository.
const APPLIED: &[&str] = &["crds", "deploy/operator-rbac.yaml"];
