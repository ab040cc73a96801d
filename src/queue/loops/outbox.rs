//! Carries messages between runs: from the outbox of each partition to the mailboxes of the receivers, in their order. A message
//! leaves the outbox when its receiver's partition has applied it; every replica may carry it, and it is applied once.

use std::time::Duration;

use super::pause;
use crate::api::Partition;
use crate::api::limits::SLICE_MAX;
use crate::queue::service::{Service, Shared};
use crate::store::StoreError;
use crate::store::op::{Parcel, Receive};

/// Look at least so often: a replica may have died between a commit and the carrying.
const LOOK_EVERY: Duration = Duration::from_secs(2);

impl Service {
    /// Something lies in a partition's outbox.
    pub fn outgoing(&self, partition: Partition) {
        if let Some(waiting) = self.outgoing.get(usize::from(partition.0)) {
            waiting.notify_one();
        }
    }

    /// Carries what waits, of each receiver a slice; whether more waits.
    async fn carry(&self, from: Partition) -> Result<bool, StoreError> {
        let mut more = false;
        for Parcel { to, first, messages } in self.store.outbox(from).await? {
            let last = first + u64::try_from(messages.len()).unwrap_or(u64::MAX) - 1;
            let is_slice = messages.len() == SLICE_MAX;
            let now = self.clock.for_store();
            let received = self.store.receive(Receive { from, to, first, messages, now }).await?;
            if received.replied {
                self.outgoing(to);
            }
            if received.last >= first {
                self.metrics.messages.inc_by(received.last.min(last) - first + 1);
                self.store.sent(from, to, received.last).await?;
            }
            more |= is_slice && received.last >= last;
        }
        Ok(more)
    }
}

/// Runs until shutdown.
pub async fn run(service: Shared, partition: Partition) {
    let waiting = &service.outgoing[usize::from(partition.0)];
    loop {
        match service.carry(partition).await {
            Ok(true) if !service.shutdown.is_cancelled() => continue,
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, partition = partition.0, "messages between runs wait"),
        }
        tokio::select! {
            slept = pause(&service.shutdown, LOOK_EVERY) => if !slept { return },
            () = waiting.notified() => {}
        }
    }
}
