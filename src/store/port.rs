//! The port: what every store can do, and what each operation promises.
//!
//! All operations: what was answered with success is durable as far as [`super::op::StoreInfo::durability`] says; an error
//! [`StoreError::Unavailable`] means *unknown*, never *refused*: repeat the operation with the same arguments.
//! `now` is the caller's estimate of the store's clock; a store uses `min(now, its own clock)` and answers with its clock.

use async_trait::async_trait;
use tokio::sync::broadcast;

use super::chain::{Chain, Chained};
use super::op;
use crate::api::{Name, Partition, RunKey, SessionId, TimeMs, Version};
use crate::machine::commit::AttemptClaim;

/// Why an operation gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The store did not answer, or not in time: the outcome is unknown.
    #[error("failed to {operation}: the store does not answer ({detail})")]
    Unavailable {
        /// The operation.
        operation: &'static str,
        /// What was seen.
        detail: String,
    },
    /// The store has no room: nothing was changed.
    #[error("failed to {operation}: the store is full ({detail})")]
    Full {
        /// The operation.
        operation: &'static str,
        /// What was seen.
        detail: String,
    },
    /// What is stored cannot be read by this program.
    #[error("failed to {operation}: {detail}")]
    Damaged {
        /// The operation.
        operation: &'static str,
        /// What was found.
        detail: String,
    },
    /// The store is not fit for what was asked: each line says what is wrong and what to change.
    #[error("the store is not fit for use:\n{}", .0.join("\n"))]
    Unfit(Vec<String>),
}

