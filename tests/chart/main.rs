//! The chart without a node: Helm renders it, and a real API server takes what it renders, refuses what is wrong, and is upgraded,
//! rolled back and left. Pods stay pending; what they do is tested where there is a node.

mod beside;
#[path = "../support/certificates.rs"]
mod certificates;
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

/// The definitions of the resources are the cluster's: held by the test that deletes them, and by those that send them and take no
/// warning, such as the one of a definition that is being deleted.
static DEFINITIONS: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// Waits for them. That another test failed meanwhile is its own matter.
fn definitions_of_the_cluster() -> std::sync::MutexGuard<'static, ()> {
    DEFINITIONS.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The API server knows nothing of Everloop but what a test brings.
const APPLIED: &[&str] = &[];
