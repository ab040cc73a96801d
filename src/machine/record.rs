//! What the store keeps of a run: one packed record, the same bytes in both stores.
//!
//! `layout` has the bytes. An empty text and zero stand for absence.

use super::activity::AttemptPhase;
pub use super::layout::Times;
use super::run::Phase;
use crate::api::ids::{Attempt, CommandNo, Seq};
use crate::api::{RunStatus, TimeMs};

/// The newest version of the record. A record of a higher one is refused.
pub const RECORD_FORMAT: u8 = 3;
/// The first version that has an origin.
const ORIGIN_SINCE: u8 = 2;

/// A run. Texts are ids that were checked where they entered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRecord {
    /// The version of its layout: a run keeps the one that it began with, but for an origin that it gets later.
    pub format: u8,
    /// Its unique id, a UUIDv7.
    pub uid: String,
    /// The workflow's name.
    pub workflow: String,
    /// The version, 64 hexadecimal digits.
    pub version: String,
    /// The pool's name.
    pub pool: String,
    /// Where it stands.
    pub phase: Phase,
    /// What the next commit must name, 16 hexadecimal digits.
    pub head: String,
    /// How often a lease on its turn was granted: the fencing epoch.
    pub epoch: u64,
    /// The session that holds the turn lease; empty without one.
    pub session: String,
    /// The number of that session's request which the lease was granted to.
    pub seq: Seq,
    /// The session that has the context in memory; empty when none is known.
    pub holder: String,
    /// Entries of the journal.
    pub turns: u32,
    /// Bytes of the journal.
    pub journal_bytes: u64,
    /// Time of the last turn.
    pub at: TimeMs,
    /// When it was accepted.
    pub started_at: TimeMs,
    /// Events in the mailbox.
    pub mail: u32,
    /// 1 when a `CancelRequested` is among them.
    pub mail_cancel: u8,
    /// Number of the next command.
    pub next_command: CommandNo,
    /// Timers that are to fire.
    pub timers: u32,
    /// Deaths of a worker in a turn of this run, in a row.
    pub deaths: u32,
    /// The first 16 hexadecimal digits of the SHA-256 of the input: an equal start is a repeat.
    pub input_hash: String,
    /// `Blocked` as JSON; `{"reason":"Paused",...}` for a pause; empty when it is not blocked.
    pub blocked: String,
    /// How it ended: 0 open, else 1 + the place in [`RunStatus::ALL`].
    pub closed: u8,
    /// When it ended; 0 when it has not.
    pub closed_at: TimeMs,
    /// How long it is kept after its end, in milliseconds.
    pub retention_ms: u64,
    /// Who follows it: its changes are in the partition's feed. Empty when nobody does.
    pub origin: String,
    /// Activities without a result, unless there are many: then the rest stands beside the record.
    pub attempts: Vec<AttemptRecord>,
    /// How many stand beside the record.
    pub attempts_beside: u32,
}

/// An activity that has no result yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptRecord {
    /// The number of its `ScheduleActivity`.
    pub command: CommandNo,
    /// Where it stands.
    pub phase: AttemptPhase,
    /// The present or next attempt, from 1.
    pub attempt: Attempt,
    /// The journal entry that holds its name and argument.
    pub turn: u32,
    /// Leases of it that were lost.
    pub losses: u32,
    /// Who has it: a session, or `-` for a program that polls an external queue; empty when nobody has.
    pub session: String,
    /// The number of the request which the lease was granted to.
    pub seq: Seq,
    /// When it was scheduled.
    pub scheduled_at: TimeMs,
    /// When the present attempt was leased; 0 before.
    pub started_at: TimeMs,
    /// The external queue, `namespace/name`; empty for the pool's own queue.
    pub queue: String,
    /// Start-to-close time-out in milliseconds, at least 1.
    pub timeout_ms: u64,
    /// Heartbeat time-out in milliseconds; 0 for none.
    pub heartbeat_ms: u64,
    /// When the first attempt fails that nobody has begun (schedule-to-start); 0 for never, and once somebody has.
    pub start_by: TimeMs,
    /// When it fails, whatever its attempts do (schedule-to-close); 0 for never.
    pub close_by: TimeMs,
    /// What the attempt before failed with: `type: message`, cut to 1,024 bytes.
    pub last_error: String,
}

