//! The service's estimate of the store's clock. No wall clock of this machine is ever compared with a stored time.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use crate::api::TimeMs;

/// Store time = monotonic time of this process + an offset that is measured every few seconds.
#[derive(Debug)]
pub struct Clock {
    base: Instant,
    offset_ms: AtomicI64,
}

/// What [`Clock::for_store`] adds: more than an estimate is ever late, so that the store's own clock decides, and still a bound
/// when that clock jumps ahead.
const AHEAD_MS: u64 = 1_000;
/// The clocks of two machines drift apart by less than this between two measurements.
const DRIFT_MS: i64 = 1;

fn signed(ms: u128) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

impl Clock {
    /// A clock that says `guess` until the first measurement.
    #[must_use]
    pub fn new(guess: TimeMs) -> Self {
        Self { base: Instant::now(), offset_ms: AtomicI64::new(signed(guess.0.into())) }
    }

    /// The store's time, never ahead of it by more than the drift: for answers and for what is slept.
    #[must_use]
    pub fn now(&self) -> TimeMs {
        let ms = signed(self.base.elapsed().as_millis()).saturating_add(self.offset_ms.load(Ordering::Relaxed));
        TimeMs(u64::try_from(ms).unwrap_or_default())
    }

    /// The `now` of operations: a store uses the smaller of it and its own clock.
    #[must_use]
    pub fn for_store(&self) -> TimeMs {
        TimeMs(self.now().0.saturating_add(AHEAD_MS))
    }

    /// Takes a measurement: the store said `now` between `asked` and `answered`.
    pub fn measured(&self, now: TimeMs, asked: Instant, answered: Instant) {
        let at = |instant: Instant| signed(instant.saturating_duration_since(self.base).as_millis());
        let now = signed(now.0.into());
        let (least, most) = (now.saturating_sub(at(answered)), now.saturating_sub(at(asked)));
        // A slow answer says little: the measurement before it stays when it lies within the bounds of this one.
        let kept = self.offset_ms.load(Ordering::Relaxed).saturating_sub(DRIFT_MS);
        self.offset_ms.store(kept.clamp(least, most.max(least)), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_slow_answer_does_not_set_the_clock_back_and_a_jump_is_followed() {
        let clock = Clock::new(TimeMs(0));
        let base = clock.base;
        let at = |ms| base + Duration::from_millis(ms);
        clock.measured(TimeMs(1_000_000), at(10), at(10));
        let offset = || clock.offset_ms.load(Ordering::Relaxed);
        assert_eq!(offset(), 999_990);
        // Asked at 20, answered at 520: between 999,520 and 1,000,020 is possible.
        clock.measured(TimeMs(1_000_040), at(20), at(520));
        assert_eq!(offset(), 999_989);
        // The store's clock was set back by ten seconds.
        clock.measured(TimeMs(990_600), at(600), at(601));
        assert_eq!(offset(), 990_000);
    }
}
