//! A fleet of one size, chosen by somebody who knew the busiest five minutes beforehand.

use super::{Policy, Seen};
use crate::simulate::chance::real;
use crate::simulate::trace::{Item, Trace};

/// See the module.
pub struct Fixed(u32);

const BUSIEST_MS: u64 = 300_000;

impl Fixed {
    /// So many that the busiest five minutes fill three quarters of the slots, within the trace's minimum and maximum.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number of pods")]
    pub fn of(trace: &Trace, items: &[Item]) -> Self {
        let mut busiest = 0.0_f64;
        for part in items.chunk_by(|a, b| a.at.0 / BUSIEST_MS == b.at.0 / BUSIEST_MS) {
            busiest = busiest.max(part.iter().map(|item| real(item.slot)).sum());
        }
        let slots = busiest / real(crate::api::DurationMs(BUSIEST_MS));
        let pods = (slots / (f64::from(trace.slots) * 0.75)).ceil() as u32;
        Self(pods.clamp(trace.min.max(1), trace.max))
    }
}

impl Policy for Fixed {
    fn name(&self) -> &'static str {
        "fixed"
    }

    fn wanted(&mut self, _: &Seen<'_>) -> u32 {
        self.0
    }

    fn initial(&self) -> u32 {
        self.0
    }
}
