//! Polls and commits, repeated until they are answered. An unanswered request is *unknown*, never *refused*: it is sent again
//! with the same number, under which the store keeps what it granted, and what a lost answer granted is asked for.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::clock::StoreClock;
use crate::api::worker::{CommitAnswer, Item, ItemResult, Leases, Poll, Work};
use crate::api::{Seq, SessionId};
use crate::client::worker::{CommitBody, Error, WorkerClient};

/// The session is lost, or this process is done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Over {
    /// The service said so.
    pub(super) lost: bool,
}

/// What a request needs of its session.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) client: WorkerClient,
    pub(super) clock: Arc<StoreClock>,
    pub(super) worker: Arc<str>,
    pub(super) session: SessionId,
    pub(super) requests: Arc<Requests>,
    /// The session is over.
    pub(super) over: CancellationToken,
}

/// The numbers of a session's requests.
#[derive(Debug, Default)]
pub(super) struct Requests(Mutex<Numbers>);

#[derive(Debug, Default)]
struct Numbers {
    last: Seq,
    open: BTreeSet<Seq>,
}

impl Requests {
    fn lock(&self) -> MutexGuard<'_, Numbers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(self: &Arc<Self>) -> Request {
        let mut numbers = self.lock();
        numbers.last += 1;
        let seq = numbers.last;
        numbers.open.insert(seq);
        Request { requests: self.clone(), seq }
    }

    /// Whether this request is not answered yet: what it was granted may be on its way.
    pub(super) fn is_open(&self, seq: Seq) -> bool {
        self.lock().open.contains(&seq)
    }
}

/// A request under way; dropped when it is answered or given up.
struct Request {
    requests: Arc<Requests>,
    seq: Seq,
}

impl Drop for Request {
    fn drop(&mut self) {
        self.requests.lock().open.remove(&self.seq);
    }
}

impl Line {
    /// All leases of the session, as the store has them; `None` when nobody says now.
    pub(super) async fn leases(&self) -> Option<Leases> {
        tokio::select! {
            leases = self.client.leases(&self.session) => leases.ok(),
            () = self.over.cancelled() => None,
        }
    }

    /// One long poll. When `stop` comes first, what its lost answer may have granted is asked for at once.
    pub(super) async fn poll(&self, turns: u16, activities: u16, wait_ms: u64, stop: &CancellationToken) -> Result<Work, Over> {
        let request = self.requests.next();
        let seq = request.seq;
        let poll = Poll { session: self.session.clone(), seq, again: false, turns, activities, wait_ms };
        tokio::select! {
            work = self.poll_until_answered(poll.clone()) => work,
            () = stop.cancelled() => self.recover(seq).await,
        }
    }

    /// What was granted to a request whose answer was lost.
    async fn recover(&self, seq: Seq) -> Result<Work, Over> {
        let session = self.session.clone();
        self.poll_until_answered(Poll { session, seq, again: true, turns: 0, activities: 0, wait_ms: 0 }).await
    }

    async fn poll_until_answered(&self, mut poll: Poll) -> Result<Work, Over> {
        let mut backoff = Backoff::default();
        loop {
            let error = tokio::select! {
                answer = self.client.poll(&poll) => match answer {
                    Ok(work) => {
                        self.clock.see(work.now);
                        return Ok(work);
                    }
                    Err(error) => error,
                },
                () = self.over.cancelled() => return Err(Over { lost: false }),
            };
            poll.again = true;
            self.pause(&error, &mut backoff).await?;
        }
    }

    /// Commits the items. The answer has a result for each of them, none `Unknown`, and all that was granted.
    pub(super) async fn commit(&self, items: &[&Item]) -> Result<CommitAnswer, Over> {
        match self.commit_under(&self.requests.next(), items).await? {
            Ok(answer) => Ok(answer),
            Err(error) if items.len() > 1 => {
                // One of them is not what the service takes; the others must not suffer for it.
                tracing::error!(%error, items = items.len(), "a commit was refused as a whole; sending its items one by one");
                let mut all = CommitAnswer::default();
                for item in items.iter().copied() {
                    match self.commit_under(&self.requests.next(), &[item]).await? {
                        Ok(answer) => {
                            all.now = answer.now;
                            all.results.extend(answer.results);
                            all.turns.extend(answer.turns);
                            all.activities.extend(answer.activities);
                        }
                        Err(error) => all.results.push(refused(&error)),
                    }
                }
                Ok(all)
            }
            Err(error) => Ok(CommitAnswer { results: vec![refused(&error)], ..CommitAnswer::default() }),
        }
    }

    async fn commit_under(&self, request: &Request, items: &[&Item]) -> Result<Result<CommitAnswer, Error>, Over> {
        let seq = request.seq;
        let mut backoff = Backoff::default();
        let mut results: Vec<Option<ItemResult>> = vec![None; items.len()];
        let mut whole = CommitAnswer::default();
        let mut repeated = false;
        loop {
            let open: Vec<usize> = (0..items.len()).filter(|i| results[*i].is_none()).collect();
            let items = open.iter().map(|i| items[*i]).collect();
            let body = CommitBody { session: &self.session, seq, worker: &self.worker, items };
            let answer = tokio::select! {
                answer = self.client.commit(&body) => answer,
                () = self.over.cancelled() => return Err(Over { lost: false }),
            };
            match answer {
                Ok(answer) if answer.results.len() == open.len() => {
                    self.clock.see(answer.now);
                    whole.now = answer.now;
                    whole.turns.extend(answer.turns);
                    whole.activities.extend(answer.activities);
                    for (i, result) in open.into_iter().zip(answer.results) {
                        results[i] = (!matches!(result, ItemResult::Unknown { .. })).then_some(result);
                    }
                }
                Ok(answer) => {
                    let detail = format!("{} results for {} items", answer.results.len(), open.len());
                    self.pause(&Error::Unreadable { operation: "commit", detail }, &mut backoff).await?;
                }
                Err(error) if error.is_final() && !error.is_session_lost() => return Ok(Err(error)),
                Err(error) => self.pause(&error, &mut backoff).await?,
            }
            if results.iter().all(Option::is_some) {
                break;
            }
            repeated = true;
            tokio::time::sleep(backoff.next()).await;
        }
        if repeated {
            let work = self.recover(seq).await?;
            whole.turns.extend(work.turns);
            whole.activities.extend(work.activities);
            let mut turns = HashSet::new();
            whole.turns.retain(|work| turns.insert(work.run.clone()));
            let mut attempts = HashSet::new();
            whole.activities.retain(|work| attempts.insert((work.run.clone(), work.command, work.attempt)));
        }
        whole.results = results.into_iter().flatten().collect();
        Ok(Ok(whole))
    }

    /// Waits before the next try, unless the session is over.
    async fn pause(&self, error: &Error, backoff: &mut Backoff) -> Result<(), Over> {
        if error.is_session_lost() {
            return Err(Over { lost: true });
        }
        if backoff.failures() == 0 {
            tracing::warn!(%error, "the queue service does not answer; trying again");
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.next()) => Ok(()),
            () = self.over.cancelled() => Err(Over { lost: false }),
        }
    }
}

/// An item that the service does not take for what it is.
fn refused(error: &Error) -> ItemResult {
    ItemResult::Refused { reason: format!("{INVALID}{error}") }
}

/// Begins the reason of an item that the service could not even read; nothing was judged.
pub(super) const INVALID: &str = "Invalid: ";
