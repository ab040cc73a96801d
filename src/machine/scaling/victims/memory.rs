//! What a plan remembers of those before it.

use std::collections::{BTreeMap, BTreeSet};

use super::pod::Stage;
use crate::api::TimeMs;

/// Belongs to one pool. It may be lost at any time: marks and costs stand elsewhere, and the limit begins anew.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    /// Pods that are to go, by name.
    pub(super) victims: BTreeMap<String, Victim>,
    /// The last lowering, until it has happened.
    pub(super) lowered: Option<Lowered>,
    /// What the ReplicaSet may know of each pod, by name.
    pub(super) looks: BTreeMap<String, Look>,
}

/// A pod that is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Victim {
    pub(super) since: TimeMs,
    /// Since when it is seen to be one that the ReplicaSet takes first and that has nothing to lose.
    pub(super) settled: Option<TimeMs>,
    /// It has been told that it did not finish within the limit.
    pub(super) overdue: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lowered {
    pub(super) to: u32,
    /// So many victims should go until there are so few pods.
    pub(super) due: u32,
    /// These, as far as we know.
    pub(super) pods: BTreeSet<String>,
    /// When more were wanted again, before it had happened.
    pub(super) raised: Option<TimeMs>,
}

/// How a pod looked to whoever chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    /// The most likely to be taken, of late.
    pub(super) lowest: (Stage, i32),
    /// When it was last seen to look so.
    pub(super) at: TimeMs,
}

impl Memory {
    /// Whether nothing is under way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.victims.is_empty() && self.lowered.is_none()
    }
}
