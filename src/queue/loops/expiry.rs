//! Ends sessions that were not renewed in time, and finishes ends that somebody began.

use std::collections::BTreeSet;
use std::time::Duration;

use super::pause;
use crate::queue::service::{Service, Shared};
use crate::store::StoreError;

/// Runs until shutdown.
pub async fn run(service: Shared) {
    let ttl = service.config.session_ttl;
    let every = (ttl / 10).clamp(Duration::from_millis(50), Duration::from_secs(1));
    while pause(&service.shutdown, every).await {
        service.sessions.forget_silent(ttl);
        // Workers could not renew while the store or this service was away.
        if service.gate.calm() < ttl {
            continue;
        }
        if let Err(error) = service.end_expired().await {
            tracing::debug!(%error, "expired sessions were not ended");
        }
    }
}

impl Service {
    async fn end_expired(&self) -> Result<(), StoreError> {
        let mut expired = BTreeSet::new();
        for partition in self.partitions() {
            expired.extend(self.store.expired_sessions(partition, self.clock.for_store()).await?);
        }
        for session in expired {
            self.end_session(&session, "expired").await?;
        }
        Ok(())
    }
}
