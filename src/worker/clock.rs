//! The store's clock, as far as a worker knows it: the latest time that an answer told, and what a monotonic
//! clock has counted since. It lags behind by the way of an answer and is never ahead, as long as both run alike.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use crate::api::TimeMs;

/// See the module.
#[derive(Debug)]
pub(super) struct StoreClock {
    origin: Instant,
    /// Store time minus the time since `origin`, in microseconds.
    offset_us: AtomicI64,
}

impl StoreClock {
    /// It knows nothing yet and says zero, which every turn before outdoes.
    pub(super) fn new() -> Self {
        Self { origin: Instant::now(), offset_us: AtomicI64::new(i64::MIN / 2) }
    }

    /// An answer told this time. A late answer does not set the clock back.
    pub(super) fn see(&self, now: TimeMs) {
        if now.0 > 0 {
            self.offset_us.fetch_max(self.offset_for(now), Ordering::Relaxed);
        }
    }

    /// The store's clock was found to be behind: believe it.
    pub(super) fn resync(&self, now: TimeMs) {
        if now.0 > 0 {
            self.offset_us.store(self.offset_for(now), Ordering::Relaxed);
        }
    }

    /// The store's time, rounded down.
    pub(super) fn now(&self) -> TimeMs {
        let us = self.offset_us.load(Ordering::Relaxed).saturating_add(self.elapsed_us());
        TimeMs(u64::try_from(us).unwrap_or(0) / 1000)
    }

    fn offset_for(&self, now: TimeMs) -> i64 {
        i64::try_from(now.0.saturating_mul(1000)).unwrap_or(i64::MAX).saturating_sub(self.elapsed_us())
    }

    fn elapsed_us(&self) -> i64 {
        i64::try_from(self.origin.elapsed().as_micros()).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_runs_ahead_goes_back_only_when_told_to_and_begins_at_zero() {
        let clock = StoreClock::new();
        assert_eq!(clock.now(), TimeMs(0));
        clock.see(TimeMs(1_000_000));
        clock.see(TimeMs(500_000));
        assert!(clock.now() >= TimeMs(1_000_000));
        clock.resync(TimeMs(500_000));
        assert!(clock.now() < TimeMs(1_000_000));
    }
}
