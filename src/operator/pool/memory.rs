//! What the objects of pools were when they were applied, and when somebody changed them. It may be lost at any time: then they are
//! applied once more, which changes nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kube::core::DynamicObject;

/// A field that is taken back so many times within [`WINDOW`] is left alone until the first one is over.
const TIMES: usize = 3;
const WINDOW: Duration = Duration::from_mins(10);
/// Objects that are remembered; beyond it all are forgotten.
const OBJECTS_MAX: usize = 4_096;

/// See the module. Objects are known by the uid of their pool and by their kind.
#[derive(Debug, Default)]
pub(in crate::operator) struct Memory(Mutex<HashMap<(String, String), Known>>);

#[derive(Debug, Default)]
struct Known {
    applied: Option<Arc<DynamicObject>>,
    put_back: Vec<Instant>,
}

impl Memory {
    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An object was applied, and this was the answer.
    pub(super) fn applied(&self, pool: &str, kind: &str, object: &DynamicObject) {
        let mut all = self.lock();
        if all.len() >= OBJECTS_MAX {
            all.clear();
        }
        all.entry((pool.to_owned(), kind.to_owned())).or_default().applied = Some(Arc::new(object.clone()));
    }

    /// The answer when it was last applied.
    pub(super) fn last(&self, pool: &str, kind: &str) -> Option<Arc<DynamicObject>> {
        self.lock().get(&(pool.to_owned(), kind.to_owned()))?.applied.clone()
    }

    /// Somebody has changed the object: `Ok` when it is to be put back, or how long it is left alone.
    pub(super) fn may_put_back(&self, pool: &str, kind: &str, now: Instant) -> Result<(), Duration> {
        let mut all = self.lock();
        let times = &mut all.entry((pool.to_owned(), kind.to_owned())).or_default().put_back;
        times.retain(|time| now.duration_since(*time) < WINDOW);
        if times.len() >= TIMES { Err(WINDOW.saturating_sub(now.duration_since(times[0]))) } else { Ok(()) }
    }

    /// It was put back. A write that met another one does not count: it is tried again.
    pub(super) fn was_put_back(&self, pool: &str, kind: &str, now: Instant) {
        self.lock().entry((pool.to_owned(), kind.to_owned())).or_default().put_back.push(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fourth_time_within_ten_minutes_waits_until_the_first_is_over() {
        let (memory, start) = (Memory::default(), Instant::now());
        let minute = |minute: u64| start + Duration::from_mins(minute);
        for at in 0..3 {
            assert_eq!(memory.may_put_back("a", "Deployment", minute(at)), Ok(()));
            assert_eq!(memory.may_put_back("a", "Deployment", minute(at)), Ok(()), "what was not done does not count");
            memory.was_put_back("a", "Deployment", minute(at));
        }
        assert_eq!(memory.may_put_back("a", "Deployment", minute(4)), Err(Duration::from_mins(6)));
        assert_eq!(memory.may_put_back("b", "Deployment", minute(4)), Ok(()), "another pool");
        assert_eq!(memory.may_put_back("a", "Deployment", minute(10)), Ok(()));
        memory.was_put_back("a", "Deployment", minute(10));
        assert_eq!(memory.may_put_back("a", "Deployment", minute(10)), Err(Duration::from_mins(1)));
    }
}
