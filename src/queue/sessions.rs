//! Sessions of workers: opened, renewed and ended in every partition of the store.
//!
//! The id says which worker and which pool, so that every replica can serve a session that another one opened. What is
//! remembered here are hints: which turns were being executed, and whether a stream is open at this replica.
//!
//! *A stream that breaks.* The replica that sees it sets the session's deadline in the first partition to the end of the
//! grace. A worker that comes back, at any replica, renews the session, and the deadline with it; otherwise the session has expired
//! when the grace is over, which every replica sees in the store, and whoever sees it first ends it everywhere. So no replica
//! needs to know about the others. A worker that died took all of its connections with it: while a poll of it waits here, it
//! lives, and its deadline is put back. The price: a replica that notices a break only after the worker has already moved on
//! may end a session that lives, when the next renewal takes longer than the grace. The worker opens a new one; nothing is lost.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::{join_all, try_join_all};
use sha2::{Digest, Sha256};

use super::border::problem::Refused;
use super::service::{Service, Shared};
use crate::api::{Code, Name, Partition, Problem, RunKey, SessionId, TimeMs, limits};
use crate::store::StoreError;
use crate::store::op::Ending;
use crate::telemetry::metrics::ReasonLabels;

/// Where a broken stream is noted: one partition suffices, because an end in one is an end in all.
pub const FIRST: Partition = Partition(0);
/// The part of the grace after which the connections of a process that died are seen to be closed, all of them.
const LOOK_AFTER: f64 = 0.6;
/// A session that no request came from for so many times its time-to-live is forgotten here.
const FORGET_AFTER_TTLS: u32 = 10;

#[derive(Debug)]
struct Known {
    executing: Vec<RunKey>,
    streams: usize,
    seen: Instant,
}

/// The sessions that talk to this replica.
#[derive(Debug, Default)]
pub struct Sessions(Mutex<HashMap<SessionId, Known>>);

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, session: &SessionId, act: impl FnOnce(&mut Known) -> T) -> T {
        let mut sessions = self.lock();
        let fresh = || Known { executing: Vec::new(), streams: 0, seen: Instant::now() };
        let known = sessions.entry(session.clone()).or_insert_with(fresh);
        known.seen = Instant::now();
        act(known)
    }

    fn executing(&self, session: &SessionId) -> Vec<RunKey> {
        self.lock().get(session).map(|known| known.executing.clone()).unwrap_or_default()
    }

    fn streams(&self, session: &SessionId) -> usize {
        self.lock().get(session).map_or(0, |known| known.streams)
    }

    /// Forgets sessions that have moved on or are long gone.
    pub fn forget_silent(&self, ttl: Duration) {
        self.lock().retain(|_, known| known.streams > 0 || known.seen.elapsed() < ttl * FORGET_AFTER_TTLS);
    }
}

/// Makes the id of a session: worker, pool, twelve digits, random or of the idempotency key, and the length of the pool's name
/// in two.
///
/// # Errors
/// [`Code::InvalidRequest`]: the worker's name is not one.
pub fn new_id(worker: &str, pool: &Name, key: Option<&str>) -> Result<SessionId, Refused> {
    let fits = !worker.is_empty()
        && worker.len() <= limits::WORKER_NAME_BYTES_MAX
        && worker.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let word = key.map_or_else(rand::random, |key| {
        let digest = Sha256::digest(format!("{worker} {pool} {key}").as_bytes());
        digest[..8].iter().fold(0_u64, |word, byte| (word << 8) | u64::from(*byte))
    });
    let id = format!("{worker}-{pool}-{:012x}{:02x}", word >> 16, pool.as_str().len());
    id.parse().ok().filter(|_| fits).ok_or_else(|| {
        Problem::new(Code::InvalidRequest, format!("worker name {worker:?} is not valid"))
            .next("use 1 to 40 letters, digits and '-'")
            .into()
    })
}

