//! Who waits for changes of any run that is followed: which partitions have news.
//!
//! A hint, not the truth: a word can be missed, so who waits also looks by itself every few seconds.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

use crate::api::Partition;

/// See the module.
#[derive(Debug)]
pub struct Feeds {
    /// Of each partition: how often it had news.
    news: Vec<AtomicU64>,
    /// Told when any has.
    changed: Notify,
}

impl Feeds {
    /// Without news.
    #[must_use]
    pub fn new(partitions: u16) -> Self {
        Self { news: (0..partitions).map(|_| AtomicU64::new(0)).collect(), changed: Notify::new() }
    }

    /// A partition has news.
    pub fn tell(&self, partition: Partition) {
        if let Some(news) = self.news.get(usize::from(partition.0)) {
            news.fetch_add(1, Ordering::AcqRel);
        }
        self.changed.notify_waiters();
    }

    /// Any may have.
    pub fn tell_all(&self) {
        for news in &self.news {
            news.fetch_add(1, Ordering::AcqRel);
        }
        self.changed.notify_waiters();
    }

    /// How often each had news so far. What comes after this ends the waiting for [`Feeds::changed`] that was enabled before it.
    #[must_use]
    pub fn so_far(&self) -> Vec<u64> {
        self.news.iter().map(|news| news.load(Ordering::Acquire)).collect()
    }

    /// Told when there are news.
    #[must_use]
    pub fn changed(&self) -> &Notify {
        &self.changed
    }
}
