//! What people and programs see of a run.

use serde::{Deserialize, Serialize};

use super::ids::{Attempt, CommandNo, Name, Origin, RunId, Uid, Version};
use super::json::Json;
use super::time::TimeMs;

/// The state of a run as it is told to its users. (What the engine keeps is `machine::run::Phase`.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
pub enum RunStatus {
    /// Open and able to move.
    Running,
    /// Open and held by a person.
    Paused,
    /// Open and in need of a person: see `blocked`.
    Blocked,
    /// The function returned.
    Completed,
    /// The function threw.
    Failed,
    /// It ended after a cancel request.
    Cancelled,
    /// It was ended from outside, without a last turn.
    Terminated,
    /// It ran out of the time that it was given.
    TimedOut,
    /// It went on as a new run.
    ContinuedAsNew,
}

impl RunStatus {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 9] = [
        Self::Running,
        Self::Paused,
        Self::Blocked,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
        Self::Terminated,
        Self::TimedOut,
        Self::ContinuedAsNew,
    ];

    /// Whether the run has ended.
    #[must_use]
    pub fn is_closed(self) -> bool {
        !matches!(self, Self::Running | Self::Paused | Self::Blocked)
    }

    /// Its name in JSON and in tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "Running",
            Self::Paused => "Paused",
            Self::Blocked => "Blocked",
            Self::Completed => "Completed",
            Self::Failed => "Failed",
            Self::Cancelled => "Cancelled",
            Self::Terminated => "Terminated",
            Self::TimedOut => "TimedOut",
            Self::ContinuedAsNew => "ContinuedAsNew",
        }
    }
}

impl std::fmt::Display for RunStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// An error of a run or of an activity, as data.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RunError {
    /// Its name: the `name` of a JavaScript error, or one of ours (`Timeout`, `WorkerLost`, `HttpError`, ...).
    #[serde(rename = "type")]
    pub kind: String,
    /// What happened.
    pub message: String,
    /// Where, in the user's own lines and columns.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stack: String,
    /// Anything more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Json>,
    /// The error behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(no_recursion)]
    pub cause: Option<Box<RunError>>,
}

impl RunError {
    /// An error with a type and a message only.
    #[must_use]
    pub fn new(kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind: kind.into(), message: message.into(), ..Self::default() }
    }
}

/// Why a run stands still until a person acts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Blocked {
    /// `Paused`, or one of docs/errors.md, as `Nondeterminism`.
    pub reason: String,
    /// What was found, with expected and actual, over several lines.
    pub message: String,
    /// Who holds it, each by a name of its own: it goes on when all have let go. A pause of an older release has none: it is a person's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holders: Vec<Name>,
}

impl Blocked {
    /// The code asks for something else than its journal has.
    pub const NONDETERMINISM: &str = "Nondeterminism";
    /// The source does not load.
    pub const BROKEN_SOURCE: &str = "BrokenSource";
    /// A person holds it.
    pub const PAUSED: &str = "Paused";

    /// The hold that people share.
    ///
    /// # Panics
    /// Never: the name is one.
    #[must_use]
    pub fn people() -> Name {
        "people".parse().expect("a name")
    }

    /// Who holds it.
    #[must_use]
    pub fn held_by(&self) -> Vec<Name> {
        if self.holders.is_empty() && self.reason == Self::PAUSED {
            return vec![Self::people()];
        }
        self.holders.clone()
    }

    /// Whether the version that the run is on can never go on: another one must.
    #[must_use]
    pub fn needs_other_source(&self) -> bool {
        [Self::NONDETERMINISM, Self::BROKEN_SOURCE].contains(&self.reason.as_str())
    }
}

/// What a run is waiting for or doing: what `status: Running` does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Doing {
    /// Waits for an activity, a timer or a signal.
    Waiting,
    /// Has news and waits for a worker.
    Ready,
    /// A worker takes its turn.
    Leased,
    /// Needs a person.
    Blocked,
    /// Has ended.
    Closed,
}

/// An activity that has no result yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PendingActivity {
    /// The number of its `ScheduleActivity`.
    pub command: CommandNo,
    /// `queued`, `leased` or `backing-off`.
    pub phase: String,
    /// The present or next attempt, from 1.
    pub attempt: Attempt,
    /// When it was scheduled.
    pub scheduled_at: TimeMs,
    /// Which session has it, when one has.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub session: String,
    /// What the attempt before failed with.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub last_error: String,
}

/// A run as `get` and `result` tell it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunView {
    /// Its id in the namespace.
    pub id: RunId,
    /// The namespace.
    pub namespace: Name,
    /// What a start made anew.
    pub uid: Uid,
    /// The workflow.
    pub workflow: Name,
    /// The version that it stays on.
    pub version: Version,
    /// Its pool.
    pub pool: Name,
    /// See [`RunStatus`].
    pub status: RunStatus,
    /// See [`Doing`].
    pub doing: Doing,
    /// Committed turns.
    pub turns: u32,
    /// Timers that have not fired.
    pub timers: u32,
    /// Events that wait for a turn.
    pub unread: u32,
    /// Activities that have no result.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub activities: Vec<PendingActivity>,
    /// The session that takes the present turn, or that has the run in memory.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub session: String,
    /// The input. Absent in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Json>,
    /// The value of a completed run. Absent in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Json>,
    /// The error of a run that ended otherwise. Absent in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<RunError>,
    /// Why it stands still.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<Blocked>,
    /// Who follows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// When it was accepted.
    pub started_at: TimeMs,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<TimeMs>,
}
