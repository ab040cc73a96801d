//! The worker's protocol: plain JSON over HTTP, so that a worker in any language is a few dozen lines.
//!
//! A worker opens a session and keeps its stream open; it renews the session; it has one poll under way, which offers the
//! slots that nothing else offers; it commits turns and outcomes, many in one request, and each item offers the slots that it
//! frees. Every request that may be granted something has a number (`seq`), rising within the session, and every lease is
//! named by (session, seq). An answer that was lost is asked for again with the same number and `again: true`.

#![allow(clippy::large_stack_arrays, reason = "what utoipa derives for the schema of a large enum, run once when the document is made")]

use serde::{Deserialize, Serialize};

use super::ids::{Attempt, CommandNo, Head, Name, RunKey, Seq, SessionId, Uid, Version};
use super::journal::{Birth, Command, Log};
use super::json::Json;
use super::run::{Blocked, RunError};
use super::time::TimeMs;

/// Body of `POST /v1/worker/session`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenSession {
    /// The worker's name: for people, and the first part of the session's id. Letters, digits and `-`, up to 40.
    pub worker: String,
    /// The pool that it serves.
    pub pool: Name,
}

/// Answer of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionOpened {
    /// For everything that follows.
    pub session: SessionId,
    /// It ends when it is not renewed for so long; renew at a third of it.
    pub ttl_ms: u64,
    /// The store's clock.
    pub now: TimeMs,
}

/// Body of `POST /v1/worker/session/{id}/renew`. `410 SessionLost`: it has ended, for ever; forget all leases, open a new one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Renew {
    /// Runs whose turn is being executed right now: they are suspects if the worker dies.
    #[serde(default)]
    pub executing: Vec<RunKey>,
}

/// Answer of it, and each line of the stream `GET /v1/worker/session/{id}/stream` (JSON lines, one at once and one every few
/// seconds). A stream that breaks without `moved` ends the session after a short grace, unless it comes back at any replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Renewed {
    /// The store's clock.
    pub now: TimeMs,
    /// This replica stops: open the stream elsewhere; the session goes on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub moved: bool,
    /// Only in lines of the stream: offer nothing, finish what you have, and take on work again when a line says so no more. Nothing is
    /// granted meanwhile, whatever is offered.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub draining: bool,
}

/// Body of `POST /v1/worker/poll`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Poll {
    /// The session.
    pub session: SessionId,
    /// The number of this request, from 1.
    pub seq: Seq,
    /// It is a repeat: its answer was lost.
    #[serde(default)]
    pub again: bool,
    /// Free slots for turns.
    pub turns: u16,
    /// Free slots for activities.
    pub activities: u16,
    /// How long to wait for the first grant, up to 60,000.
    pub wait_ms: u64,
}

/// Answer of a poll.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Work {
    /// The store's clock.
    pub now: TimeMs,
    /// Turns to take.
    #[serde(default)]
    pub turns: Vec<TurnWork>,
    /// Activities to run.
    #[serde(default)]
    pub activities: Vec<ActivityWork>,
}

/// Answer of `GET /v1/worker/session/{id}/leases`: what the store has leased to the session.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Leases {
    /// The store's clock.
    pub now: TimeMs,
    /// Turns.
    pub turns: Vec<TurnLease>,
    /// Attempts.
    pub activities: Vec<ActivityLease>,
}

/// A turn that is leased, by name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TurnLease {
    /// The run.
    pub run: RunKey,
    /// The request that it was granted to.
    pub seq: Seq,
}

/// An attempt that is leased, by name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ActivityLease {
    /// The run.
    pub run: RunKey,
    /// The number of the `ScheduleActivity`.
    pub command: CommandNo,
    /// From 1.
    pub attempt: Attempt,
    /// The request that it was granted to.
    pub seq: Seq,
}

