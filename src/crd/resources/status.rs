//! Conditions, as `kubectl wait` and kstatus read them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::reason::Reason;

/// One condition of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// `Ready`, `Reconciling`, `Stalled`, for runs `Closed`, `Succeeded`, `Cancelling` and `Suspended`, and for pools `Scaling`.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 64))]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    #[schemars(length(max = 8))]
    pub status: String,
    /// One word of `docs/kubernetes.md`.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// What it means for this object, and what to do.
    #[schemars(length(max = 4096))]
    pub message: String,
    /// The `metadata.generation` that was looked at.
    #[serde(default)]
    pub observed_generation: i64,
    /// When the status last changed.
    #[schemars(extend("format" = "date-time"))]
    pub last_transition_time: String,
}

/// A status with conditions.
pub trait HasConditions {
    /// They.
    fn conditions(&self) -> &Conditions;
}

/// Where an object stands: the statuses of `Ready`, `Reconciling` and `Stalled`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing([&'static str; 3]);

impl Standing {
    /// As it should be.
    pub const READY: Self = Self(["True", "False", "False"]);
    /// On the way.
    pub const RECONCILING: Self = Self(["False", "True", "False"]);
    /// As it should be, and something about it is on the way.
    pub const READY_RECONCILING: Self = Self(["True", "True", "False"]);
    /// It needs a person.
    pub const STALLED: Self = Self(["False", "False", "True"]);
}

/// The conditions of an object, one of each type.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Conditions(pub Vec<Condition>);

impl Conditions {
    /// Sets one. Its time is that of the last change of its status.
    pub fn set(&mut self, kind: &str, status: &str, reason: &Reason, message: &str, generation: i64, now: &str) {
        let message: String = message.chars().take(1_000).collect();
        let new = Condition {
            kind: kind.to_owned(),
            status: status.to_owned(),
            reason: reason.to_string(),
            message,
            observed_generation: generation,
            last_transition_time: now.to_owned(),
        };
        match self.0.iter_mut().find(|old| old.kind == kind) {
            Some(old) if old.status == new.status => {
                let since = std::mem::take(&mut old.last_transition_time);
                *old = Condition { last_transition_time: since, ..new };
            }
            Some(old) => *old = new,
            None => self.0.push(new),
        }
    }

    /// Sets `Ready`, `Reconciling` and `Stalled`, which say together where an object stands.
    pub fn stand(&mut self, standing: Standing, reason: &Reason, message: &str, generation: i64, now: &str) {
        for (kind, status) in ["Ready", "Reconciling", "Stalled"].into_iter().zip(standing.0) {
            self.set(kind, status, reason, message, generation, now);
        }
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, kind: &str) -> Option<&Condition> {
        self.0.iter().find(|condition| condition.kind == kind)
    }

    /// Whether it is `True`.
    #[must_use]
    pub fn is_true(&self, kind: &str) -> bool {
        self.get(kind).is_some_and(|condition| condition.status == "True")
    }
}
