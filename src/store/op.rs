//! Arguments and answers of the port's operations: plain data.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::api::ids::{CommandNo, Seq};
use crate::api::{DurationMs, Head, Name, Origin, Partition, RunKey, RunStatus, SessionId, TimeMs, Uid, Version};
use crate::machine::commit::{AttemptClaim, Refusal};
use crate::machine::record::{AttemptRecord, RunRecord};
use crate::machine::scaling::slot_time::Bucket;
use crate::machine::turn::{EntryText, NewAttempt, NewSignal, NewTimer};

/// How an acknowledgement is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// On the disk before it is acknowledged.
    Strict,
    /// Likewise, on servers of which another may take over: it may lack the last that was acknowledged.
    Failover,
    /// On the disk within about a second: a crash of the machine or of the store may lose that much.
    Everysec,
    /// In memory only.
    None,
}

impl Durability {
    /// Its name on the command line and in `/readyz`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Failover => "failover",
            Self::Everysec => "everysec",
            Self::None => "none",
        }
    }
}

/// What a store is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreInfo {
    /// `redis`, `valkey`, `file` or `memory`, with a version where there is one.
    pub kind: String,
    /// Made when the store was created: another id is another store.
    pub id: String,
    /// How many partitions it was created with.
    pub partitions: u16,
    /// See [`Durability`].
    pub durability: Durability,
}

/// The current version of a workflow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowRecord {
    /// Its name.
    pub name: Name,
    /// Its current version.
    pub version: Version,
    /// The pool that runs it.
    pub pool: Name,
    /// How long closed runs are kept.
    pub retention_ms: u64,
    /// Rises with every definition in the store; the higher one wins.
    pub generation: u64,
    /// When it was defined.
    pub defined_at: TimeMs,
    /// Who holds it, an [`Origin`]: only that one changes it. Empty: people, by hand.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub holder: String,
    /// It takes no new runs, and whoever defines it next holds it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retired: bool,
}

impl WorkflowRecord {
    /// Whether another than `holder` holds it.
    #[must_use]
    pub fn is_held_from(&self, holder: Option<&Origin>) -> bool {
        !self.retired && self.holder != holder.map_or("", Origin::as_str)
    }
}

/// See [`super::Store::define`].
#[derive(Debug, Clone)]
pub struct Define {
    /// Where.
    pub namespace: Name,
    /// Its name.
    pub name: Name,
    /// The version.
    pub version: Version,
    /// The definition's canonical JSON.
    pub definition: String,
    /// The pool.
    pub pool: Name,
    /// Retention of closed runs.
    pub retention: DurationMs,
    /// Who holds it from now on; absent: people.
    pub holder: Option<Origin>,
    /// The caller's idempotency key: a definition whose key is known was made before, and others may have followed. Empty for none.
    pub key: String,
    /// See the port.
    pub now: TimeMs,
}

/// See [`super::Store::retire`].
#[derive(Debug, Clone)]
pub struct Retire {
    /// Where.
    pub namespace: Name,
    /// Its name.
    pub name: Name,
    /// Who asks; absent: people.
    pub holder: Option<Origin>,
    /// As in [`Define`].
    pub key: String,
    /// See the port.
    pub now: TimeMs,
}

/// The answer to a definition, and to its retirement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Defined {
    /// It is so.
    Done {
        /// What is current now.
        record: WorkflowRecord,
        /// It was so before (version, pool, retention, holder), or the request is a repeat.
        unchanged: bool,
    },
    /// Somebody else holds the workflow: nothing was changed.
    Held(WorkflowRecord),
}

/// Slots that a waiting session offers to an operation that makes work ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The session.
    pub session: SessionId,
    /// The request of it that will carry the answer.
    pub seq: Seq,
    /// The pool that it serves. An offer to another pool's run is no offer.
    pub pool: Name,
    /// Free slots for turns.
    pub turns: u16,
    /// Free slots for activities.
    pub activities: u16,
    /// After many grants in a row: what is new queues up behind the head of the queue.
    pub fair: bool,
}

