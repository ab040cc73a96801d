//! Ends sessions that were not renewed in time, and finishes ends that somebody began.

use std::collections::BTreeMap;
use std::time::Duration;

use super::pause;
use crate::api::Partition;
use crate::queue::service::{Service, Shared};
use crate::queue::sessions::{BROKE, FIRST};
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
        let mut expired = BTreeMap::<_, Vec<Partition>>::new();
        for partition in self.partitions() {
            for session in self.store.expired_sessions(partition, self.clock.for_store()).await? {
                expired.entry(session).or_default().push(partition);
            }
        }
        for (session, places) in expired {
            // Time ends it in all partitions at once. Who ends it in the first alone has seen its stream break.
            let broke = places == [FIRST] && self.info.partitions > 1;
            self.end_session(&session, if broke { BROKE } else { "expired" }).await?;
        }
        Ok(())
    }
}
