//! The chart without a node: Helm renders it, and a real API server takes what it renders, refuses what is wrong, and is upgraded,
//! rolled back and left. Pods stay pending; what they do is tested where there is a node.

mod beside;
#[path = "../cluster/control_plane.rs"]
#[allow(dead_code, reason = "other test programs do more with their control plane")]
mod control_plane;
mod fit;
mod generated;
mod helm;
mod lifecycle;
mod page;
mod people;
mod policies;
#[path = "../support/process.rs"]
mod process;
mod refused;
mod rendered;
mod unchangeable;
mod waiting;
mod without_helm;

/// The API server knows nothing of Everloop but what a test brings.
const APPLIED: &[&str] = &[];
