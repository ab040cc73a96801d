//! Who waits for a run's end or for its next turn.
//!
//! The commit that ends a run at this replica says how, so that whoever waits here need not ask the store. The store publishes the
//! end too, for the other replicas; while such a commit is under way its word comes first and is held back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::api::{Command, RunKey, RunStatus, TimeMs, Version};

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum News {
    /// Any turn, the last one included.
    Turn,
    /// The end. Who waits for it must not look at the store at each turn.
    End,
}

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub status: RunStatus,
    /// When.
    pub at: TimeMs,
    /// Turns that it took in all.
    pub turns: u32,
    /// The version whose code ended it.
    pub version: Version,
    /// The command that ended it.
    pub command: Command,
}

#[derive(Debug, Default)]
struct Place {
    changed: Arc<Notify>,
    ended: Option<Arc<Ended>>,
    /// Who waits.
    waiting: usize,
    /// Commits under way here that would end the run.
    closing: usize,
    /// News came while one was under way.
    held_back: bool,
}

type Places = HashMap<(RunKey, News), Place>;

/// The runs that requests at this replica wait for.
#[derive(Debug, Clone, Default)]
pub struct Watchers(Arc<Mutex<Places>>);

impl Watchers {
    fn lock(&self) -> MutexGuard<'_, Places> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for news of a run until it is dropped.
    #[must_use]
    pub fn watch(&self, run: &RunKey, news: News) -> Watch {
        let mut places = self.lock();
        let place = places.entry((run.clone(), news)).or_default();
        place.waiting += 1;
        Watch { watchers: self.clone(), of: (run.clone(), news), changed: place.changed.clone() }
    }

    /// A run took a turn, or ended.
    pub fn tell(&self, run: &RunKey, news: News) {
        let mut places = self.lock();
        let mut told = |news: News| {
            if let Some(place) = places.get_mut(&(run.clone(), news)) {
                place.held_back = place.closing > 0;
                if !place.held_back {
                    place.changed.notify_waiters();
                }
            }
        };
        told(News::Turn);
        if news == News::End {
            told(News::End);
        }
    }

    /// A commit that would end the run is under way, until the answer is dropped.
    #[must_use]
    pub fn closing(&self, run: &RunKey) -> Closing {
        let of = (run.clone(), News::End);
        let known = self.lock().get_mut(&of).map(|place| place.closing += 1).is_some();
        Closing { watchers: self.clone(), of, known }
    }

    /// There may be news of any.
    pub fn tell_all(&self) {
        for place in self.lock().values() {
            place.changed.notify_waiters();
        }
    }
}

/// A commit under way that would end a run.
#[derive(Debug)]
pub struct Closing {
    watchers: Watchers,
    of: (RunKey, News),
    /// Somebody waited when it began.
    known: bool,
}

impl Closing {
    /// It did.
    pub fn ended(self, ended: Ended) {
        if let Some(place) = self.watchers.lock().get_mut(&self.of) {
            place.ended = Some(Arc::new(ended));
            place.changed.notify_waiters();
        }
        self.watchers.tell(&self.of.0, News::Turn);
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        if !self.known {
            return;
        }
        if let Some(place) = self.watchers.lock().get_mut(&self.of) {
            place.closing = place.closing.saturating_sub(1);
            if place.closing == 0 && std::mem::take(&mut place.held_back) {
                place.changed.notify_waiters();
            }
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

impl Watch {
    /// How the run ended, when this replica saw it.
    #[must_use]
    pub fn ended(&self) -> Option<Arc<Ended>> {
        self.watchers.lock().get(&self.of).and_then(|place| place.ended.clone())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut places = self.watchers.lock();
        if let Some(place) = places.get_mut(&self.of) {
            place.waiting -= 1;
            if place.waiting == 0 {
                places.remove(&self.of);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Json;

    fn run() -> RunKey {
        "default/a".parse().unwrap()
    }

    fn is_told(watch: &Watch, act: impl FnOnce()) -> bool {
        let mut told = std::pin::pin!(watch.changed.notified());
        told.as_mut().enable();
        act();
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        told.as_mut().poll(&mut context).is_ready()
    }

    fn ended() -> Ended {
        let command = Command::Complete { n: 1, result: Json::null() };
        Ended { status: RunStatus::Completed, at: TimeMs(7), turns: 2, version: "0".repeat(64).parse().unwrap(), command }
    }

    #[test]
    fn the_published_end_waits_for_the_commit_that_makes_it() {
        let watchers = Watchers::default();
        let watch = watchers.watch(&run(), News::End);
        let closing = watchers.closing(&run());
        assert!(!is_told(&watch, || watchers.tell(&run(), News::End)), "held back");
        assert!(is_told(&watch, || closing.ended(ended())));
        assert_eq!(watch.ended().unwrap().at, TimeMs(7));
    }

    #[test]
    fn a_commit_that_does_not_end_the_run_lets_go_what_it_held_back() {
        let watchers = Watchers::default();
        let watch = watchers.watch(&run(), News::End);
        let closing = watchers.closing(&run());
        watchers.tell(&run(), News::End);
        assert!(is_told(&watch, || drop(closing)));
        assert!(watch.ended().is_none());
        assert!(!is_told(&watch, || drop(watchers.closing(&run()))), "nothing was held back");
    }

    #[test]
    fn a_place_goes_with_its_last_watch() {
        let watchers = Watchers::default();
        let (one, two) = (watchers.watch(&run(), News::Turn), watchers.watch(&run(), News::Turn));
        drop(one);
        assert!(is_told(&two, || watchers.tell(&run(), News::Turn)));
        drop(two);
        assert!(watchers.lock().is_empty());
    }
}
