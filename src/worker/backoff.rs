//! Delays between the repetitions of a request that was not answered.

use std::time::Duration;

use rand::RngExt as _;

/// Doubling delays with "full jitter" (M. Brooker, Exponential Backoff And Jitter, 2015), so that a fleet does not come back in step.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

const FIRST_MS: u64 = 25;
const LARGEST_MS: u64 = 2_000;

impl Backoff {
    /// The delay after one more failure.
    pub(super) fn next(&mut self) -> Duration {
        let bound = FIRST_MS.saturating_mul(1 << self.failures.min(10)).min(LARGEST_MS);
        self.failures = self.failures.saturating_add(1);
        Duration::from_millis(rand::rng().random_range(bound / 2..=bound))
    }

    /// How many failures there were in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// It worked.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}
