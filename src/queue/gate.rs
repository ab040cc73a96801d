//! After an outage of the store, or a start of this service, no session expires until a whole time-to-live has passed: the
//! workers could not renew.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// When the store was last seen not to answer, or the service began.
#[derive(Debug)]
pub struct Gate {
    base: Instant,
    /// 0: there was none; the service began.
    outage_ms: AtomicU64,
}

impl Gate {
    /// As after an outage that ends now.
    #[must_use]
    pub fn new() -> Self {
        Self { base: Instant::now(), outage_ms: AtomicU64::new(0) }
    }

    /// The store did not answer just now.
    pub fn outage(&self) {
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
