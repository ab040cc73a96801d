//! What the store publishes, passed on to those who wait at this replica.

use tokio::sync::broadcast::error::RecvError;

use super::service::{Service, Shared};
use super::stations;
use super::watchers::News;
use crate::store::op::Wake;

/// Runs until shutdown. What is missed (a slow reader) makes everybody look.
pub async fn run(service: Shared) {
    let mut wakes = service.store.watch();
    loop {
        let wake = tokio::select! {
            wake = wakes.recv() => wake,
            () = service.shutdown.cancelled() => return,
        };
        match wake {
            Ok(wake) => service.wake(wake),
            Err(RecvError::Lagged(missed)) => {
                tracing::debug!(missed, "too slow for the store's wakes: everybody looks");
                service.wake(Wake::All);
            }
            Err(RecvError::Closed) => return,
        }
    }
}

impl Service {
    fn wake(&self, wake: Wake) {
        match wake {
            Wake::Pool { partition, pool } => {
                self.stations.wake(&stations::pool(&pool), partition);
                self.loads.tell();
            }
            Wake::Queue { partition, queue } => self.stations.wake(&stations::queue(&queue), partition),
            Wake::Closed(run) => self.watchers.tell(&run, News::End),
            Wake::Changed(partition) => self.feeds.tell(partition),
            Wake::Due { partition, at } => self.due(partition, at),
            Wake::All => {
                self.stations.wake_all();
                self.watchers.tell_all();
                self.feeds.tell_all();
                self.loads.tell();
                for due in &self.due {
                    due.look();
                }
            }
        }
    }
}
