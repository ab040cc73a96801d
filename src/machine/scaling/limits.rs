//! What a person says of a pool's size, and what holds when they say nothing.

use crate::api::DurationMs;

/// As they are written. Everything may be absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settings {
    /// Fewest pods. Absent: 0.
    pub min: Option<u32>,
    /// Most pods. Absent: [`Limits::MAX`], or `min` when that is more.
    pub max: Option<u32>,
    /// How old the backlog may get before it is taken. Absent: 5 s, or the start time of a pod when that is longer.
    pub target: Option<DurationMs>,
    /// How long fewer pods must have sufficed before the number falls. Absent: 12 starts of a pod, see [`Limits::fall_window`].
    pub fall_window: Option<DurationMs>,
    /// How long nothing must have been to do before the last pod goes. Absent: 20 starts of a pod, see [`Limits::zero_window`].
    pub zero_window: Option<DurationMs>,
    /// Pods that may be added in [`Limits::STEP`]. Absent: as many as are needed.
    pub rise_max: Option<u32>,
    /// Pods that may be taken away in [`Limits::STEP`]. Absent: as many as are not.
    pub fall_max: Option<u32>,
    /// What one pod takes on.
    pub slots: Slots,
}

/// What one pod takes on at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slots {
    /// Turns.
    pub turns: u32,
    /// Activities.
    pub activities: u32,
}

impl Default for Slots {
    /// Those of a pool that says nothing: one event loop.
    fn default() -> Self {
        Self { turns: 256, activities: 512 }
    }
}

/// Settings that can be obeyed: `min <= max`, `1 <= max`, nothing zero that is divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub(super) min: u32,
    pub(super) max: u32,
    pub(super) target: Option<DurationMs>,
    fall_window: Option<DurationMs>,
    zero_window: Option<DurationMs>,
    pub(super) rise_max: Option<u32>,
    pub(super) fall_max: Option<u32>,
    pub(super) slots: Slots,
}

