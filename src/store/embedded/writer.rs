//! The one writer. It takes what waits into one transaction, commits it, and only then answers.
//!
//! Invariants: an answer of success follows its commit; an operation that fails leaves nothing of itself. A failed commit opens
//! the database anew: when the file does not have the batch, nothing was changed; in all other cases its outcome is *unknown*.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, broadcast, oneshot};

use super::clock::StoreClock;
use super::db::Db;
use super::fault::Fault;
use super::rows::Tx;
use crate::store::StoreError;
use crate::store::op::{Durability, Wake};
use crate::telemetry::crash::{TRANSACTION, point};

/// Operations that may wait for the writer; more wait in their callers.
pub(super) const WAITING_MAX: usize = 4_096;
/// Operations in one transaction: enough to share an fsync among all that wait, few enough to answer soon.
const BATCH_MAX: usize = 512;

/// An operation on its way through the writer.
pub(super) trait Job: Send {
    /// Does it, as often as asked: an attempt whose transaction was dropped never happened.
    fn work(&mut self, tx: &mut Tx<'_>) -> Result<(), Fault>;
    /// Answers it: with what the last attempt came to, or with the failure.
    fn answer(self: Box<Self>, failure: Option<&Fault>);
}

/// A [`Job`] around a closure.
pub(super) struct Op<A, F> {
    pub(super) operation: &'static str,
    pub(super) work: F,
    pub(super) answer: Option<A>,
    pub(super) reply: oneshot::Sender<Result<A, StoreError>>,
}

impl<A, F> Job for Op<A, F>
where
    A: Send,
    F: FnMut(&mut Tx<'_>) -> Result<A, Fault> + Send,
{
    fn work(&mut self, tx: &mut Tx<'_>) -> Result<(), Fault> {
        self.answer = Some((self.work)(tx)?);
        Ok(())
    }

    fn answer(self: Box<Self>, failure: Option<&Fault>) {
        let operation = self.operation;
        let answer = match (failure, self.answer) {
            (Some(fault), _) => Err(fault.answer(operation)),
            (None, Some(answer)) => Ok(answer),
            (None, None) => Err(StoreError::Unavailable { operation, detail: "it was not attempted".to_owned() }),
        };
        // A caller that went away meanwhile asks again, or does not care.
        let _ = self.reply.send(answer);
    }
}

/// A job and its place among those that wait.
pub(super) struct Message {
    pub(super) job: Box<dyn Job>,
    pub(super) permit: OwnedSemaphorePermit,
}

/// The writer's thread.
pub(super) struct Writer {
    pub(super) db: Arc<Db>,
    pub(super) inbox: Receiver<Message>,
    pub(super) wakes: broadcast::Sender<Wake>,
    pub(super) clock: StoreClock,
    pub(super) partitions: u16,
    pub(super) durability: Durability,
}

impl Writer {
    /// Works until nobody can send any more, then brings everything to the disk.
    pub(super) fn run(self) {
        let mut unflushed: Option<Instant> = None;
        loop {
            let first = match unflushed {
                None => self.inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(since) => self.inbox.recv_timeout(self.flush_after().saturating_sub(since.elapsed())),
            };
            let due = unflushed.is_some_and(|since| since.elapsed() >= self.flush_after());
            match first {
                Ok(first) => {
                    let durable = self.flush_after().is_zero() || due;
                    let mut batch = vec![first];
                    while batch.len() < BATCH_MAX
                        && let Ok(next) = self.inbox.try_recv()
                    {
                        batch.push(next);
                    }
                    self.batch(batch, durable);
                    unflushed = if durable { None } else { unflushed.or_else(|| Some(Instant::now())) };
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.flush();
                    unflushed = None;
                }
                Err(RecvTimeoutError::Disconnected) => {
                    if unflushed.is_some() {
                        self.flush();
                    }
                    return;
                }
            }
        }
    }

    /// How long an acknowledged change may stand in memory only.
    fn flush_after(&self) -> Duration {
        match self.durability {
            Durability::Strict | Durability::Failover => Duration::ZERO,
            Durability::Everysec => Duration::from_secs(1),
            // Promised is nothing; but redb cannot reuse pages before a durable commit.
            Durability::None => Duration::from_secs(10),
        }
    }

    fn flush(&self) {
        let flushed = self.db.begin().and_then(|transaction| Ok(transaction.commit()?));
        if let Err(fault) = flushed {
            tracing::error!(error = %fault, "the embedded store failed to write to the disk");
            self.reopen();
        }
    }

    fn batch(&self, messages: Vec<Message>, durable: bool) {
        let (mut jobs, permits): (Vec<_>, Vec<_>) = messages.into_iter().map(|message| (message.job, message.permit)).unzip();
        match self.attempt(&mut jobs, durable) {
            Ok(wakes) => self.done(jobs, wakes),
            Err(Fault::Damaged(detail)) if jobs.len() > 1 => {
                // One of them met a damaged row; the others must not suffer from it.
                tracing::error!(%detail, "the embedded store repeats a batch one by one");
                for job in jobs {
                    self.alone(job, durable);
                }
            }
            Err(fault) => self.failed(jobs, &fault),
        }
        drop(permits);
    }

    fn alone(&self, job: Box<dyn Job>, durable: bool) {
        let mut jobs = vec![job];
        match self.attempt(&mut jobs, durable) {
            Ok(wakes) => self.done(jobs, wakes),
            Err(fault) => self.failed(jobs, &fault),
        }
    }

    fn done(&self, jobs: Vec<Box<dyn Job>>, wakes: Vec<Wake>) {
        for job in jobs {
            job.answer(None);
        }
        for wake in wakes {
            // Nobody listens: nobody waits.
            let _ = self.wakes.send(wake);
        }
    }

    fn failed(&self, jobs: Vec<Box<dyn Job>>, fault: &Fault) {
        if let Fault::Storage(error) | Fault::Uncertain(error) = fault {
            tracing::error!(%error, operations = jobs.len(), "the embedded store failed to commit");
            self.reopen();
        }
        for job in jobs {
            job.answer(Some(fault));
        }
    }

    fn attempt(&self, jobs: &mut [Box<dyn Job>], durable: bool) -> Result<Vec<Wake>, Fault> {
        let mut transaction = self.db.begin()?;
        if !durable {
            transaction.set_durability(redb::Durability::None)?;
        }
        let mut tx = Tx::new(&transaction, self.clock.now(), self.partitions);
        for job in jobs {
            let worked = catch_unwind(AssertUnwindSafe(|| job.work(&mut tx)));
            worked.unwrap_or_else(|_| Err(Fault::Damaged("the operation panicked: this is a bug of everloop".to_owned())))?;
        }
        let mark = rand::random();
        let wakes = tx.finish(mark)?;
        point(TRANSACTION[0]);
        transaction.commit().map_err(|error| self.not_committed(mark, error.into()))?;
        point(TRANSACTION[1]);
        Ok(wakes)
    }

    /// What a failed commit has come to. A batch that is found in the file is not proven to be on the disk: the failure may
    /// have been that of the fsync, after which the system's pages say nothing.
    fn not_committed(&self, mark: u64, error: redb::Error) -> Fault {
        let is_kept = self.db.reopen().and_then(|()| self.db.read(|snapshot| snapshot.has_mark(mark)));
        match is_kept {
            Ok(false) => Fault::Storage(Box::new(error)),
            Ok(true) | Err(_) => Fault::Uncertain(Box::new(error)),
        }
    }

    fn reopen(&self) {
        match self.db.reopen() {
            Ok(()) => {
                // Waiters look at everything: what was told to nobody may have been kept.
                let _ = self.wakes.send(Wake::All);
            }
            Err(fault) => tracing::error!(error = %fault, "the embedded store failed to open its file again"),
        }
    }
}
