//! The store's clock, as another process knows it. No wall clock is ever compared with a stored time.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::api::TimeMs;

/// Two clocks that are steered by NTP, each in its own way, drift apart by at most a millisecond per second: the kernel slews by
/// no more than 500 ppm (`MAXFREQ` of `adjtimex`). Where a daemon changes the length of the tick, too, a turn is now and then
/// refused as ahead and taken once more.
const DRIFT_PARTS: i64 = 1_000;

/// What [`StoreClock::for_store`] adds: more than the bound is ever late, so that the store's own clock decides, and still a
/// bound when that clock jumps ahead.
const AHEAD_MS: u64 = 1_000;

/// A lower bound of the store's time: the best that an answer told, and what a monotonic clock has counted since, less the drift.
/// It is never ahead unless the store's clock is set back, and late by the way of an answer plus the drift since then.
#[derive(Debug)]
pub struct StoreClock {
    origin: Instant,
    known: Mutex<Known>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    store_us: i64,
    /// Since `origin`.
    at_us: i64,
}

impl Known {
    fn bound_at(self, at_us: i64) -> i64 {
        let passed = at_us.saturating_sub(self.at_us);
        self.store_us.saturating_add(passed - passed / DRIFT_PARTS)
    }
}

fn signed(us: u128) -> i64 {
    i64::try_from(us).unwrap_or(i64::MAX)
}

fn micros(now: TimeMs) -> i64 {
    signed(u128::from(now.0) * 1_000)
}

impl StoreClock {
    /// A clock that says `guess` until something is seen.
    #[must_use]
    pub fn new(guess: TimeMs) -> Self {
        Self { origin: Instant::now(), known: Mutex::new(Known { store_us: micros(guess), at_us: 0 }) }
    }

    /// The store's time, rounded down. Goes back only when the store's clock was found to be behind.
    #[must_use]
    pub fn now(&self) -> TimeMs {
        let now = self.lock().bound_at(self.since_origin(Instant::now()));
        TimeMs(u64::try_from(now).unwrap_or(0) / 1_000)
    }

    /// The `now` of operations: a store uses the smaller of it and its own clock.
    #[must_use]
    pub fn for_store(&self) -> TimeMs {
        TimeMs(self.now().0.saturating_add(AHEAD_MS))
    }

    /// An answer that has just come told this time. Zero tells nothing, and a late answer sets nothing back.
    pub fn see(&self, now: TimeMs) {
        let at_us = self.since_origin(Instant::now());
        let mut known = self.lock();
        if now.0 > 0 && micros(now) > known.bound_at(at_us) {
            *known = Known { store_us: micros(now), at_us };
        }
    }

    /// The store's clock was found to be behind: believe it.
    pub fn resync(&self, now: TimeMs) {
        if now.0 > 0 {
            *self.lock() = Known { store_us: micros(now), at_us: self.since_origin(Instant::now()) };
        }
    }

    /// The store itself said `now` between `asked` and `answered`: a bound from below, and one from above.
    pub fn measured(&self, now: TimeMs, asked: Instant, answered: Instant) {
        let (asked_us, at_us) = (self.since_origin(asked), self.since_origin(answered));
        let store_us = micros(now);
        let most = store_us.saturating_add(1_000).saturating_add(at_us - asked_us);
        let mut known = self.lock();
        let bound = known.bound_at(at_us);
        if bound < store_us || bound > most {
            *known = Known { store_us, at_us };
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn since_origin(&self, instant: Instant) -> i64 {
        signed(instant.saturating_duration_since(self.origin).as_micros())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_takes_the_best_bound_and_goes_back_only_when_told_to() {
        let clock = StoreClock::new(TimeMs(0));
        assert_eq!(clock.now(), TimeMs(0));
        clock.see(TimeMs(1_000_000));
        clock.see(TimeMs(500_000));
        assert!(clock.now() >= TimeMs(1_000_000));
        clock.resync(TimeMs(500_000));
        assert!(clock.now() < TimeMs(1_000_000));
        clock.see(TimeMs(0));
        assert!(clock.now() >= TimeMs(500_000));
    }

    /// The clock after a measurement, as microseconds of the store at the moment of its answer.
    fn measure(clock: &StoreClock, now: u64, asked_us: u64, answered_us: u64) -> i64 {
        let at = |us| clock.origin + Duration::from_micros(us);
        clock.measured(TimeMs(now), at(asked_us), at(answered_us));
        clock.lock().bound_at(signed(answered_us.into()))
    }

    #[test]
    fn a_slow_answer_does_not_set_the_clock_back_and_a_jump_is_followed() {
        let clock = StoreClock::new(TimeMs(0));
        assert_eq!(measure(&clock, 1_000_000, 10_000, 10_000), 1_000_000_000);
        // Asked at 20 ms, answered at 520 ms: between 1,000,040 and 1,000,541 is possible, so what is known stays, less the drift.
        assert_eq!(measure(&clock, 1_000_040, 20_000, 520_000), 1_000_509_490);
        // The store's clock was set back by ten seconds.
        assert_eq!(measure(&clock, 990_600, 600_000, 601_000), 990_600_000);
    }

    /// The store's clock is told in whole milliseconds, at any fraction of one; the slower it runs the sooner a bound that did
    /// not know of the drift would be ahead.
    #[test]
    fn it_is_never_ahead_of_a_slow_store_whatever_the_fraction_at_which_it_is_told() {
        let clock = StoreClock::new(TimeMs(0));
        let truth_us = |at_us: u64| 1_000_000_337 + at_us - at_us * 900 / 1_000_000;
        let mut at = 0;
        for round in 0..10_000_u64 {
            at += 1_000 + round * 7_919 % 20_011;
            let told = truth_us(at - round % 500) / 1_000;
            let bound = measure(&clock, told, at - 900, at);
            let truth = signed(truth_us(at).into());
            assert!(bound <= truth, "round {round}: {bound} is ahead of {truth}");
            assert!(truth - bound < 5_000, "round {round}: {bound} is far behind {truth}");
        }
    }
}
