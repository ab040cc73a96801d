//! Chance that is the same everywhere and for ever, so that figures can be repeated.

use crate::api::DurationMs;

/// SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (OOPSLA 2014). No secret depends on it.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// The same seed, the same numbers.
    pub fn of(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Above 0, at most 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    pub fn part(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// True in this share of cases.
    pub fn happens(&mut self, share: f64) -> bool {
        self.part() <= share
    }

    /// Evenly from `low` to `high`.
    pub fn between(&mut self, low: DurationMs, high: DurationMs) -> DurationMs {
        low.plus(millis(self.part() * real(DurationMs(high.0.saturating_sub(low.0)))))
    }

    /// Exponentially distributed around a mean, in the mean's unit.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * self.part().ln()
    }
}

#[expect(clippy::cast_precision_loss, reason = "durations of a trace are far below 2^53")]
pub fn real(duration: DurationMs) -> f64 {
    duration.0 as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "durations of a trace are positive and short")]
pub fn millis(ms: f64) -> DurationMs {
    DurationMs(ms.round() as u64)
}
