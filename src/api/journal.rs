//! The journal of a run: committed turns, append-only. The format here is what stands in the store and what replays for ever.
//!
//! An entry is one JSON object. Events of the mailbox are moved into it as text, inside the store's operation, so the fields
//! stand in this order: what precedes the events, `events`, what follows them. Enums are externally tagged, because only
//! those carry raw JSON text through serde.

use serde::{Deserialize, Serialize};

use super::ids::{Attempt, CommandNo, Head, RunId, Uid, Version};
use super::json::Json;
use super::run::{RunError, RunStatus};
use super::time::{DurationMs, TimeMs};

/// The version of the format that this program writes. It reads 1 to this; a newer one is refused.
pub const FORMAT: u32 = 1;

/// One committed turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Entry {
    /// The version of the format, [`FORMAT`].
    pub v: u32,
    /// Its number in the run, from 0.
    pub turn: u32,
    /// The head that its commit made.
    pub id: Head,
    /// The time inside of the turn: never before the one of the turn before it.
    pub at: TimeMs,
    /// Which worker took it: for people.
    pub worker: String,
    /// Only in the first entry: what the run is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub birth: Option<Birth>,
    /// What had happened, in order.
    pub events: Vec<Event>,
    /// What the code asked for, in order.
    pub commands: Vec<Command>,
    /// What the code said on its console.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<Log>,
    /// The turn was too large for one commit and goes on in the next entry.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub continued: bool,
}

/// What never changes in a run's life, recorded with its first turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Birth {
    /// Seeds the randomness and names the activities' idempotency keys.
    pub uid: Uid,
    /// The workflow's name.
    pub workflow: String,
    /// The version of it that the run stays on.
    pub version: Version,
    /// The JavaScript engine that wrote the journal.
    pub engine: String,
    /// Numbered behaviours of the engine's shims that the run was begun under.
    pub flags: Vec<u32>,
}

/// A past fact in a run's mailbox or journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub enum Event {
    /// The run begins. Always the first event, and once.
    Started {
        /// The input as it was given.
        input: Json,
    },
    /// An activity has a result.
    ActivityCompleted {
        /// Which `ScheduleActivity`.
        command: CommandNo,
        /// The attempt that succeeded.
        attempt: Attempt,
        /// Its value.
        result: Json,
    },
    /// An activity failed for good.
    ActivityFailed {
        /// Which `ScheduleActivity`.
        command: CommandNo,
        /// The last attempt.
        attempt: Attempt,
        /// The error of it.
        error: RunError,
    },
    /// A timer fell due.
    TimerFired {
        /// Which `StartTimer`.
        command: CommandNo,
    },
    /// A signal came.
    SignalReceived {
        /// Its name.
        name: String,
        /// Its payload.
        payload: Json,
    },
    /// A signal of this run is in the other run's mailbox.
    SignalDelivered {
        /// Which `SignalRun`.
        command: CommandNo,
    },
    /// A signal of this run was not taken.
    SignalRefused {
        /// Which `SignalRun`.
        command: CommandNo,
        /// `RunNotFound`, `RunClosed` or `MailboxFull`.
        error: RunError,
    },
    /// Somebody wants the run to end in order.
    CancelRequested {
        /// Why, in the caller's words.
        reason: String,
    },
}

impl Event {
    /// The command that this event settles.
    #[must_use]
    pub fn command(&self) -> Option<CommandNo> {
        match self {
            Self::ActivityCompleted { command, .. }
            | Self::ActivityFailed { command, .. }
            | Self::TimerFired { command }
            | Self::SignalDelivered { command }
            | Self::SignalRefused { command, .. } => Some(*command),
            Self::Started { .. } | Self::SignalReceived { .. } | Self::CancelRequested { .. } => None,
        }
    }
}