/// A turn that is leased to the worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TurnWork {
    /// The run.
    pub run: RunKey,
    /// Its uid.
    pub uid: Uid,
    /// The workflow.
    pub workflow: Name,
    /// The version.
    pub version: Version,
    /// The head to compute from.
    pub head: Head,
    /// With the session, the lease.
    pub seq: Seq,
    /// How many turns were committed before.
    pub number: u32,
    /// Number of the next command.
    pub next_command: CommandNo,
    /// The later one of the turn before and of this grant: this turn's time may not be earlier.
    pub at: TimeMs,
    /// When the run was accepted.
    pub started_at: TimeMs,
    /// How many workers died in this run's turns.
    #[serde(default)]
    pub deaths: u32,
    /// What waits in the mailbox, each an `Event`. Empty after a resume or for the rest of a turn.
    pub events: Vec<Json>,
}

/// An attempt that is leased to the worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActivityWork {
    /// The run.
    pub run: RunKey,
    /// Its uid; `uid/command` is the idempotency key.
    pub uid: Uid,
    /// The workflow.
    pub workflow: Name,
    /// The version that declares the activity.
    pub version: Version,
    /// The number of the `ScheduleActivity`.
    pub command: CommandNo,
    /// From 1.
    pub attempt: Attempt,
    /// With the session, the lease.
    pub seq: Seq,
    /// When it was scheduled.
    pub scheduled_at: TimeMs,
    /// When this attempt was leased.
    pub started_at: TimeMs,
    /// The attempt has so long, in milliseconds from `started_at`.
    pub timeout_ms: u64,
    /// The activity's name; absent when this very request committed its scheduling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its argument; absent likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub argument: Option<Json>,
}

/// Body of `POST /v1/worker/commit`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CommitRequest {
    /// The session.
    pub session: SessionId,
    /// The number of this request.
    pub seq: Seq,
    /// The worker's name, for the journal.
    pub worker: String,
    /// At most [`super::limits::COMMIT_ITEMS_MAX`]. Items of one run are a chain: after the first refusal the rest are refused.
    pub items: Vec<Item>,
}

/// Slots that an item frees, offered for what follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Slots {
    /// For turns.
    #[serde(default)]
    pub turns: u16,
    /// For activities.
    #[serde(default)]
    pub activities: u16,
    /// The worker has had many grants in a row: let the head of the queue come first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fair: bool,
}

/// One thing to commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub enum Item {
    /// A turn under a lease.
    Turn {
        /// The run.
        run: RunKey,
        /// The lease.
        seq: Seq,
        /// The turn.
        turn: TurnCommit,
        /// What was done after it; see [`StepCommit`].
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        steps: Vec<StepCommit>,
        /// See [`Slots`].
        #[serde(default)]
        offer: Slots,
    },
    /// An attempt's outcome, perhaps with the turn that follows from it.
    Activity {
        /// The run.
        run: RunKey,
        /// The version that declares the activity.
        version: Version,
        /// The activity's name.
        name: String,
        /// The number of the command.
        command: CommandNo,
        /// The attempt.
        attempt: Attempt,
        /// The lease.
        seq: Seq,
        /// When it was scheduled, for the time-out of all attempts.
        scheduled_at: TimeMs,
        /// What it came to.
        outcome: AttemptOutcome,
        /// The optimistic turn: computed from the head and this outcome's event alone. Only when the outcome is final: a
        /// completed one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        turn: Option<TurnCommit>,
        /// What was done after that turn; see [`StepCommit`].
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        steps: Vec<StepCommit>,
        /// See [`Slots`].
        #[serde(default)]
        offer: Slots,
    },
    /// A turn lease handed back.
    ReleaseTurn {
        /// The run.
        run: RunKey,
        /// The lease.
        seq: Seq,
        /// The worker keeps the context in memory.
        #[serde(default)]
        keeps_context: bool,
    },
    /// A sign of life of an attempt: its lease ends a heartbeat time-out from now, at most with its start-to-close.
    Heartbeat {
        /// The run.
        run: RunKey,
        /// The number of the command.
        command: CommandNo,
        /// The attempt.
        attempt: Attempt,
        /// The lease.
        seq: Seq,
    },
    /// An attempt handed back: it uses up no attempt.
    ReleaseActivity {
        /// The run.
        run: RunKey,
        /// The number of the command.
        command: CommandNo,
        /// The attempt.
        attempt: Attempt,
        /// The lease.
        seq: Seq,
    },
    /// The turn cannot be taken: the run needs a person.
    Block {
        /// The run.
        run: RunKey,
        /// The lease.
        seq: Seq,
        /// Why.
        blocked: Blocked,
    },
}