/// A turn lease that was granted.
#[derive(Debug, Clone, PartialEq)]
pub struct TurnGrant {
    /// The run.
    pub run: RunKey,
    /// The record after the operation: phase leased.
    pub record: RunRecord,
    /// The first events of the mailbox, as JSON texts, at most [`crate::api::limits::CLAIM_EVENTS_MAX`]
    /// and about [`crate::api::limits::COMMIT_BYTES_MAX`]; at least one when there is one.
    pub events: Vec<String>,
    /// The store's clock at the grant: no event in it is later, so its turn must not be earlier.
    pub now: TimeMs,
}

/// A lease on an attempt that was granted.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptGrant {
    /// The run.
    pub run: RunKey,
    /// The run's uid.
    pub uid: Uid,
    /// The workflow.
    pub workflow: Name,
    /// The version whose definition has the activity.
    pub version: Version,
    /// The attempt after the grant: phase leased.
    pub attempt: AttemptRecord,
    /// The journal entry that has its name and argument; empty when the same operation has just brought it. Attempts of one entry share
    /// it.
    pub entry: Arc<str>,
}

/// What an operation granted to the session that offered slots.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Grants {
    /// Turn leases.
    pub turns: Vec<TurnGrant>,
    /// Attempt leases.
    pub attempts: Vec<AttemptGrant>,
}

/// See [`super::Store::start`].
#[derive(Debug, Clone)]
pub struct Start {
    /// The run.
    pub run: RunKey,
    /// Its new uid.
    pub uid: Uid,
    /// Its first head.
    pub head: Head,
    /// The workflow.
    pub workflow: Name,
    /// The version that the caller knows as current.
    pub version: Version,
    /// The event `Started` as JSON text.
    pub event: String,
    /// First 16 hexadecimal digits of the SHA-256 over workflow and input.
    pub input_hash: String,
    /// Who follows it; absent: nobody.
    pub origin: Option<Origin>,
    /// See the port.
    pub now: TimeMs,
    /// A waiting session.
    pub offer: Option<Offer>,
}

/// The answer to a start.
#[derive(Debug, Clone, PartialEq)]
pub enum Started {
    /// Accepted now.
    New {
        /// The record.
        record: RunRecord,
        /// The turn, when the offered session got it.
        grant: Option<TurnGrant>,
    },
    /// The same start was accepted before.
    Existing(RunRecord),
    /// Another start has this id.
    Taken(RunRecord),
    /// The workflow takes no new runs.
    Retired(WorkflowRecord),
    /// The workflow's current version is another one: look it up again.
    VersionChanged(WorkflowRecord),
    /// No such workflow in the partition.
    WorkflowNotFound,
}

/// See [`super::Store::deliver`].
#[derive(Debug, Clone)]
pub struct Deliver {
    /// The run.
    pub run: RunKey,
    /// The event as JSON text.
    pub event: String,
    /// It is a `CancelRequested`: not bound by the mailbox, and no optimistic turn may pass it.
    pub cancel: bool,
    /// The caller's idempotency key.
    pub key: String,
    /// See the port.
    pub now: TimeMs,
    /// A waiting session.
    pub offer: Option<Offer>,
}

/// The answer to a delivery.
#[derive(Debug, Clone, PartialEq)]
pub enum Delivered {
    /// In the mailbox.
    Accepted {
        /// The turn, when the offered session got it.
        grant: Option<TurnGrant>,
    },
    /// It was before.
    Repeat,
    /// No such run.
    NotFound,
    /// The run has ended.
    Closed(RunStatus),
    /// Too many unread events.
    MailboxFull,
}

/// What a person does to a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlKind {
    /// Ends it without a last turn; the journal gets a last entry of the given text (it says why).
    Terminate {
        /// The entry: `EntryText::with_events(&[])` of a `Fail` command with the error; the turn number inside is a guess that
        /// the store does not check, see `machine::turn`.
        entry: String,
    },
    /// Holds it; with [`Control::over`] a run that stands still already gets this reason.
    Pause {
        /// `Blocked` as JSON, beginning with [`crate::machine::record::PAUSED_PREFIX`].
        blocked: String,
    },
    /// Lets a paused or blocked run go on, on this version when one is given.
    Resume {
        /// The version to move to.
        version: Option<Version>,
    },
}

