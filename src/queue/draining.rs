//! Workers that are to be drained: nothing new is granted to them, and their streams tell them.
//!
//! A mark stands in the store, in one partition, and lapses unless whoever set it renews it. So it does not matter which replica was asked
//! and whether it lives on: each looks once a second, and the one that was asked knows at once. Until the others have looked they may
//! grant to a marked session what its worker still asks for; a worker that its stream has told asks for nothing, and only it says, by
//! its readiness, that this is so. While the store is away what was known last counts, until it lapses.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::border::problem::Refused;
use super::service::Service;
use crate::api::{Code, DurationMs, Partition, Problem, SessionId, TimeMs};
use crate::store::StoreError;

/// Where the marks of all sessions stand.
const WHERE: Partition = Partition(0);

/// What this replica knows of the marks.
#[derive(Debug, Default)]
pub struct Draining {
    marks: Mutex<HashMap<SessionId, TimeMs>>,
    /// How many there are: mostly none, and then nobody waits for the lock.
    count: AtomicUsize,
    changed: Notify,
    /// A look that began before a mark was set must not end after it.
    one_at_a_time: tokio::sync::Mutex<()>,
}

impl Draining {
    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, TimeMs>> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the session is to be drained, at this time of the store.
    #[must_use]
    pub fn has(&self, session: &SessionId, now: TimeMs) -> bool {
        self.count.load(Ordering::Acquire) > 0 && self.lock().get(session).is_some_and(|until| *until > now)
    }

    /// Told when a mark came or went.
    #[must_use]
    pub fn changed(&self) -> &Notify {
        &self.changed
    }

    fn change(&self, act: impl FnOnce(&mut HashMap<SessionId, TimeMs>)) {
        let mut marks = self.lock();
        let before: Vec<SessionId> = marks.keys().cloned().collect();
        act(&mut marks);
        self.count.store(marks.len(), Ordering::Release);
        let is_same = before.len() == marks.len() && before.iter().all(|session| marks.contains_key(session));
        drop(marks);
        if !is_same {
            self.changed.notify_waiters();
        }
    }
}

impl Service {
    /// Whether nothing new is granted to the session.
    #[must_use]
    pub fn is_draining(&self, session: &SessionId) -> bool {
        self.draining.has(session, self.clock.now())
    }

    /// Marks a session for so long, or takes the mark back; until when.
    ///
    /// # Errors
    /// The session has ended, or the store does not answer.
    pub async fn drain(&self, session: &SessionId, within: Option<DurationMs>) -> Result<TimeMs, Refused> {
        let _only = self.draining.one_at_a_time.lock().await;
        let now = self.clock.now();
        let until = within.map_or(TimeMs(0), |within| now.plus(within));
        if !self.store.drain_session(WHERE, session, until, now).await? {
            let problem = Problem::new(Code::SessionLost, format!("session {session} has ended, and with it what it was to finish"));
            return Err(problem.next("GET /v1/workers tells the sessions that there are").into());
        }
        self.draining.change(|marks| {
            if within.is_some() {
                marks.insert(session.clone(), until);
            } else {
                marks.remove(session);
            }
        });
        Ok(until)
    }

    /// Looks which marks there are.
    ///
    /// # Errors
    /// The store does not answer: what was known lapses in its time.
    pub async fn look_for_marks(&self) -> Result<(), StoreError> {
        let _only = self.draining.one_at_a_time.lock().await;
        let looked = self.store.draining(WHERE).await;
        let now = self.clock.now();
        self.draining.change(|marks| {
            if let Ok(found) = &looked {
                *marks = found.iter().cloned().collect();
            }
            marks.retain(|_, until| *until > now);
        });
        looked.map(|_| ())
    }

    /// All sessions that have not ended.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn all_sessions(&self) -> Result<Vec<SessionId>, StoreError> {
        self.store.sessions(WHERE).await
    }
}