/// A turn, as the worker commits it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TurnCommit {
    /// The head that it was computed from.
    pub base: Head,
    /// The head that it makes; random.
    pub id: Head,
    /// Its number.
    pub number: u32,
    /// The version whose code ran.
    pub version: Version,
    /// The time inside of it.
    pub at: TimeMs,
    /// Events of the mailbox that it consumed; 0 for an optimistic turn.
    pub consumed: u32,
    /// Number of the next command after it.
    pub next_command: CommandNo,
    /// With turn 0 only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub birth: Option<Birth>,
    /// What the code asked for.
    pub commands: Vec<Command>,
    /// What it said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<Log>,
    /// More of this turn follows in the next commit.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub continued: bool,
    /// Of a closing turn that was answered `MoreEvents`: the first answer's `mail`. 0 before.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub seen: u32,
}

/// A step that was done before the turn that asks for it is committed, and is committed with it: the one activity of the turn before,
/// which settled at once, seen by nobody, and the turn that follows. The item must offer a slot for an activity. At most
/// [`super::limits::ITEM_STEPS_MAX`] follow one another in an item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StepCommit {
    /// The number of the command; it is the first attempt.
    pub command: CommandNo,
    /// What it came to.
    pub result: Json,
    /// The optimistic turn that follows.
    pub turn: TurnCommit,
}

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub enum AttemptOutcome {
    /// It has a value.
    Completed {
        /// The value.
        result: Json,
    },
    /// It failed. The service decides whether it is tried again.
    Failed {
        /// The error.
        error: RunError,
        /// Another attempt is useless.
        #[serde(default, rename = "final")]
        final_: bool,
        /// The other side asked for so much patience, in milliseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
    },
}

/// Answer of a commit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CommitAnswer {
    /// The store's clock.
    pub now: TimeMs,
    /// One for each item, in order.
    pub results: Vec<ItemResult>,
    /// What was granted, for all items.
    #[serde(default)]
    pub turns: Vec<TurnWork>,
    /// Likewise.
    #[serde(default)]
    pub activities: Vec<ActivityWork>,
}

/// Begins the reason of a refusal when the item is not what a worker of this release sends: sending it again is useless.
pub const INVALID: &str = "Invalid: ";

/// What became of an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub enum ItemResult {
    /// It was applied, now or before; without its steps, when it has any.
    Accepted,
    /// It was applied with so many of its steps, now or before. When that is not all of them: forget the context.
    Advanced {
        /// At least 1.
        steps: u32,
    },
    /// The outcome counts; the optimistic turn does not, for this reason. Forget the context.
    OutcomeOnly {
        /// A `machine::commit::Refusal`.
        reason: String,
    },
    /// The closing turn must see these first; then commit again, with `seen`. The lease stays.
    MoreEvents {
        /// Each an `Event`.
        events: Vec<Json>,
        /// How many events the mailbox has in all, those of the turn included.
        mail: u32,
    },
    /// Nothing was changed. Forget the context and the lease.
    Refused {
        /// A `machine::commit::Refusal`, or `AttemptLost`.
        reason: String,
    },
    /// The store did not answer: send the item again with the same number.
    Unknown {
        /// What was seen.
        detail: String,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives it so")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}