/// The pool of a session, from its id.
///
/// # Errors
/// [`Code::InvalidRequest`]: not an id that [`new_id`] made.
pub fn pool_of(session: &SessionId) -> Result<Name, Refused> {
    let pool = || {
        let (head, tail) = session.as_str().rsplit_once('-')?;
        let length = usize::from_str_radix(tail.get(12..14)?, 16).ok()?;
        let start = head.len().checked_sub(length)?;
        (tail.len() == 14 && head.get(..start)?.ends_with('-')).then(|| head[start..].parse().ok())?
    };
    pool().ok_or_else(|| {
        Problem::new(Code::InvalidRequest, format!("{session} is not a session of this service"))
            .next("open one with POST /v1/worker/session")
            .into()
    })
}

/// The refusal of everything that a session does after its end.
#[must_use]
pub fn lost(session: &SessionId) -> Problem {
    Problem::new(Code::SessionLost, format!("session {session} has ended: it was not renewed in time, or said goodbye"))
        .next("forget all leases and open a new session")
}

impl Service {
    /// Opens a session everywhere.
    ///
    /// # Errors
    /// The store does not answer: what was opened of it expires. Or the session has ended: only a repeated one can have.
    pub async fn open_session(&self, session: &SessionId, pool: &Name) -> Result<(), Refused> {
        let deadline = self.session_deadline();
        let opened = try_join_all(self.partitions().map(|partition| self.store.open_session(partition, session, pool, deadline))).await?;
        if opened.contains(&false) {
            return Err(lost(session).into());
        }
        self.sessions.with(session, |_| ());
        Ok(())
    }

    /// Renews a session everywhere: `false` when it has ended anywhere, and then it is ended everywhere.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn renew_session(self: &Arc<Self>, session: &SessionId, executing: Option<Vec<RunKey>>) -> Result<bool, StoreError> {
        let deadline = self.session_deadline();
        let renewed = try_join_all(self.partitions().map(|partition| self.store.renew_session(partition, session, deadline))).await?;
        if renewed.iter().all(|renewed| *renewed) {
            self.sessions.with(session, |known| {
                if let Some(executing) = executing {
                    known.executing = executing;
                }
            });
            return Ok(true);
        }
        if renewed.contains(&true) {
            let (service, session) = (self.clone(), session.clone());
            tokio::spawn(async move { service.end_session(&session, "expired").await });
        }
        Ok(false)
    }

    /// Ends a session everywhere: all its leases go back to their queues.
    ///
    /// # Errors
    /// The store does not answer: the end is begun, and whoever looks for expired sessions finishes it.
    pub async fn end_session(&self, session: &SessionId, reason: &'static str) -> Result<(), StoreError> {
        // After a goodbye nothing was being executed.
        let ending = match reason {
            GOODBYE => Ending::Goodbye,
            _ => Ending::Death { executing: self.sessions.executing(session) },
        };
        let ends = join_all(self.partitions().map(|partition| self.end_in(partition, session, &ending))).await;
        let (mut turns, mut attempts) = (0, 0);
        for end in ends {
            let (more_turns, more_attempts) = end?;
            turns += more_turns;
            attempts += more_attempts;
        }
        tracing::info!(%session, reason, turns, attempts, "session ended");
        self.metrics.sessions_ended.get_or_create(&ReasonLabels { reason: reason.to_owned() }).inc();
        self.sessions.lock().remove(session);
        self.waiters.evict(session);
        Ok(())
    }

    async fn end_in(&self, partition: Partition, session: &SessionId, ending: &Ending) -> Result<(u32, u32), StoreError> {
        let (mut turns, mut attempts) = (0, 0);
        loop {
            let ended = self.store.end_session(partition, session, ending, self.clock.for_store()).await?;
            turns += ended.turns;
            attempts += ended.attempts;
            if !ended.more {
                return Ok((turns, attempts));
            }
        }
    }

    /// See the module's head. Runs to its end by itself.
    async fn stream_broke(self: Arc<Self>, session: SessionId) {
        let (broke, grace) = (Instant::now(), self.config.session_grace);
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        let deadline = TimeMs(self.clock.now().0.saturating_add(grace_ms));
        if !matches!(self.store.renew_session(FIRST, &session, deadline).await, Ok(true)) {
            return;
        }
        if self.sessions.streams(&session) > 0 {
            // It came back here while the deadline was set.
            let _ = self.store.renew_session(FIRST, &session, self.session_deadline()).await;
            return;
        }
        tokio::time::sleep(grace.mul_f64(LOOK_AFTER)).await;
        if self.waiters.is_waiting(&session) {
            tracing::info!(%session, "the stream broke and a poll did not: the worker lives");
            let _ = self.store.renew_session(FIRST, &session, self.session_deadline()).await;
            return;
        }
        // The store's clock decides, so look a few times around the end of the grace.
        let step = (grace / 10).max(Duration::from_millis(10));
        tokio::time::sleep(grace.mul_f64(1.0 - LOOK_AFTER)).await;
        for _ in 0..10 {
            let came_back = self.sessions.streams(&session) > 0;
            if came_back || self.gate.outage_since(broke) || self.shutdown.is_cancelled() {
                return;
            }
            match self.store.expired_sessions(FIRST, self.clock.for_store()).await {
                Ok(expired) if expired.contains(&session) => {
                    if let Err(error) = self.end_session(&session, BROKE).await {
                        tracing::warn!(%error, %session, "the end of a session is not finished; it will be");
                    }
                    return;
                }
                Ok(_) => tokio::time::sleep(step).await,
                Err(_) => return,
            }
        }
    }
}

