//! After an outage of the store, or a start of this service, no session expires until a whole time-to-live has passed: the
//! workers could not renew.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// When the store was last seen not to answer, or the service began.
#[derive(Debug)]
pub struct Gate {
    base: Instant,
    /// 0: there was none; the service began.
    outage_ms: AtomicU64,
    /// The last answer did not come.
    is_away: AtomicBool,
}

impl Gate {
    /// As after an outage that ends now.
    #[must_use]
    pub fn new() -> Self {
        Self { base: Instant::now(), outage_ms: AtomicU64::new(0), is_away: AtomicBool::new(false) }
    }

    /// The store did not answer just now.
    pub fn outage(&self) {
        self.is_away.store(true, Ordering::Relaxed);
        self.mark();
    }

    /// The store answered. Between its last silence and this answer nobody knows since when it could have.
    pub fn answered(&self) {
        if self.is_away.load(Ordering::Relaxed) && self.is_away.swap(false, Ordering::Relaxed) {
            self.mark();
        }
    }

    fn mark(&self) {
        let ms = u64::try_from(self.base.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        self.outage_ms.fetch_max(ms, Ordering::Relaxed);
    }

    /// Whether the store was seen not to answer since then.
    #[must_use]
    pub fn outage_since(&self, then: Instant) -> bool {
        let outage_ms = self.outage_ms.load(Ordering::Relaxed);
        outage_ms > 0 && self.base + Duration::from_millis(outage_ms) >= then
    }

    /// For how long the store has answered without a gap.
    #[must_use]
    pub fn calm(&self) -> Duration {
        self.base.elapsed().saturating_sub(Duration::from_millis(self.outage_ms.load(Ordering::Relaxed)))
    }
}
