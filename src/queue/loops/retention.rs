//! Removes closed runs whose retention is over.

use std::time::Duration;

use super::pause;
use crate::queue::service::{Service, Shared};
use crate::store::StoreError;

/// Between two slices: removing is never urgent, so it leaves the store to others.
const BREATH: Duration = Duration::from_millis(5);

/// Runs until shutdown.
pub async fn run(service: Shared) {
    loop {
        if let Err(error) = service.sweep().await {
            tracing::debug!(%error, "old runs were not removed");
        }
        if !pause(&service.shutdown, service.config.sweep_every).await {
            return;
        }
    }
}

impl Service {
    async fn sweep(&self) -> Result<(), StoreError> {
        for partition in self.partitions() {
            loop {
                let swept = self.store.sweep(partition, self.clock.for_store()).await?;
                self.metrics.swept.inc_by(swept.runs.into());
                if !swept.more || !pause(&self.shutdown, BREATH).await {
                    break;
                }
            }
        }
        Ok(())
    }
}
