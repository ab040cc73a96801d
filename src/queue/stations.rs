//! Where polls wait: one station per pool and per external queue. It remembers which partitions may have something for it, so
//! that a poll costs no operation of the store when nothing is there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::api::Partition;

/// A look at all partitions at least this often: what the store publishes can be missed.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Stations that nobody waits at are forgotten beyond this number.
const STATIONS_MAX: usize = 1_024;

/// All stations of a service.
#[derive(Debug)]
pub struct Stations {
    partitions: u16,
    by_name: Mutex<HashMap<String, Arc<Station>>>,
}

/// The station's name of a pool, the queue's name in the store's counts.
#[must_use]
pub fn pool(name: &str) -> String {
    format!("pool:{name}")
}

/// The station's name of an external queue `namespace/name`.
#[must_use]
pub fn queue(name: &str) -> String {
    format!("queue:{name}")
}

impl Stations {
    /// None yet.
    #[must_use]
    pub fn new(partitions: u16) -> Self {
        Self { partitions, by_name: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Station>>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The station of that name; a new one expects something everywhere.
    #[must_use]
    pub fn at(&self, name: &str) -> Arc<Station> {
        let mut by_name = self.lock();
        if let Some(station) = by_name.get(name) {
            return station.clone();
        }
        if by_name.len() >= STATIONS_MAX {
            by_name.retain(|_, station| Arc::strong_count(station) > 1);
        }
        let station = Arc::new(Station::new(self.partitions));
        by_name.insert(name.to_owned(), station.clone());
        station
    }

    /// Something may be there now. A station that does not exist yet will look everywhere anyway.
    pub fn wake(&self, name: &str, partition: Partition) {
        let station = self.lock().get(name).cloned();
        if let Some(station) = station {
            station.hints().raise(partition);
            station.changed.notify_waiters();
        }
    }

    /// Anything may be anywhere.
    pub fn wake_all(&self) {
        let stations: Vec<_> = self.lock().values().cloned().collect();
        for station in stations {
            station.hints().raise_all();
            station.changed.notify_waiters();
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Station {
    hints: Mutex<Hints>,
    /// Told to all who wait when a hint was raised.
    pub changed: Notify,
}

impl Station {
    fn new(partitions: u16) -> Self {
        Self { hints: Mutex::new(Hints::new(partitions, Instant::now())), changed: Notify::new() }
    }

    /// What may be where.
    pub fn hints(&self) -> MutexGuard<'_, Hints> {
        self.hints.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which partitions may have something: plain data, the time comes as an argument.
#[derive(Debug)]
pub struct Hints {
    partitions: Vec<Hint>,
    looked_at: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Hint {
    /// Counts the reasons to look.
    raised: u64,
    /// Nothing was there when it was looked for this reason.
    cleared: u64,
    /// Something is there from then on.
    later: Option<Instant>,
}

/// What one poll has looked at, so that it does not look twice for the same reason while others still may.
#[derive(Debug, Clone)]
pub struct Seen(Vec<u64>);

impl Seen {
    /// Nothing yet.
    #[must_use]
    pub fn new(partitions: u16) -> Self {
        Self(vec![0; usize::from(partitions)])
    }
}

/// A reason to look into a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reason {
    /// Where.
    pub partition: Partition,
    raised: u64,
}

impl Hints {
    fn new(partitions: u16, now: Instant) -> Self {
        let hint = Hint { raised: 1, cleared: 0, later: None };
        Self { partitions: vec![hint; usize::from(partitions)], looked_at: now }
    }

    fn raise(&mut self, partition: Partition) {
        if let Some(hint) = self.partitions.get_mut(usize::from(partition.0)) {
            hint.raised += 1;
        }
    }

    fn raise_all(&mut self) {
        for hint in &mut self.partitions {
            hint.raised += 1;
        }
    }

    /// The next partition, from `start` on, that the poll has a reason to look into.
    pub fn next(&mut self, start: usize, seen: &Seen, now: Instant) -> Option<Reason> {
        if now.saturating_duration_since(self.looked_at) >= LOOK_EVERY {
            self.looked_at = now;
            self.raise_all();
        }
        let count = self.partitions.len();
        (0..count).map(|i| (start + i) % count).find_map(|i| {
            let hint = &mut self.partitions[i];
            if hint.later.is_some_and(|at| at <= now) {
                hint.later = None;
                hint.raised += 1;
            }
            let partition = Partition(u16::try_from(i).unwrap_or_default());
            (hint.raised > hint.cleared.max(seen.0[i])).then_some(Reason { partition, raised: hint.raised })
        })
    }

    /// It was looked. `left`: something is there still, for others or for another kind of slot; `later`: from then on for anyone.
    pub fn looked(&mut self, reason: Reason, seen: &mut Seen, left: bool, later: Option<Instant>) {
        let i = usize::from(reason.partition.0);
        let Some(hint) = self.partitions.get_mut(i) else { return };
        seen.0[i] = seen.0[i].max(reason.raised);
        if let Some(at) = later {
            hint.later = Some(hint.later.map_or(at, |known| known.min(at)));
        } else if !left {
            hint.cleared = hint.cleared.max(reason.raised);
        }
    }

    /// When to look again though nobody woke.
    #[must_use]
    pub fn next_look(&self) -> Instant {
        let later = self.partitions.iter().filter_map(|hint| hint.later).min();
        let regular = self.looked_at + LOOK_EVERY;
        later.map_or(regular, |at| at.min(regular))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_partition_is_not_looked_at_again_until_something_wakes() {
        let start = Instant::now();
        let mut hints = Hints::new(2, start);
        let (mut a, b) = (Seen::new(2), Seen::new(2));
        for _ in 0..2 {
            let reason = hints.next(1, &a, start).unwrap();
            hints.looked(reason, &mut a, false, None);
        }
        assert_eq!(hints.next(0, &a, start), None);
        assert_eq!(hints.next(0, &b, start), None, "it counts for all polls");
        hints.raise(Partition(1));
        assert_eq!(hints.next(0, &b, start).unwrap().partition, Partition(1));
        assert!(hints.next(0, &Seen::new(2), start + LOOK_EVERY).is_some());
    }

    #[test]
    fn a_wake_during_a_look_is_not_lost() {
        let now = Instant::now();
        let mut hints = Hints::new(1, now);
        let mut seen = Seen::new(1);
        let reason = hints.next(0, &seen, now).unwrap();
        hints.raise(Partition(0));
        hints.looked(reason, &mut seen, false, None);
        assert!(hints.next(0, &seen, now).is_some());
    }

    #[test]
    fn what_prefers_another_worker_stays_for_that_one_and_comes_to_all_later() {
        let now = Instant::now();
        let later = now + Duration::from_millis(50);
        let mut hints = Hints::new(1, now);
        let (mut other, holder) = (Seen::new(1), Seen::new(1));
        let reason = hints.next(0, &other, now).unwrap();
        hints.looked(reason, &mut other, false, Some(later));
        assert_eq!(hints.next(0, &other, now), None);
        assert!(hints.next(0, &holder, now).is_some());
        assert_eq!(hints.next_look(), later);
        assert!(hints.next(0, &other, later).is_some());
    }
}