/// The session that stands for the programs that poll external queues: it never expires, its leases do.
pub const EXTERNAL: &str = "-";

/// Why a record cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Written by a newer program.
    #[error("the record has format {found}; this program knows up to {RECORD_FORMAT}: use the newer everloop that wrote it")]
    Newer {
        /// Its format.
        found: u8,
    },
    /// Not a record.
    #[error("the record is damaged: {0}")]
    Damaged(String),
}

impl RunRecord {
    /// What its users see.
    #[must_use]
    pub fn status(&self) -> RunStatus {
        if let Some(status) = self.closed.checked_sub(1).and_then(|n| RunStatus::ALL.get(usize::from(n))) {
            return *status;
        }
        match self.phase {
            Phase::Blocked if self.blocked.starts_with(PAUSED_PREFIX) => RunStatus::Paused,
            Phase::Blocked => RunStatus::Blocked,
            Phase::Waiting | Phase::Ready | Phase::Leased | Phase::Closed => RunStatus::Running,
        }
    }

    /// Somebody follows it from now on.
    pub fn follow(&mut self, origin: &str) {
        self.format = self.format.max(ORIGIN_SINCE);
        origin.clone_into(&mut self.origin);
    }

    /// The number of a status in [`RunRecord::closed`].
    #[must_use]
    pub fn closed_number(status: RunStatus) -> u8 {
        RunStatus::ALL.iter().zip(1..).find_map(|(s, n)| (*s == status).then_some(n)).unwrap_or_default()
    }

    /// The attempt of a command, when it stands in the record.
    pub fn attempt_mut(&mut self, command: CommandNo) -> Option<&mut AttemptRecord> {
        self.attempts.iter_mut().find(|a| a.command == command)
    }
}

/// How the JSON of a pause begins.
pub const PAUSED_PREFIX: &str = r#"{"reason":"Paused""#;

/// Records for tests.
#[cfg(test)]
pub(crate) mod samples {
    use super::*;

    /// A run that waits.
    pub(crate) fn run() -> RunRecord {
        RunRecord {
            format: RECORD_FORMAT,
            uid: "0190f3a0-0000-7000-8000-000000000000".into(),
            workflow: "order-status".into(),
            version: "0".repeat(64),
            pool: "default".into(),
            phase: Phase::Waiting,
            head: "00000000000000ff".into(),
            epoch: 1,
            session: String::new(),
            seq: 0,
            holder: String::new(),
            turns: 1,
            journal_bytes: 300,
            at: TimeMs(5),
            started_at: TimeMs(4),
            mail: 0,
            mail_cancel: 0,
            next_command: 1,
            timers: 0,
            deaths: 0,
            input_hash: "0".repeat(16),
            blocked: String::new(),
            closed: 0,
            closed_at: TimeMs(0),
            retention_ms: 1000,
            origin: String::new(),
            attempts: vec![],
            attempts_beside: 0,
        }
    }

    /// An attempt that request 9 of session `s1` has.
    pub(crate) fn attempt(command: CommandNo) -> AttemptRecord {
        AttemptRecord {
            command,
            phase: AttemptPhase::Leased,
            attempt: 2,
            turn: 0,
            losses: 0,
            session: "s1".into(),
            seq: 9,
            scheduled_at: TimeMs(1_000),
            started_at: TimeMs(2_000),
            queue: String::new(),
            timeout_ms: 5_000,
            heartbeat_ms: 500,
            start_by: TimeMs(0),
            close_by: TimeMs(61_000),
            last_error: "Error: again".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_numbers_round_trip() {
        for status in RunStatus::ALL.into_iter().filter(|s| s.is_closed()) {
            let record = RunRecord { phase: Phase::Closed, closed: RunRecord::closed_number(status), ..samples::run() };
            assert_eq!(record.status(), status);
        }
    }
}
