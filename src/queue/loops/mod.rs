//! What nobody asks for and must happen: timers fire, messages are carried, sessions expire, old runs go, the clock is measured. No leader: every
//! operation is atomic and safe to repeat, so every replica runs all of them.

pub mod draining;
pub mod expiry;
pub mod measure;
pub mod outbox;
pub mod retention;
pub mod timeouts;
pub mod timers;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::service::Shared;
use super::wakes;

/// Starts what this replica does by itself; all of it ends on shutdown.
pub fn spawn(service: &Shared, tasks: &TaskTracker) {
    tasks.spawn(wakes::run(service.clone()));
    tasks.spawn(measure::run(service.clone()));
    tasks.spawn(draining::run(service.clone()));
    if !service.config.loops {
        return;
    }
    for partition in service.partitions() {
        tasks.spawn(timers::run(service.clone(), partition));
        tasks.spawn(outbox::run(service.clone(), partition));
    }
    tasks.spawn(expiry::run(service.clone()));
    tasks.spawn(retention::run(service.clone()));
}

/// Sleeps; `false` when the shutdown came first.
async fn pause(shutdown: &CancellationToken, duration: std::time::Duration) -> bool {
    tokio::select! {
        () = tokio::time::sleep(duration) => true,
        () = shutdown.cancelled() => false,
    }
}
