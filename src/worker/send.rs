//! Polls and commits, repeated until they are answered. An unanswered request is *unknown*, never *refused*: it is sent again
//! with the same number, under which the store keeps what it granted, and what a lost answer granted is asked for.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use crate::api::worker::{ActivityWork, CommitAnswer, INVALID, Item, ItemResult, Leases, Poll, TurnWork, Work};
use crate::api::{Attempt, CommandNo, Head, RunKey, Seq, SessionId};
use crate::client::worker::{CommitBody, Error, WorkerClient};
use crate::clock::StoreClock;

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
    /// The service does not answer: what waits is to be asked anew.
    pub(super) silent: Arc<Notify>,
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

    /// The next number.
    pub(super) fn next(self: &Arc<Self>) -> Request {
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

/// What was granted to a request and handed over: a repeat's answer may bring it again.
#[derive(Debug, Default)]
pub(super) struct Handed {
    turns: HashSet<(RunKey, Head)>,
    attempts: HashSet<(RunKey, CommandNo, Attempt)>,
}

impl Handed {
    /// Leaves what was not handed over before, and remembers it.
    pub(super) fn only_new(&mut self, turns: &mut Vec<TurnWork>, activities: &mut Vec<ActivityWork>) {
        turns.retain(|work| self.turns.insert((work.run.clone(), work.head)));
        activities.retain(|work| self.attempts.insert((work.run.clone(), work.command, work.attempt)));
    }
}

/// A request under way; dropped when it is answered or given up.
#[derive(Debug)]
pub(super) struct Request {
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
                () = self.silent.notified() => silent("poll"),
                () = self.over.cancelled() => return Err(Over { lost: false }),
            };
            poll.again = true;
            self.pause(&error, &mut backoff).await?;
        }
    }

    /// Sends a request until it is answered, and says whether it was sent more than once. The answer has a result for each item; those
    /// that are `Unknown` are to be sent again under the same request.
    ///
    /// A request that the service refuses as a whole, although one item only may be at fault, is sent item by item.
    pub(super) async fn commit(&self, request: &Request, items: &[&Item]) -> Result<(CommitAnswer, bool), Over> {
        match self.commit_whole(request, items).await? {
            Ok(answered) => Ok(answered),
            Err(error) if items.len() > 1 => {
                tracing::error!(%error, items = items.len(), "a commit was refused as a whole; sending its items one by one");
                let (mut all, mut repeated) = (CommitAnswer::default(), false);
                for item in items.iter().copied() {
                    match self.commit_whole(request, &[item]).await? {
                        Ok((answer, again)) => {
                            repeated |= again;
                            all.now = answer.now;
                            all.results.extend(answer.results);
                            all.turns.extend(answer.turns);
                            all.activities.extend(answer.activities);
                        }
                        Err(error) => all.results.push(refused(&error)),
                    }
                }
                Ok((all, repeated))
            }
            Err(error) => Ok((CommitAnswer { results: vec![refused(&error)], ..CommitAnswer::default() }, false)),
        }
    }

    async fn commit_whole(&self, request: &Request, items: &[&Item]) -> Result<Result<(CommitAnswer, bool), Error>, Over> {
        let mut backoff = Backoff::default();
        let body = CommitBody { session: &self.session, seq: request.seq, worker: &self.worker, items: items.to_vec() };
        loop {
            let answer = tokio::select! {
                answer = self.client.commit(&body) => answer,
                () = self.silent.notified() => Err(silent("commit")),
                () = self.over.cancelled() => return Err(Over { lost: false }),
            };
            match answer {
                Ok(answer) if answer.results.len() == items.len() => {
                    self.clock.see(answer.now);
                    return Ok(Ok((answer, backoff.failures() > 0)));
                }
                Ok(answer) => {
                    let detail = format!("{} results for {} items", answer.results.len(), items.len());
                    self.pause(&Error::Unreadable { operation: "commit", detail }, &mut backoff).await?;
                }
                Err(error) if error.is_final() && !error.is_session_lost() => return Ok(Err(error)),
                Err(error) => self.pause(&error, &mut backoff).await?,
            }
        }
    }

    /// What a request was granted whose answers may have been lost.
    pub(super) async fn granted_to(&self, request: &Request) -> Result<Work, Over> {
        self.recover(request.seq).await
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

fn silent(operation: &'static str) -> Error {
    Error::Unknown { operation, detail: "the service has fallen silent".to_owned() }
}

/// An item that the service does not take for what it is.
fn refused(error: &Error) -> ItemResult {
    ItemResult::Refused { reason: format!("{INVALID}{error}") }
}