/// See [`super::Store::control`].
#[derive(Debug, Clone)]
pub struct Control {
    /// The run.
    pub run: RunKey,
    /// What to do.
    pub kind: ControlKind,
    /// Of a pause or resume that was decided on what stands in the record: the head of that. Of another one nothing is changed.
    pub over: Option<Head>,
    /// The new head.
    pub head: Head,
    /// The caller's idempotency key: an operation whose key is known was done before. Empty for none.
    pub key: String,
    /// See the port.
    pub now: TimeMs,
}

/// The answer to a control operation.
#[derive(Debug, Clone, PartialEq)]
pub enum Controlled {
    /// Done, now or before.
    Done(RunRecord),
    /// No such run.
    NotFound,
    /// The run has ended (otherwise than asked).
    Closed(RunStatus),
    /// Resume of a run that is neither paused nor blocked.
    NotApplicable(RunRecord),
    /// The head is not the one that the decision was made on.
    Moved(RunRecord),
}

/// The leases of a session in one partition, without what they are for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Leases {
    /// Turns: the run, and the request that the lease was granted to.
    pub turns: Vec<(RunKey, Seq)>,
    /// Attempts, with their run.
    pub attempts: Vec<(RunKey, AttemptClaim)>,
}

/// See [`super::Store::claim`].
#[derive(Debug, Clone)]
pub struct Claim {
    /// Where to look.
    pub partition: Partition,
    /// Who claims.
    pub by: Claimer,
    /// The number of the request.
    pub seq: Seq,
    /// Turns wanted.
    pub turns: u16,
    /// Attempts wanted.
    pub attempts: u16,
    /// The request is a repeat: first hand out anew what it was granted, as far as one answer carries it.
    pub again: bool,
    /// See the port.
    pub now: TimeMs,
}

/// Who claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimer {
    /// A worker's session, for its pool.
    Session {
        /// The session.
        session: SessionId,
        /// Its pool.
        pool: Name,
    },
    /// A program, for an external queue `namespace/name`. It gets attempts only, leased to `machine::record::EXTERNAL`; the
    /// request number tells its leases from others', so it must be unique: the caller draws it at random below 2^53.
    External {
        /// The queue.
        queue: String,
    },
}

/// The answer to a claim.
#[derive(Debug, Clone, PartialEq)]
pub enum Claimed {
    /// Perhaps nothing.
    Granted {
        /// What was granted.
        grants: Grants,
        /// More is ready than was wanted.
        more: bool,
        /// Something is ready from then on, for whom it does not prefer (affinity); 0 when nothing is.
        next_at: TimeMs,
    },
    /// The session has ended in this partition.
    SessionLost,
}

/// A turn that is to be committed.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    /// The head that it was computed from.
    pub base: Head,
    /// The head that it makes: the turn id.
    pub id: Head,
    /// The time inside of it.
    pub at: TimeMs,
    /// The journal entry around its events.
    pub entry: EntryText,
    /// How many events of the mailbox it consumed; of an optimistic turn: 0.
    pub consumed: u32,
    /// The number of the run's next command after it.
    pub next_command: CommandNo,
    /// Activities to queue or to grant.
    pub schedule: Vec<NewAttempt>,
    /// Timers to set.
    pub timers: Vec<NewTimer>,
    /// Timers to forget.
    pub cancel_timers: Vec<CommandNo>,
    /// Signals to other runs.
    pub signals: Vec<NewSignal>,
    /// How the run ends, when it does.
    pub close: Option<RunStatus>,
    /// The turn goes on in the next commit: the lease stays, with the same request number.
    pub continued: bool,
    /// Of a closing turn that was answered [`Committed::MoreEvents`]: how many events the mailbox had then. When the turn has consumed
    /// as many it closes the run in spite of what came since. 0 before.
    pub seen: u32,
}

/// See [`super::Store::commit`].
#[derive(Debug, Clone)]
pub struct Commit {
    /// The run.
    pub run: RunKey,
    /// Who has the lease.
    pub session: SessionId,
    /// The request that it was granted to.
    pub seq: Seq,
    /// The turn.
    pub turn: Turn,
    /// See the port.
    pub now: TimeMs,
    /// Slots for what follows.
    pub offer: Option<Offer>,
}

