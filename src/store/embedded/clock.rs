//! The store's clock: the only one that counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::api::TimeMs;

/// Where the store's time comes from.
pub trait Clock: Send + Sync + 'static {
    /// The present moment. May jump; the store does not follow it backwards.
    fn now(&self) -> TimeMs;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> TimeMs {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        TimeMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

/// A clock that stands where it was put.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock at this time.
    #[must_use]
    pub fn at(time: TimeMs) -> Self {
        Self(AtomicU64::new(time.0))
    }

    /// Puts it there.
    pub fn set(&self, time: TimeMs) {
        self.0.store(time.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> TimeMs {
        TimeMs(self.0.load(Ordering::SeqCst))
    }
}

/// A clock that never goes back while the process lives.
#[derive(Clone)]
pub(super) struct StoreClock {
    clock: Arc<dyn Clock>,
    seen: Arc<AtomicU64>,
}

impl StoreClock {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, seen: Arc::default() }
    }

    pub(super) fn now(&self) -> TimeMs {
        let now = self.clock.now();
        TimeMs(self.seen.fetch_max(now.0, Ordering::SeqCst).max(now.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_back_holds_the_store_at_the_latest_time_seen() {
        let manual = Arc::new(ManualClock::at(TimeMs(100)));
        let clock = StoreClock::new(manual.clone());
        assert_eq!(clock.now(), TimeMs(100));
        manual.set(TimeMs(40));
        assert_eq!(clock.now(), TimeMs(100));
        manual.set(TimeMs(101));
        assert_eq!(clock.now(), TimeMs(101));
    }
}
