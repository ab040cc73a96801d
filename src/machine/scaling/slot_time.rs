//! How long slots were used, in buckets: what a store counts and what a quantile is read from.
//!
//! A power of two of milliseconds has four buckets of equal width, so a bucket is at most a quarter wider than it begins. The same arithmetic stands
//! in the Redis store's `parts/ended.lua`.

use crate::api::DurationMs;

/// Buckets of a power of two.
const OF_A_POWER: u8 = 4;
const DAY: DurationMs = DurationMs::from_secs(86_400);

/// A range of durations, by its number: 0 is less than a millisecond, the last one has all from a day on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket(u8);

impl Bucket {
    /// The largest number.
    pub const LAST: u8 = Self::number(DAY);
    /// No true duration is further from its bucket's [`Self::middle`] than this part of it.
    pub const ERROR_MAX: f64 = 0.125;

    /// Where a duration belongs.
    #[must_use]
    pub const fn of(duration: DurationMs) -> Self {
        Self(Self::number(if duration.0 < DAY.0 { duration } else { DAY }))
    }

    const fn number(DurationMs(ms): DurationMs) -> u8 {
        if ms == 0 {
            return 0;
        }
        let bits = u64::BITS - ms.leading_zeros();
        // The first three bits: 4 to 7.
        let head = if bits >= 3 { ms >> (bits - 3) } else { ms << (3 - bits) };
        #[expect(clippy::cast_possible_truncation, reason = "27 powers with four buckets each")]
        let number = bits as u8 * OF_A_POWER + head as u8 - OF_A_POWER;
        number
    }

    /// The bucket of a number, as a store has it.
    #[must_use]
    pub fn numbered(number: u8) -> Option<Self> {
        let is_one = number == 0 || (OF_A_POWER..=Self::LAST).contains(&number);
        is_one.then_some(Self(number))
    }

    /// Its number.
    #[must_use]
    pub fn as_number(self) -> u8 {
        self.0
    }

    /// A duration that is not far from any in it; see [`Self::ERROR_MAX`]. Below 8 ms a bucket has one whole millisecond, which it is.
    #[must_use]
    pub fn middle(self) -> DurationMs {
        let Some(number) = self.0.checked_sub(OF_A_POWER) else { return DurationMs(0) };
        let (power, head) = (number / OF_A_POWER, u64::from(number % OF_A_POWER) + 4);
        let first = (head << power).div_ceil(4);
        let last = ((head + 1) << power).div_ceil(4).saturating_sub(1);
        DurationMs(u64::midpoint(first, last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_stand_in_order_and_their_middles_are_near() {
        let mut before = Bucket::of(DurationMs(0));
        for ms in (0..20_000).chain((20_000..86_400_000).step_by(977)) {
            let bucket = Bucket::of(DurationMs(ms));
            assert!(bucket >= before, "{ms} ms");
            before = bucket;
            let middle = bucket.middle().0;
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let error = middle.abs_diff(ms) as f64 / ms.max(1) as f64;
            assert!(error <= Bucket::ERROR_MAX, "{ms} ms: {bucket:?} has the middle {middle}");
            assert!(ms >= 8 || middle == ms, "{ms} ms is exact");
            assert_eq!(Bucket::numbered(bucket.as_number()), Some(bucket));
        }
        assert_eq!(Bucket::of(DurationMs(u64::MAX)).as_number(), Bucket::LAST);
        assert_eq!([1, 3, Bucket::LAST + 1].map(Bucket::numbered), [None; 3]);
    }
}
