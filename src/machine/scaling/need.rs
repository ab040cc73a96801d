//! From signals to pods: the formula, without memory.

use super::limits::Limits;
use crate::api::DurationMs;
use crate::api::signals::{Load, Signals};

/// Pods that the work needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// So many, when there are fewer.
    pub rise: u32,
    /// So many are worth keeping, when there are more: at least `rise`.
    pub keep: u32,
    /// So many are filled by what is leased.
    pub busy: u32,
}

impl Need {
    /// What a pool needs: the larger of its kinds of slots, for every pod has both.
    #[must_use]
    pub fn of(signals: &Signals, due: u64, target: DurationMs, limits: &Limits) -> Self {
        let turns = Self::of_kind(&signals.turns, due, target, limits.slots.turns);
        // A timer that fires is a turn, and most turns ask for an activity.
        let activities = Self::of_kind(&signals.activities, due, target, limits.slots.activities);
        Self { rise: turns.rise.max(activities.rise), keep: turns.keep.max(activities.keep), busy: turns.busy.max(activities.busy) }
    }

    fn of_kind(load: &Load, due: u64, target: DurationMs, slots: u32) -> Self {
        let waiting = real(load.backlog.saturating_add(due));
        let busy = real(load.busy);
        let slots = f64::from(slots);
        let busy_pods = whole(busy / slots);
        let at_work = u32::from(waiting + busy > 0.0);
        let Some(mean_s) = load.slot_mean.map(seconds) else {
            // Nothing has ended yet: everything that waits gets a slot of its own. What timers will ask for is not even that well known.
            let pods = whole((real(load.backlog) + busy) / slots).max(at_work);
            return Self { rise: pods, keep: pods, busy: busy_pods };
        };
        // Little's law: arrivals times slot time is how many slots are busy on average.
        let steady = load.arrivals_per_s.filter(|l| l.is_finite() && *l >= 0.0).map_or(busy, |l| l * mean_s);
        // Nothing that waits uses more than one slot, however long it takes.
        let wanted = steady + waiting * (mean_s / seconds(target)).min(1.0);
        let pods = |full: f64| whole(wanted / (slots * full)).max(busy_pods).max(at_work);
        Self { rise: pods(Limits::FULL), keep: pods(Limits::FULL_AFTER_FALL), busy: busy_pods }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of work are far below 2^53")]
fn real(count: u64) -> f64 {
    count as f64
}

/// At least a millisecond: what takes no time at all was measured too coarsely.
fn seconds(duration: DurationMs) -> f64 {
    real(duration.0.max(1)) / 1_000.0
}

/// Rounded up to whole pods, but not for the last digits of a double.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates, and nothing is negative")]
fn whole(pods: f64) -> u32 {
    (pods - 1e-9).ceil().max(0.0) as u32
}
