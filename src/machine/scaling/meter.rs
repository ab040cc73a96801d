//! Rates and means that follow the load and cost nothing to read: exponentially decaying sums.
//!
//! An event counts fully when it happens and half as much a half-life later. Nothing is kept but two numbers for each sum, and what is read
//! depends on the events and the time only, not on how often it is read.

use std::collections::BTreeMap;

use super::slot_time::Bucket;
use crate::api::{DurationMs, TimeMs};

/// Of a rate: short enough for a load that doubles in a minute, long enough that twenty events per second are known to a few percent.
pub const RATE_HALF_LIFE: DurationMs = DurationMs::from_secs(20);
/// Of a mean: what a piece of work takes changes with the code that does it, and one that took minutes among many that took none is no
/// reason for more pods.
pub const MEAN_HALF_LIFE: DurationMs = DurationMs::from_secs(180);

/// Events per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    since: TimeMs,
    sum: Decaying<{ RATE_HALF_LIFE.0 }>,
}

/// The mean of a duration.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Mean {
    total_ms: Decaying<{ MEAN_HALF_LIFE.0 }>,
    count: Decaying<{ MEAN_HALF_LIFE.0 }>,
}

/// A quantile of durations that are counted in buckets.
///
/// What is read is off by at most [`Bucket::ERROR_MAX`] of the exact quantile of the same durations with the same weights, half as much for each
/// half-life that they are old. There are no more sums than buckets.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Quantiles(BTreeMap<Bucket, Decaying<{ MEAN_HALF_LIFE.0 }>>);

impl Quantiles {
    /// `count` durations of a bucket that ended at `now`.
    pub fn add(&mut self, bucket: Bucket, count: u64, now: TimeMs) {
        #[expect(clippy::cast_precision_loss, reason = "counts of events are far below 2^53")]
        self.0.entry(bucket).or_default().add(count as f64, now);
    }

    /// The duration that this part of them, from 0 to 1, does not exceed; `None` before the first.
    #[must_use]
    pub fn get(&self, part: f64) -> Option<DurationMs> {
        // Of one moment: the weights of two buckets are of the times of their last ones.
        let latest = self.0.values().map(|sum| sum.at).max()?;
        let all: f64 = self.0.values().map(|sum| sum.at(latest)).sum();
        let mut below = 0.0;
        let found = self.0.iter().find(|(_, sum)| {
            below += sum.at(latest);
            below >= all * part
        });
        // The sums of doubles may differ in their last digits.
        let found = found.or_else(|| self.0.last_key_value());
        found.map(|(bucket, _)| bucket.middle())
    }
}

impl Rate {
    /// Counts from `now`.
    #[must_use]
    pub fn from(now: TimeMs) -> Self {
        Self { since: now, sum: Decaying::default() }
    }

    /// `count` events at `now`.
    pub fn add(&mut self, count: u64, now: TimeMs) {
        #[expect(clippy::cast_precision_loss, reason = "counts of events are far below 2^53")]
        self.sum.add(count as f64, now);
    }

    /// Events per second. What has been counted for less than a half-life is spread over what was counted, at least a second.
    #[must_use]
    pub fn per_second(&self, now: TimeMs) -> f64 {
        let weight_s = real(RATE_HALF_LIFE) / 1_000.0 / std::f64::consts::LN_2;
        let seen_s = real(now.since(self.since)).max(1_000.0) / 1_000.0;
        // The weight of what could have been seen so far: all of it after some half-lives.
        self.sum.at(now) / (weight_s * (1.0 - (-seen_s / weight_s).exp()))
    }
}

impl Mean {
    /// One duration that ended at `now`.
    pub fn add(&mut self, duration: DurationMs, now: TimeMs) {
        self.total_ms.add(real(duration), now);
        self.count.add(1.0, now);
    }

    /// What busy slots have used since the last time, and how many pieces of work ended meanwhile. By Little's law the quotient of such sums is
    /// the mean time of a piece, whichever of them the ended ones were.
    pub fn add_used(&mut self, used: DurationMs, ended: u64, now: TimeMs) {
        self.total_ms.add(real(used), now);
        #[expect(clippy::cast_precision_loss, reason = "counts of events are far below 2^53")]
        self.count.add(ended as f64, now);
    }

    /// The mean, weighted towards the present; `None` before the first. It does not fade: both sums decay alike, and a sum that is nearly
    /// gone is refreshed by the next event.
    #[must_use]
    pub fn get(&self) -> Option<DurationMs> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a mean of durations is one")]
        (self.count.value > 0.0).then(|| DurationMs((self.total_ms.value / self.count.value).round() as u64))
    }
}