/// The reason of an end that the worker asked for.
pub const GOODBYE: &str = "goodbye";
/// The reason of an end because the stream broke and nobody came back.
pub const BROKE: &str = "stream broke";

/// A session's stream at this replica. Dropped when the connection ends, for whatever reason.
pub struct Stream {
    service: Shared,
    session: SessionId,
    moved: bool,
}

impl Stream {
    /// The stream is open.
    #[must_use]
    pub fn attach(service: &Shared, session: &SessionId) -> Self {
        service.sessions.with(session, |known| known.streams += 1);
        service.metrics.sessions.inc();
        Self { service: service.clone(), session: session.clone(), moved: false }
    }

    /// The worker was told to go elsewhere: the end of this stream means nothing.
    pub fn moved(&mut self) {
        self.moved = true;
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.service.metrics.sessions.dec();
        let mut sessions = self.service.sessions.lock();
        let Some(known) = sessions.get_mut(&self.session) else { return };
        known.streams = known.streams.saturating_sub(1);
        let last = known.streams == 0;
        drop(sessions);
        if !last || self.moved || self.service.shutdown.is_cancelled() {
            return;
        }
        // Without a runtime the process ends, and with it this replica's knowledge.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(self.service.clone().stream_broke(self.session.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sessions_id_says_its_pool() {
        for (worker, pool) in [("w", "default"), ("worker-7-a", "gpu-pool-1"), ("A", "0")] {
            let pool: Name = pool.parse().unwrap();
            let id = new_id(worker, &pool, None).unwrap();
            assert!(id.as_str().starts_with(worker));
            assert_eq!(pool_of(&id), Ok(pool));
        }
        let longest = new_id(&"w".repeat(40), &"p".repeat(63).parse().unwrap(), Some("k")).unwrap();
        assert_eq!(pool_of(&longest).unwrap().as_str().len(), 63);
    }

    #[test]
    fn other_ids_and_names_are_refused() {
        for bad in ["w", "w-default-00", "w-default-000000000000ff", "default-00000000000007", "w-x-0000000000000g"] {
            assert!(pool_of(&bad.parse().unwrap()).is_err(), "{bad}");
        }
        for bad in ["", "a b", "a/b", &"w".repeat(41)] {
            assert!(new_id(bad, &"default".parse().unwrap(), None).is_err(), "{bad}");
        }
    }
}
