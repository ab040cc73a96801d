//! Who waits for a run's end or for its next turn.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::api::RunKey;

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum News {
    /// Any turn, the last one included.
    Turn,
    /// The end. Who waits for it must not look at the store at each turn.
    End,
}

type Waiting = HashMap<(RunKey, News), (Arc<Notify>, usize)>;

/// The runs that requests at this replica wait for.
#[derive(Debug, Clone, Default)]
pub struct Watchers(Arc<Mutex<Waiting>>);

impl Watchers {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for news of a run until it is dropped.
    #[must_use]
    pub fn watch(&self, run: &RunKey, news: News) -> Watch {
        let mut waiting = self.lock();
        let (changed, count) = waiting.entry((run.clone(), news)).or_default();
        *count += 1;
        Watch { watchers: self.clone(), of: (run.clone(), news), changed: changed.clone() }
    }

    /// A run took a turn, or ended.
    pub fn tell(&self, run: &RunKey, news: News) {
        let told = |news: News| {
            let changed = self.lock().get(&(run.clone(), news)).map(|(changed, _)| changed.clone());
            if let Some(changed) = changed {
                changed.notify_waiters();
            }
        };
        told(News::Turn);
        if news == News::End {
            told(News::End);
        }
    }

    /// There may be news of any.
    pub fn tell_all(&self) {
        let all: Vec<_> = self.lock().values().map(|(changed, _)| changed.clone()).collect();
        for changed in all {
            changed.notify_waiters();
        }
    }
}

/// One who waits.
#[derive(Debug)]
pub struct Watch {
    watchers: Watchers,
    of: (RunKey, News),
    /// Told on news.
    pub changed: Arc<Notify>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut waiting = self.watchers.lock();
        if let Some((_, count)) = waiting.get_mut(&self.of) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(&self.of);
            }
        }
    }
}