/// What the code asked for. Numbered from 0 in the order of the asking, over the whole run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub enum Command {
    /// Run an activity.
    ScheduleActivity {
        /// Its number.
        n: CommandNo,
        /// The activity's name in the definition.
        name: String,
        /// Its argument.
        argument: Json,
        /// Where the code asked, `line:column` in the source; empty when unknown.
        at: String,
    },
    /// Wake the run later.
    StartTimer {
        /// Its number.
        n: CommandNo,
        /// `sleep`, `setTimeout` or `setInterval`.
        name: String,
        /// From the turn's time on; at least 1 ms.
        duration: DurationMs,
        /// As above.
        at: String,
    },
    /// Forget a timer.
    CancelTimer {
        /// Its number.
        n: CommandNo,
        /// The number of the timer.
        timer: CommandNo,
        /// As above.
        at: String,
    },
    /// Send a signal to another run of the namespace.
    SignalRun {
        /// Its number.
        n: CommandNo,
        /// The other run.
        run: RunId,
        /// The signal's name.
        name: String,
        /// Its payload.
        payload: Json,
        /// As above.
        at: String,
    },
    /// The function returned. Always the last command.
    Complete {
        /// Its number.
        n: CommandNo,
        /// The value.
        result: Json,
    },
    /// The function threw. Always the last command.
    Fail {
        /// Its number.
        n: CommandNo,
        /// What it threw.
        error: RunError,
    },
    /// The function ended after a cancel request, by letting the cancel's error pass. Always the last command.
    Cancel {
        /// Its number.
        n: CommandNo,
        /// The reason of the request.
        reason: String,
    },
}

impl Command {
    /// Its number in the run.
    #[must_use]
    pub fn number(&self) -> CommandNo {
        match self {
            Self::ScheduleActivity { n, .. }
            | Self::StartTimer { n, .. }
            | Self::CancelTimer { n, .. }
            | Self::SignalRun { n, .. }
            | Self::Complete { n, .. }
            | Self::Fail { n, .. }
            | Self::Cancel { n, .. } => *n,
        }
    }

    /// Its kind, the tag of the JSON.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ScheduleActivity { .. } => "ScheduleActivity",
            Self::StartTimer { .. } => "StartTimer",
            Self::CancelTimer { .. } => "CancelTimer",
            Self::SignalRun { .. } => "SignalRun",
            Self::Complete { .. } => "Complete",
            Self::Fail { .. } => "Fail",
            Self::Cancel { .. } => "Cancel",
        }
    }

    /// What must be equal in replay beside number and kind: an activity's or a timer's name, the timer of a `CancelTimer`, signal and receiver.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::ScheduleActivity { name, .. } | Self::StartTimer { name, .. } => name.clone(),
            Self::CancelTimer { timer, .. } => timer.to_string(),
            Self::SignalRun { run, name, .. } => format!("{name} to {run}"),
            Self::Complete { .. } | Self::Fail { .. } | Self::Cancel { .. } => String::new(),
        }
    }

    /// Where the code asked, `line:column`; empty when unknown.
    #[must_use]
    pub fn position(&self) -> &str {
        match self {
            Self::ScheduleActivity { at, .. } | Self::StartTimer { at, .. } | Self::CancelTimer { at, .. } | Self::SignalRun { at, .. } => {
                at
            }
            Self::Complete { .. } | Self::Fail { .. } | Self::Cancel { .. } => "",
        }
    }

    /// How the run ends by it, when it closes the run.
    #[must_use]
    pub fn end(&self) -> Option<RunStatus> {
        match self {
            Self::Complete { .. } => Some(RunStatus::Completed),
            Self::Fail { .. } => Some(RunStatus::Failed),
            Self::Cancel { .. } => Some(RunStatus::Cancelled),
            Self::ScheduleActivity { .. } | Self::StartTimer { .. } | Self::CancelTimer { .. } | Self::SignalRun { .. } => None,
        }
    }

    /// Whether it closes the run.
    #[must_use]
    pub fn closes(&self) -> bool {
        self.end().is_some()
    }
}

/// A line that the code wrote to its console.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Log {
    /// `debug`, `info`, `warn` or `error`.
    pub level: String,
    /// The arguments, joined by blanks.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_json_passes_through_an_entry_untouched() {
        let text = r#"{"v":1,"turn":0,"id":"00000000000000ff","at":5,"worker":"w","events":[{"Started":{"input":{"b":1.0,"a":1e3}}},{"TimerFired":{"command":2}}],"commands":[{"ScheduleActivity":{"n":0,"name":"pay","argument":{"z":0.10},"at":"3:9"}}]}"#;
        let entry: Entry = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&entry).unwrap(), text);
    }
}