/// A store of runs.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Kind, id, partitions and durability; fixed when it was opened.
    fn info(&self) -> op::StoreInfo;

    /// The store's clock. Also the cheapest question whether it answers.
    async fn now(&self) -> Result<TimeMs, StoreError>;

    /// The store's id and the term that holds, as they are recorded now.
    async fn lineage(&self) -> Result<op::Lineage, StoreError>;

    /// Gives a term that is higher than all before. Repeat: another, higher one. Refused when the store was emptied under this process.
    async fn next_term(&self) -> Result<u64, StoreError>;

    /// Makes a definition the current version of its workflow, in every partition, and keeps it for the runs that stay on it. Checks:
    /// nobody else holds the workflow, or it is retired.
    /// Repeat: no change. Crash in the middle: the version may be current in some partitions; the caller was not answered and
    /// repeats; of two callers, the later generation wins everywhere.
    async fn define(&self, define: op::Define) -> Result<op::Defined, StoreError>;

    /// Retires a workflow, in every partition: it takes no new runs, its open ones go on, and nobody holds it any more. Absent when there
    /// is no such workflow. Repeat and crash: as [`Store::define`].
    async fn retire(&self, retire: op::Retire) -> Result<Option<op::Defined>, StoreError>;

    /// A version's definition. Immutable.
    async fn definition(&self, version: &Version) -> Result<Option<String>, StoreError>;

    /// The current definition of a workflow.
    async fn workflow(&self, namespace: &Name, name: &Name) -> Result<Option<op::WorkflowRecord>, StoreError>;

    /// All workflows of a namespace, by name.
    async fn workflows(&self, namespace: &Name) -> Result<Vec<op::WorkflowRecord>, StoreError>;

    /// All workflows of any namespace that somebody else than people holds.
    async fn held_workflows(&self) -> Result<Vec<(Name, op::WorkflowRecord)>, StoreError>;

    /// Starts a run. Checks: the workflow's current version in the run's partition is the given one and not retired; the id is free, or taken
    /// by an equal start. Changes: record, mailbox with `Started`, index; ready, or leased to the offered session.
    /// Repeat: [`op::Started::Existing`]; an open run that nobody follows gets the origin of the repeat.
    async fn start(&self, start: op::Start) -> Result<op::Started, StoreError>;

    /// Puts an event from outside into a run's mailbox. Checks: open, bound on unread events, idempotency key new.
    /// Repeat with the same key: [`op::Delivered::Repeat`].
    async fn deliver(&self, deliver: op::Deliver) -> Result<op::Delivered, StoreError>;

    /// Terminates, pauses or resumes a run. Replaces the head, so that a turn on its way is refused; a turn lease is revoked.
    /// Repeat, known by head or idempotency key: no change, answered as done.
    async fn control(&self, control: op::Control) -> Result<op::Controlled, StoreError>;

    /// Opens a session in one partition. Repeat: sets the deadline anew. An ended session cannot be opened again: `false`.
    async fn open_session(&self, partition: Partition, session: &SessionId, pool: &Name, deadline: TimeMs) -> Result<bool, StoreError>;

    /// Renews a session in one partition: `false` when it has ended there, and it has for ever.
    async fn renew_session(&self, partition: Partition, session: &SessionId, deadline: TimeMs) -> Result<bool, StoreError>;

    /// Ends a session in one partition (tombstone first: every later use is refused), then releases up to a slice of its
    /// leases: turns become ready again, attempts are queued again with the same number and one more loss; at
    /// [`crate::api::limits::ATTEMPT_LOSSES_MAX`] the activity fails with `WorkerLost`. Repeat until `more` is false.
    /// After a death the runs whose turn it had count it, see [`op::Ending`].
    async fn end_session(
        &self,
        partition: Partition,
        session: &SessionId,
        ending: &op::Ending,
        now: TimeMs,
    ) -> Result<op::Ended, StoreError>;

    /// Sessions whose deadline has passed, of one partition, and those whose end was begun and not finished.
    async fn expired_sessions(&self, partition: Partition, now: TimeMs) -> Result<Vec<SessionId>, StoreError>;

    /// Marks a session in one partition to be drained until then; a time of 0 takes the mark back. Who marks uses one partition for all
    /// sessions. `false`: it has ended, or was never opened there. The mark says nothing to other operations, and goes with its session or
    /// some time after it has lapsed. Repeat: the last one counts.
    async fn drain_session(&self, partition: Partition, session: &SessionId, until: TimeMs, now: TimeMs) -> Result<bool, StoreError>;

    /// The sessions of one partition that are marked, each with when the mark lapses; some that have lapsed may be among them.
    async fn draining(&self, partition: Partition) -> Result<Vec<(SessionId, TimeMs)>, StoreError>;

    /// The sessions of one partition that have not ended.
    async fn sessions(&self, partition: Partition) -> Result<Vec<SessionId>, StoreError>;

    /// Leases waiting turns and attempts of a pool to a session, or attempts of an external queue to a program.
    /// With [`op::Claim::again`] it first hands out anew what the same (session, request number) was granted before: the
    /// answer was lost.
    async fn claim(&self, claim: op::Claim) -> Result<op::Claimed, StoreError>;

    /// All leases of a session in one partition, by name. None of a session that has ended.
    async fn leases(&self, partition: Partition, session: &SessionId) -> Result<op::Leases, StoreError>;

    /// Commits a turn under a lease. See `machine::commit::judge_leased`. All in one: journal entry, consumed events,
    /// attempts, timers, phase, new head; grants by the offer. Repeat: known by the turn id, answered as before, with what is
    /// still leased to (session, request number).
    async fn commit(&self, commit: op::Commit) -> Result<op::Committed, StoreError>;

    /// Records an attempt's outcome; with a turn, an optimistic one, commits that too when `machine::commit::judge_optimistic`
    /// accepts it, else puts the result into the mailbox, once. Repeat: [`op::Finished::AttemptLost`], or, when the turn was
    /// accepted, as before.
    async fn finish(&self, finish: op::Finish) -> Result<op::Finished, StoreError>;

    /// Records the outcomes of several attempts of one run, as [`Store::finish`] would one after the other without turns, except that
    /// the run is made ready after the last of them: its turn has them all. Repeat: known by their keys; without, they do not count.
    async fn settle(&self, settle: op::Settle) -> Result<op::Settled, StoreError>;

    /// A commit or a finish and the steps that its session has done after it, see [`super::chain`]: as if each had been called after the
    /// other, up to the first that is not taken, and in the usual case all of it in one. Crash in the middle: a prefix of it is applied.
    /// Repeat: known by the turn ids of the steps, answered as before with what is still leased, and goes on behind them.
    async fn chain(&self, chain: Chain) -> Result<Chained, StoreError>;

    /// Hands a lease back: a turn becomes ready, an attempt queued with the same number and no loss counted; or blocks the
    /// run. Refused (`false`) when the lease is not the caller's. Repeat: `false`.
    async fn release(&self, release: op::Release) -> Result<bool, StoreError>;

    /// A sign of life of whoever has an attempt: its lease ends a heartbeat time-out from now, at most with its start-to-close and
    /// schedule-to-close. When that is; `None` when the attempt is not the caller's. Repeat: as if it came later.
    async fn extend(&self, run: &RunKey, attempt: &AttemptClaim, now: TimeMs) -> Result<Option<TimeMs>, StoreError>;

    /// Fires what is due in one partition, one slice: timers into mailboxes, attempts after their back-off into queues.
    /// Hands out attempts past a time-out for the caller to finish. Never fires early: due <= the store's own clock.
    async fn fire(&self, fire: op::Fire) -> Result<op::Fired, StoreError>;

    /// What waits in a partition's outbox, of each receiver a slice. A commit puts the signals to other runs there.
    async fn outbox(&self, partition: Partition) -> Result<Vec<op::Parcel>, StoreError>;

    /// Applies messages of another partition, each once: only the one that follows the last one applied is, those before it were, and
    /// after a gap nothing is. A signal that its run cannot take is answered to the sender and stops nothing. Outcomes go into the own
    /// outbox. Repeat: nothing is applied again. Crash between this and [`Store::sent`]: the repeat says how far it came.
    async fn receive(&self, receive: op::Receive) -> Result<op::Received, StoreError>;

    /// Forgets messages up to number `last`, which their receiver has applied. Repeat: no change.
    async fn sent(&self, from: Partition, to: Partition, last: u64) -> Result<(), StoreError>;

    /// Removes a slice of the closed runs whose retention is over.
    async fn sweep(&self, partition: Partition, now: TimeMs) -> Result<op::Swept, StoreError>;

    /// A run's record, its attempts, and the texts of the first and (when closed) last journal entry.
    async fn run(&self, run: &RunKey) -> Result<Option<op::RunState>, StoreError>;

    /// A page of a run's journal: entries from `from` on, at least one when there is one, up to about `bytes`.
    async fn journal(&self, run: &RunKey, from: u32, bytes: usize) -> Result<Option<op::JournalPage>, StoreError>;

    /// What has changed in a partition since a place in its feed, each run as it is now; without a place only where the feed ends.
    /// A run with an origin is put into the feed by the operation that ends it, blocks it, holds it or lets it go on, so what is told has
    /// happened and is kept as well as that. At least [`crate::api::limits::CHANGES_KEPT`] changes are kept.
    async fn changes(&self, partition: Partition, after: Option<u64>) -> Result<op::Changes, StoreError>;

    /// Runs of a namespace, newest first by partition, merged by start; filtered by workflow and status.
    async fn list(&self, list: op::List) -> Result<op::Listed, StoreError>;

    /// How many runs of one partition are open, by workflow and version. Kept by the operations that open and end runs.
    async fn open_runs(&self, partition: Partition) -> Result<Vec<op::OpenRuns>, StoreError>;

    /// A slice of the open runs of one partition that have an origin, in the order of their names, behind the given one.
    async fn followed(&self, partition: Partition, after: Option<&RunKey>) -> Result<op::FollowedRuns, StoreError>;

    /// Lengths of queues and numbers of leases, of one partition.
    async fn counts(&self, partition: Partition) -> Result<op::Counts, StoreError>;

    /// What waits, is leased and falls due in one partition, by pool and session: what a fleet of workers is scaled by. Lengths of queues
    /// are kept by the operations, not counted here.
    async fn load(&self, partition: Partition, now: TimeMs) -> Result<op::Load, StoreError>;

    /// What has become ready or closed and was not granted in the operation itself. May miss some (a lost connection, a slow
    /// reader): who waits also looks by itself every few seconds.
    fn watch(&self) -> broadcast::Receiver<op::Wake>;
}