/// The answer to a commit.
#[derive(Debug, Clone, PartialEq)]
pub enum Committed {
    /// Applied, now or before.
    Accepted {
        /// What was granted. A turn of this run is granted when mail is left, or when the turn is continued.
        grants: Grants,
        /// When it was applied; of a run that it closed: when it closed, in a repeat too.
        at: TimeMs,
    },
    /// A closing turn, and mail waits that it has not consumed: apply these too and commit again, with `seen`. The lease stays.
    MoreEvents {
        /// The next of it, as many as one answer carries.
        events: Vec<String>,
        /// How many events the mailbox has in all, those of the turn included.
        mail: u32,
    },
    /// Nothing was changed.
    Refused(Refusal),
}

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is settled by this event, as JSON text.
    Settled {
        /// `ActivityCompleted` or `ActivityFailed`.
        event: String,
    },
    /// It failed and is tried again.
    Retry {
        /// Not before.
        at: TimeMs,
        /// `type: message`, cut to 1,024 bytes.
        error: String,
    },
}

/// See [`super::Store::finish`].
#[derive(Debug, Clone)]
pub struct Finish {
    /// The run.
    pub run: RunKey,
    /// The lease on the attempt.
    pub attempt: AttemptClaim,
    /// What it came to.
    pub outcome: Outcome,
    /// The optimistic turn, with the outcome as its one event. Only with [`Outcome::Settled`].
    pub turn: Option<Turn>,
    /// The caller's idempotency key: an outcome whose key is known was accepted before. Empty for none.
    pub key: String,
    /// See the port.
    pub now: TimeMs,
    /// Slots for what follows.
    pub offer: Option<Offer>,
}

/// The answer to a finish.
#[derive(Debug, Clone, PartialEq)]
pub enum Finished {
    /// The outcome counts.
    Accepted {
        /// The optimistic turn: `None` when there was none, else applied or why not.
        turn: Option<Result<(), Refusal>>,
        /// What was granted.
        grants: Grants,
        /// See [`Committed::Accepted`].
        at: TimeMs,
    },
    /// The attempt is not the caller's, or the run has ended: nothing was changed.
    AttemptLost,
    /// No such run.
    NotFound,
}

/// See [`super::Store::settle`].
#[derive(Debug, Clone)]
pub struct Settle {
    /// The run.
    pub run: RunKey,
    /// In the order of their arrival.
    pub outcomes: Vec<Settlement>,
    /// See the port.
    pub now: TimeMs,
    /// A slot for the turn that follows.
    pub offer: Option<Offer>,
}

/// What one attempt came to.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// The lease on it.
    pub attempt: AttemptClaim,
    /// What it came to.
    pub outcome: Outcome,
    /// See [`Finish::key`].
    pub key: String,
}

/// The answer to a settle.
#[derive(Debug, Clone, PartialEq)]
pub struct Settled {
    /// For each outcome whether it counts; if not, the attempt is not the caller's, or the run has ended or is not there.
    pub counts: Vec<bool>,
    /// What was granted.
    pub grants: Grants,
}

/// See [`super::Store::release`].
#[derive(Debug, Clone)]
pub struct Release {
    /// The run.
    pub run: RunKey,
    /// What is handed back.
    pub what: Released,
    /// See the port.
    pub now: TimeMs,
}

/// What is handed back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Released {
    /// A turn lease.
    Turn {
        /// Who has it.
        session: SessionId,
        /// The request that it was granted to.
        seq: Seq,
        /// The run is blocked instead of ready: `Blocked` as JSON; empty: ready. The mail stays.
        blocked: String,
        /// The new head of a blocked run.
        head: Head,
        /// The session keeps the context in memory: the run goes on preferring it.
        keeps_context: bool,
    },
    /// An attempt.
    Attempt(AttemptClaim),
}

/// How a session ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Its worker says that nothing runs any more.
    Goodbye,
    /// Nobody has said anything. A turn that it had leased makes the run a suspect, up to
    /// [`crate::api::limits::TURN_SUSPECT_DEATHS`]; one that was seen in execution counts beyond.
    Death {
        /// The runs whose turn was last said to be in execution.
        executing: Vec<RunKey>,
    },
}

