//! The pods of a pool, as they are seen.

use std::fmt;

use crate::api::DurationMs;

/// How many pods there are of each sort; every pod is of one sort.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fleet {
    /// They take on work.
    pub ready: u32,
    /// On their way, and nothing speaks against it.
    pub starting: u32,
    /// They cannot start as things are, or cannot even be created.
    pub stuck: Vec<Stuck>,
    /// They finish what they have, and then go.
    pub draining: u32,
    /// From the wish for a pod until it is ready, as this pool's pods were measured: the p95 of the last ones. Absent: none was yet.
    pub start: Option<DurationMs>,
}

/// Pods that cannot start, for one cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stuck {
    /// How many.
    pub count: u32,
    /// Why, as Kubernetes says.
    pub cause: Cause,
    /// More of it, for people.
    pub detail: String,
}

/// Why pods cannot start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// No node has room (`Unschedulable`).
    Unschedulable,
    /// The namespace may have no more (`FailedCreate`, by a quota or another admission).
    Refused,
    /// The image cannot be pulled (`ErrImagePull`, `ImagePullBackOff`, ...).
    Image,
    /// The container ends again and again (`CrashLoopBackOff`), or cannot be made.
    Crash,
}

impl Fleet {
    /// Pods that cannot start.
    #[must_use]
    pub fn stuck(&self) -> u32 {
        self.stuck.iter().fold(0, |sum, stuck| sum.saturating_add(stuck.count))
    }

    /// The most pods that make sense now: those that cannot start never outnumber the others by more than the one that tries. A pool whose
    /// pods all fail keeps one of them to see when they no longer do. `None`: nothing is stuck.
    pub(super) fn sensible(&self) -> Option<u32> {
        let able = self.ready.saturating_add(self.starting).saturating_add(self.draining);
        (self.stuck() > 0).then(|| able.saturating_mul(2).saturating_add(1))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unschedulable => "no node has room",
            Self::Refused => "the namespace may have no more",
            Self::Image => "their image cannot be pulled",
            Self::Crash => "they end as soon as they start",
        })
    }
}