/// Why settings cannot be obeyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// No number is both.
    #[error("min {min} is above max {max}: no number of pods is both")]
    MinAboveMax {
        /// As written.
        min: u32,
        /// As written.
        max: u32,
    },
    /// Nothing would ever run.
    #[error("max is 0: nothing would ever run; pause the runs, or set the pool to Fixed with 0 replicas")]
    MaxZero,
    /// No number of pods does that.
    #[error("the target age is 0: no number of pods takes work on before it is there; the default is {}", Limits::TARGET)]
    TargetZero,
    /// The number would turn with every signal.
    #[error("the fall window is {0}: below {min} the number of pods would follow every flutter of the load", min = Limits::WINDOW_MIN)]
    WindowShort(DurationMs),
    /// Work would never get its pods, or idle pods would never go.
    #[error("{0} is 0: the number of pods could never change that way; leave it out for no limit")]
    StepZero(&'static str),
    /// A pod that takes on nothing.
    #[error("a pod has no slots for {0}: no number of pods would do")]
    NoSlots(&'static str),
}

impl Limits {
    /// Most pods of a pool that does not say: with default slots 10,000 activities at a time, and a bill that a mistake does not ruin.
    pub const MAX: u32 = 20;
    /// How old the backlog may get, unless the pool says or its pods start slower.
    pub const TARGET: DurationMs = DurationMs::from_secs(5);
    /// An idle pod is kept for so many starts, of this pool as measured: the slower pods start, the dearer it is to have sent one away.
    pub const FALL_STARTS: u64 = 12;
    /// The last pod is kept for longer: it is one only, and without it somebody waits for a start.
    pub const ZERO_STARTS: u64 = 20;
    /// Both windows are at least so long, unless the pool says,
    pub const WINDOW_LEAST: DurationMs = DurationMs::from_secs(60);
    /// and at most so long, which is the HPA's stabilisation window and KEDA's `cooldownPeriod`.
    pub const WINDOW_MOST: DurationMs = DurationMs::from_secs(300);
    /// The period of `rise_max` and `fall_max`, as the HPA's default policies have it.
    pub const STEP: DurationMs = DurationMs::from_secs(15);
    /// The shortest fall window that may be given.
    pub const WINDOW_MIN: DurationMs = DurationMs::from_secs(10);
    /// A signal older than this is no longer believed: the service repeats one every five seconds when nothing changes, so three are missing.
    pub const SIGNAL_AGE_MAX: DurationMs = DurationMs::from_secs(15);
    /// The start of a pod before one was measured.
    pub const START: DurationMs = DurationMs::from_secs(10);
    /// How full slots should be: the rest is for what the mean does not show.
    pub const FULL: f64 = 0.75;
    /// A smaller fleet is chosen only when its slots would be no fuller than this. The distance to [`Self::FULL`] is the dead band: a load that
    /// flutters by less than 15 % never moves the number up and down again.
    pub const FULL_AFTER_FALL: f64 = 0.65;

    /// The target in force, for pods that start in `start`: without one given, it makes no sense to be faster than a pod.
    #[must_use]
    pub fn target(&self, start: DurationMs) -> DurationMs {
        self.target.unwrap_or(Self::TARGET.max(start))
    }

    /// How long fewer pods must have sufficed before the number falls, for pods that start in `start`.
    #[must_use]
    pub fn fall_window(&self, start: DurationMs) -> DurationMs {
        self.fall_window.unwrap_or(starts(start, Self::FALL_STARTS))
    }

    /// How long nothing must have been to do before the last pod goes.
    #[must_use]
    pub fn zero_window(&self, start: DurationMs) -> DurationMs {
        self.zero_window.unwrap_or(starts(start, Self::ZERO_STARTS))
    }
}

fn starts(start: DurationMs, times: u64) -> DurationMs {
    DurationMs(start.0.saturating_mul(times)).clamp(Limits::WINDOW_LEAST, Limits::WINDOW_MOST)
}

impl TryFrom<Settings> for Limits {
    type Error = Unfit;

    fn try_from(s: Settings) -> Result<Self, Unfit> {
        let min = s.min.unwrap_or(0);
        let max = s.max.unwrap_or(Self::MAX.max(min));
        if max == 0 {
            return Err(Unfit::MaxZero);
        }
        if min > max {
            return Err(Unfit::MinAboveMax { min, max });
        }
        if s.target == Some(DurationMs(0)) {
            return Err(Unfit::TargetZero);
        }
        if let Some(window) = s.fall_window.filter(|window| *window < Self::WINDOW_MIN) {
            return Err(Unfit::WindowShort(window));
        }
        for (name, step) in [("riseMax", s.rise_max), ("fallMax", s.fall_max)] {
            if step == Some(0) {
                return Err(Unfit::StepZero(name));
            }
        }
        for (name, slots) in [("turns", s.slots.turns), ("activities", s.slots.activities)] {
            if slots == 0 {
                return Err(Unfit::NoSlots(name));
            }
        }
        let Settings { target, fall_window, zero_window, rise_max, fall_max, slots, .. } = s;
        Ok(Self { min, max, target, fall_window, zero_window, rise_max, fall_max, slots })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_that_says_nothing_has_limits_that_work() {
        let limits = Limits::try_from(Settings::default()).expect("defaults are fit");
        assert_eq!((limits.min, limits.max), (0, 20));
        assert_eq!(limits.target(DurationMs(800)), Limits::TARGET);
        assert_eq!(limits.target(DurationMs::from_secs(40)), DurationMs::from_secs(40));
        assert_eq!(Limits::try_from(Settings { min: Some(50), ..Settings::default() }).map(|l| l.max), Ok(50));
        // (start, fall window, zero window), in seconds.
        for (start, fall, zero) in [(1, 60, 60), (5, 60, 100), (10, 120, 200), (90, 300, 300)] {
            let windows = (limits.fall_window(DurationMs::from_secs(start)), limits.zero_window(DurationMs::from_secs(start)));
            assert_eq!(windows, (DurationMs::from_secs(fall), DurationMs::from_secs(zero)));
        }
    }

    #[test]
    fn what_cannot_be_obeyed_is_refused_in_words() {
        let base = Settings::default();
        for (settings, text) in [
            (Settings { min: Some(6), max: Some(5), ..base }, "min 6 is above max 5: no number of pods is both"),
            (
                Settings { max: Some(0), ..base },
                "max is 0: nothing would ever run; pause the runs, or set the pool to Fixed with 0 replicas",
            ),
            (
                Settings { target: Some(DurationMs(0)), ..base },
                "the target age is 0: no number of pods takes work on before it is there; the default is 5s",
            ),
            (
                Settings { fall_window: Some(DurationMs(0)), ..base },
                "the fall window is 0s: below 10s the number of pods would follow every flutter of the load",
            ),
            (
                Settings { rise_max: Some(0), ..base },
                "riseMax is 0: the number of pods could never change that way; leave it out for no limit",
            ),
            (
                Settings { slots: Slots { turns: 256, activities: 0 }, ..base },
                "a pod has no slots for activities: no number of pods would do",
            ),
        ] {
            assert_eq!(Limits::try_from(settings).map_err(|unfit| unfit.to_string()), Err(text.to_owned()));
        }
    }
}