/// The answer to the end of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ended {
    /// Turns that are ready again.
    pub turns: u32,
    /// Attempts that are queued again, or failed with `WorkerLost`.
    pub attempts: u32,
    /// Leases are left: call again.
    pub more: bool,
}

/// What waits in the outbox of a partition for another one: the first of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parcel {
    /// The partition that it is for; it may be the same one.
    pub to: Partition,
    /// The number of the first message. Numbers begin at 1 and have no gaps.
    pub first: u64,
    /// The messages: [`crate::machine::message::Message`], packed.
    pub messages: Vec<Vec<u8>>,
}

/// See [`super::Store::receive`].
#[derive(Debug, Clone)]
pub struct Receive {
    /// The partition of the senders.
    pub from: Partition,
    /// The partition of the receivers.
    pub to: Partition,
    /// As in the [`Parcel`].
    pub first: u64,
    /// As in the [`Parcel`].
    pub messages: Vec<Vec<u8>>,
    /// See the port.
    pub now: TimeMs,
}

/// The answer to messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// The number of the last one that is applied, now or before.
    pub last: u64,
    /// Outcomes go back to the senders: the receiver's own outbox has something.
    pub replied: bool,
}

/// See [`super::Store::fire`].
#[derive(Debug, Clone)]
pub struct Fire {
    /// Where.
    pub partition: Partition,
    /// See the port.
    pub now: TimeMs,
    /// A waiting session.
    pub offer: Option<Offer>,
    /// So many of each kind at most, and at most [`crate::api::limits::SLICE_MAX`].
    pub slice: usize,
}

/// The answer to a fire.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Fired {
    /// Timers that went into mailboxes.
    pub timers: u32,
    /// Attempts that went into queues after their back-off.
    pub retries: u32,
    /// Attempts past a time-out: the caller decides and finishes them.
    pub timed_out: Vec<TimedOut>,
    /// What was granted.
    pub grants: Grants,
    /// More is due: call again.
    pub more: bool,
    /// When the next thing is due; 0 when nothing is.
    pub next_due: TimeMs,
    /// The store's clock.
    pub now: TimeMs,
}

/// An attempt past a time-out. Handed out again every few seconds until somebody finishes it.
#[derive(Debug, Clone, PartialEq)]
pub struct TimedOut {
    /// The run.
    pub run: RunKey,
    /// The workflow's version.
    pub version: Version,
    /// The attempt, with whoever has it.
    pub attempt: AttemptRecord,
}

impl TimedOut {
    /// The claim under which the service finishes it.
    #[must_use]
    pub fn claim(&self) -> AttemptClaim {
        AttemptClaim::of(&self.attempt)
    }
}

/// The answer to a sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Runs removed.
    pub runs: u32,
    /// More are due.
    pub more: bool,
}

/// See [`super::Store::run`].
#[derive(Debug, Clone, PartialEq)]
pub struct RunState {
    /// The record, with all attempts, those beside it too.
    pub record: RunRecord,
    /// The text of the first event (`Started`), from the journal or, before the first turn, from the mailbox.
    pub first: String,
    /// The text of the last journal entry; empty without one.
    pub last: String,
}

/// See [`super::Store::journal`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalPage {
    /// Texts of entries, in order.
    pub entries: Vec<String>,
    /// How many the journal has.
    pub turns: u32,
    /// The run's uid: another one is another journal.
    pub uid: String,
    /// The run's head at the time of the reading.
    pub head: String,
}

/// Which store it is, and who may still change what operators change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lineage {
    /// The store's id as it is recorded now; empty when the store was emptied under this process.
    pub id: String,
    /// The highest term that was given; 0 for none.
    pub term: u64,
}

/// The answer to a look at a partition's feed of changes.
#[derive(Debug, Clone, PartialEq)]
pub enum Changes {
    /// Perhaps nothing.
    Told {
        /// The place after what is told.
        place: u64,
        /// The runs that changed, each once, as they are now.
        runs: Vec<Change>,
        /// More is there.
        more: bool,
    },
    /// The feed does not reach back to that place, or never had it: look at everything, and go on from its end.
    TooOld,
}

