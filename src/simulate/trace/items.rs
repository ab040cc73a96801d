//! From a trace to single pieces of work: the chance of a trace is here, the same for every policy.

use super::{Comes, Slot, Trace};
use crate::api::{DurationMs, TimeMs};
use crate::simulate::chance::{Chance, millis, real};

/// One piece of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    /// When it comes.
    pub at: TimeMs,
    /// How long it occupies a slot, on a pod of normal speed.
    pub slot: DurationMs,
    /// The queue knows of it beforehand.
    pub timer: bool,
}

/// The tail of a heavy-tailed slot time ends here.
const SLOT_MAX: DurationMs = DurationMs::from_secs(300);

impl Trace {
    /// All work, in the order in which it comes.
    #[must_use]
    pub fn items(&self, seed: u64) -> Vec<Item> {
        let mut items = Vec::new();
        for (n, work) in self.work.iter().enumerate() {
            // Each line has its own chance, so that another line changes nothing about this one.
            let mut chance = Chance::of(seed ^ (n as u64 + 1).wrapping_mul(0x1000_0001));
            let mut add = |at: DurationMs, timer, chance: &mut Chance| {
                items.push(Item { at: TimeMs(at.0), slot: work.slot.draw(chance), timer });
            };
            match &work.comes {
                Comes::Burst { at, every, count, timers } => {
                    let mut at = *at;
                    while at < self.length {
                        (0..*count).for_each(|_| add(at, *timers, &mut chance));
                        let Some(every) = every else { break };
                        at = at.plus(*every);
                    }
                }
                comes => comes.times(self.length, &mut chance).into_iter().for_each(|at| add(at, false, &mut chance)),
            }
        }
        items.sort_by_key(|item| item.at);
        items
    }
}

impl Comes {
    /// The moments of a flow or a wave, by thinning (Lewis and Shedler 1979): the highest rate, of which the part that is too much is left out.
    fn times(&self, length: DurationMs, chance: &mut Chance) -> Vec<DurationMs> {
        let mut times = Vec::new();
        let most = self.most();
        let (from, to) = self.span(length);
        let mut ms = real(from);
        loop {
            // With a rate of 0 the next one comes at the end of time.
            ms += chance.exponential(1_000.0 / most);
            if ms >= real(to) {
                return times;
            }
            if chance.happens(self.rate(ms) / most) {
                times.push(millis(ms));
            }
        }
    }

    fn most(&self) -> f64 {
        match self {
            Self::Flow { rate, .. } | Self::Wave { rate, .. } => rate.0.max(rate.1),
            Self::Burst { .. } => 0.0,
        }
    }

    fn span(&self, length: DurationMs) -> (DurationMs, DurationMs) {
        match self {
            Self::Flow { from, to, .. } => (*from, (*to).min(length)),
            Self::Wave { .. } | Self::Burst { .. } => (DurationMs(0), length),
        }
    }

    /// Per second, so many milliseconds after the beginning.
    fn rate(&self, ms: f64) -> f64 {
        match self {
            Self::Flow { from, rate, period, .. } => {
                let part = (ms - real(*from)) % real(*period) / real(*period);
                rate.0 + (rate.1 - rate.0) * part
            }
            Self::Wave { period, rate } => {
                let part = 0.5 - 0.5 * (ms / real(*period) * std::f64::consts::TAU).cos();
                rate.0 + (rate.1 - rate.0) * part
            }
            Self::Burst { .. } => 0.0,
        }
    }
}

impl Slot {
    fn draw(self, chance: &mut Chance) -> DurationMs {
        let slot = match self {
            Self::Fixed(slot) => slot,
            Self::Exponential(mean) => millis(chance.exponential(real(mean))),
            Self::Pareto(least, exponent) => millis((real(least) / chance.part().powf(1.0 / exponent)).min(real(SLOT_MAX))),
        };
        slot.max(DurationMs(1))
    }
}
