//! What is decided, and why, in words.

use std::fmt;

use super::fleet::Cause;
use super::limits::Limits;
use crate::api::DurationMs;

/// How many pods, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The number before.
    pub from: u32,
    /// The number now: within `min` and `max`.
    pub wanted: u32,
    /// For people: `backlog 240 needs 6; 2 busy; capped by max 5`.
    pub reason: String,
    /// What they should know besides.
    pub conditions: Vec<Condition>,
}

/// Something that the number alone does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// No signal has come yet: the number is held.
    SignalUnknown,
    /// None has come for so long: the number is held.
    SignalOld(DurationMs),
    /// Pods cannot start: no more are asked for than make sense.
    Stuck {
        /// How many.
        count: u32,
        /// Why most of them.
        cause: Cause,
        /// More of it, as Kubernetes says.
        detail: String,
    },
    /// The work needs more than `max`, and waits longer than the target.
    AtMax {
        /// Pods that it needs.
        need: u32,
        /// How long the oldest has waited.
        oldest: DurationMs,
    },
    /// Work waits although slots are free: more pods change nothing. Who could take it is not there.
    NotForLackOfPods {
        /// How long the oldest has waited.
        oldest: DurationMs,
        /// Slots that are free.
        free: u64,
    },
    /// The target is shorter than the start of a pod, and there may be no pod: from zero no number of pods reaches it.
    TargetBelowStart {
        /// As it was given.
        target: DurationMs,
        /// As it was measured.
        start: DurationMs,
    },
}

impl Condition {
    /// The names of all of them.
    pub const NAMES: [&'static str; 6] = ["SignalUnknown", "SignalOld", "PodsStuck", "AtMax", "NotForLackOfPods", "TargetBelowStart"];

    /// One word, for a program; one of [`Self::NAMES`].
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::SignalUnknown => "SignalUnknown",
            Self::SignalOld(_) => "SignalOld",
            Self::Stuck { .. } => "PodsStuck",
            Self::AtMax { .. } => "AtMax",
            Self::NotForLackOfPods { .. } => "NotForLackOfPods",
            Self::TargetBelowStart { .. } => "TargetBelowStart",
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SignalUnknown => f.write_str("no signal of the queue service has come yet: the number of pods is held"),
            Self::SignalOld(age) => write!(
                f,
                "the last signal of the queue service is {age} old, more than {}: the number of pods is held",
                Limits::SIGNAL_AGE_MAX
            ),
            Self::Stuck { count, cause, detail } => {
                write!(f, "{count} pods cannot start, for {cause}")?;
                if detail.is_empty() { Ok(()) } else { write!(f, ": {detail}") }
            }
            Self::AtMax { need, oldest } => write!(f, "the oldest work has waited {oldest}, and needs {need} pods: raise max"),
            Self::NotForLackOfPods { oldest, free } => {
                write!(f, "the oldest work has waited {oldest} while {free} slots are free: more pods would not take it on")
            }
            Self::TargetBelowStart { target, start } => {
                write!(f, "from zero a pod takes {start} to start: no number of pods reaches the target of {target}; set min to 1")
            }
        }
    }
}