/// A sum of which half is gone after so many milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Decaying<const HALF_LIFE_MS: u64> {
    value: f64,
    at: TimeMs,
}

impl<const HALF_LIFE_MS: u64> Decaying<HALF_LIFE_MS> {
    fn at(&self, now: TimeMs) -> f64 {
        self.value * (-real(now.since(self.at)) / real(DurationMs(HALF_LIFE_MS))).exp2()
    }

    fn add(&mut self, value: f64, now: TimeMs) {
        self.value = self.at(now) + value;
        self.at = self.at.max(now);
    }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds between events are far below 2^53")]
fn real(duration: DurationMs) -> f64 {
    duration.0 as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_rate_is_read_as_it_is_from_the_first_seconds_on() {
        let mut rate = Rate::from(TimeMs(0));
        for ms in (0..600_000).step_by(100) {
            rate.add(2, TimeMs(ms));
            if ms > 2_000 {
                let read = rate.per_second(TimeMs(ms));
                assert!((19.0..=22.0).contains(&read), "{read}/s after {ms} ms");
            }
        }
    }

    #[test]
    fn a_rate_that_ends_is_half_after_a_half_life() {
        let mut rate = Rate::from(TimeMs(0));
        (0..600).for_each(|s| rate.add(10, TimeMs(s * 1_000)));
        let before = rate.per_second(TimeMs(600_000));
        let after = rate.per_second(TimeMs(600_000).plus(RATE_HALF_LIFE));
        assert!((after / before - 0.5).abs() < 0.01, "{before} and {after}");
    }

    #[test]
    fn a_mean_is_known_from_busy_slots_and_ends_alone() {
        let mut mean = Mean::default();
        // Ten slots are always busy with pieces of 400 ms: 25 of them end in a second.
        (1..60).for_each(|s| mean.add_used(DurationMs(10_000), 25, TimeMs(s * 1_000)));
        assert_eq!(mean.get(), Some(DurationMs(400)));
    }

    #[test]
    fn a_quantile_follows_and_forgets() {
        let mut times = Quantiles::default();
        assert_eq!(times.get(0.95), None);
        times.add(Bucket::of(DurationMs(5)), 1, TimeMs(0));
        assert_eq!((times.get(0.0), times.get(1.0)), (Some(DurationMs(5)), Some(DurationMs(5))));
        times.add(Bucket::of(DurationMs(5)), 94, TimeMs(0));
        times.add(Bucket::of(DurationMs(7)), 5, TimeMs(0));
        assert_eq!((times.get(0.95), times.get(0.96)), (Some(DurationMs(5)), Some(DurationMs(7))));
        // Five half-lives later a few new ones outweigh the many old ones.
        times.add(Bucket::of(DurationMs(3)), 40, TimeMs(5 * MEAN_HALF_LIFE.0));
        assert_eq!(times.get(0.95), Some(DurationMs(5)));
        times.add(Bucket::of(DurationMs(3)), 60, TimeMs(5 * MEAN_HALF_LIFE.0));
        assert_eq!(times.get(0.95), Some(DurationMs(3)));
    }

    proptest::proptest! {
        #[test]
        fn a_quantile_is_no_further_from_the_exact_one_than_its_bucket_is_wide(
            times in proptest::collection::vec(proptest::prop_oneof![0..50_u64, 50..5_000_u64, 5_000..80_000_000_u64], 1..400),
            part in 0.0..=1.0_f64,
        ) {
            let mut quantiles = Quantiles::default();
            times.iter().for_each(|ms| quantiles.add(Bucket::of(DurationMs(*ms)), 1, TimeMs(9)));
            let mut sorted = times;
            sorted.sort_unstable();
            #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a short list")]
            let exact = sorted[((sorted.len() as f64 * part).ceil() as usize).max(1) - 1];
            let read = quantiles.get(part).expect("some");
            let error = real(DurationMs(read.0.abs_diff(exact))) / real(DurationMs(exact.max(1)));
            proptest::prop_assert!(error <= Bucket::ERROR_MAX, "{read:?} for {exact}");
        }
    }

    #[test]
    fn a_mean_follows_and_does_not_fade() {
        let mut mean = Mean::default();
        assert_eq!(mean.get(), None);
        (0..100).for_each(|s| mean.add(DurationMs(100), TimeMs(s * 1_000)));
        assert_eq!(mean.get(), Some(DurationMs(100)));
        // Hours later the first new one is believed.
        mean.add(DurationMs(900), TimeMs(20_000_000));
        assert_eq!(mean.get(), Some(DurationMs(900)));
    }
}
