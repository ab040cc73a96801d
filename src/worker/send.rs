//! Polls and commits, repeated until they are answered. An unanswered request is *unknown*, never *refused*: it is sent again
//! with the same number, under which the store keeps what it granted, and what a lost answer granted is asked for.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::clock::StoreClock;
use crate::api::worker::{CommitAnswer, Item, ItemResult, Poll, Work};
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
    pub(super) seq: Arc<AtomicU64>,
    /// The session is over.
    pub(super) over: CancellationToken,
}

impl Line {
    fn next_seq(&self) -> Seq {
        self.seq.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// One long poll. When `stop` comes first, what its lost answer may have granted is asked for at once.
    pub(super) async fn poll(&self, turns: u16, activities: u16, wait_ms: u64, stop: &CancellationToken) -> Result<Work, Over> {
        let seq = self.next_seq();
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
        match self.commit_under(self.next_seq(), items).await? {
            Ok(answer) => Ok(answer),
            Err(error) if items.len() > 1 => {
                // One of them is not what the service takes; the others must not suffer for it.
                tracing::error!(%error, items = items.len(), "a commit was refused as a whole; sending its items one by one");
                let mut all = CommitAnswer::default();
                for item in items.iter().copied() {
                    match self.commit_under(self.next_seq(), &[item]).await? {
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

    async fn commit_under(&self, seq: Seq, items: &[&Item]) -> Result<Result<CommitAnswer, Error>, Over> {
        let mut backoff = Backoff::default();
        let mut results: Vec<Option<ItemResult>> = vec![None; items.len()];
        let mut whole = CommitAnswer::default();
        let mut repeated = false;
        loop {
            let open: Vec<usize> = (0..items.len()).filter(|i| results[*i].is_none()).collect();
            let items = open.iter().map(|i| items[*i]).collect();
            let request = CommitBody { session: &self.session, seq, worker: &self.worker, items };
            let answer = tokio::select! {
                answer = self.client.commit(&request) => answer,
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