/// A run that changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Which.
    pub run: RunKey,
    /// Its record, as far as it stands in one piece; absent: it was removed after its retention.
    pub record: Option<RunRecord>,
    /// The text of the last journal entry of a run that has ended; else empty.
    pub last: String,
}

/// See [`super::Store::list`].
#[derive(Debug, Clone)]
pub struct List {
    /// Where.
    pub namespace: Name,
    /// Only of this workflow.
    pub workflow: Option<Name>,
    /// Only in this status.
    pub status: Option<RunStatus>,
    /// At most, 1 to [`crate::api::limits::LIST_PAGE_MAX`].
    pub limit: usize,
    /// From a page before; empty for the first one. Opaque.
    pub cursor: String,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// The runs, newest first.
    pub runs: Vec<(RunKey, RunRecord)>,
    /// For the next page; empty when this is the last.
    pub cursor: String,
}

/// Open runs of one version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct OpenRuns {
    /// Where.
    pub namespace: Name,
    /// The workflow.
    pub workflow: Name,
    /// The version that they are on.
    pub version: Version,
    /// How many, at least 1.
    pub runs: u64,
}

/// Open runs that have an origin.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FollowedRuns {
    /// Which, with where they come from.
    pub runs: Vec<(RunKey, Origin)>,
    /// There are others behind the last one.
    pub more: bool,
}

/// Numbers of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Ready turns, by pool.
    pub ready_turns: BTreeMap<String, u64>,
    /// Queued attempts, by queue (`pool:<name>` or `queue:<namespace>/<name>`).
    pub queued_attempts: BTreeMap<String, u64>,
    /// Leases, by session.
    pub leases: BTreeMap<String, u64>,
    /// Timers and back-offs that are to fall due.
    pub due: u64,
}

/// The work of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Load {
    /// Ready turns, by pool.
    pub turns: BTreeMap<String, Waiting>,
    /// Queued attempts of activities that workers run, by pool.
    pub attempts: BTreeMap<String, Waiting>,
    /// What is leased, by session.
    pub leases: BTreeMap<SessionId, Leased>,
    /// What has ended, by pool: rises for ever.
    pub ended: BTreeMap<String, Completions>,
    /// The next timers and back-offs of open runs within [`crate::api::limits::TIMERS_AHEAD`], soonest first, with their pool; at most
    /// [`crate::api::limits::TIMERS_TOLD_MAX`].
    pub due: Vec<(TimeMs, String)>,
    /// How many timers and back-offs are due by now, up to [`crate::api::limits::OVERDUE_COUNTED_MAX`].
    pub overdue: u64,
    /// The store's clock.
    pub now: TimeMs,
}

/// Leases that have ended with what they were for. One that was lost, or handed back, has not: the work is there again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Completions {
    /// Turns that were committed under a lease.
    pub turns: Tally,
    /// Attempts that had an outcome, a failed one that is tried again included; and those that were given up.
    pub attempts: Tally,
}

/// How many used a slot how long; `None`: of which that is not known, such as what earlier versions counted.
pub type Tally = BTreeMap<Option<Bucket>, u64>;

/// What waits for a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// How many, at least 1.
    pub count: u64,
    /// Since when the first of them waits.
    pub since: TimeMs,
}

/// The busy slots of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Leased {
    /// Turns.
    pub turns: u64,
    /// Attempts.
    pub attempts: u64,
}

/// Something that somebody may wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wake {
    /// A pool has a ready turn or a queued attempt.
    Pool {
        /// Where.
        partition: Partition,
        /// The pool.
        pool: String,
    },
    /// An external queue has an attempt.
    Queue {
        /// Where.
        partition: Partition,
        /// `namespace/name`.
        queue: String,
    },
    /// A run has ended.
    Closed(RunKey),
    /// The feed of changes of a partition has grown.
    Changed(Partition),
    /// Something is due earlier than before.
    Due {
        /// Where.
        partition: Partition,
        /// When.
        at: TimeMs,
    },
    /// The connection was lost and is back: look at everything.
    All,
}
