//! Where polls wait: one station per pool and per external queue. It remembers which partitions may have something for it, so
//! that a poll costs no operation of the store when nothing is there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::waiters::Free;
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

/// What one poll has looked at, by kind of slot, so that it does not look twice for the same reason while others still may.
#[derive(Debug, Clone)]
pub struct Seen {
    turns: Vec<u64>,
    activities: Vec<u64>,
}

impl Seen {
    /// Nothing yet.
    #[must_use]
    pub fn new(partitions: u16) -> Self {
        let none = vec![0; usize::from(partitions)];
        Self { turns: none.clone(), activities: none }
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

    /// The partitions, from `start` on, that a poll with these free slots has a reason to look into: one for each slot at most.
    pub fn reasons(&mut self, start: usize, seen: &Seen, free: Free, now: Instant) -> Vec<Reason> {
        if now.saturating_duration_since(self.looked_at) >= LOOK_EVERY {
            self.looked_at = now;
            self.raise_all();
        }
        let count = self.partitions.len();
        let reasons = (0..count).map(|i| (start + i) % count).filter_map(|i| {
            let hint = &mut self.partitions[i];
            if hint.later.is_some_and(|at| at <= now) {
                hint.later = None;
                hint.raised += 1;
            }
            let news = |free: u16, seen: &[u64]| free > 0 && hint.raised > hint.cleared.max(seen[i]);
            let partition = Partition(u16::try_from(i).unwrap_or_default());
            (news(free.turns, &seen.turns) || news(free.activities, &seen.activities)).then_some(Reason { partition, raised: hint.raised })
        });
        reasons.take(usize::from(free.turns.max(free.activities))).collect()
    }

    /// It was looked with these slots, which brought so much. `left`: something is there still, for others or for another kind of
    /// slot; `later`: from then on for anyone. A kind whose slots were all filled is worth another look.
    pub fn looked(&mut self, reason: Reason, seen: &mut Seen, slots: Free, unfilled: Free, left: bool, later: Option<Instant>) {
        let i = usize::from(reason.partition.0);
        let Some(hint) = self.partitions.get_mut(i) else { return };
        let mark = |seen: &mut Vec<u64>, slots: u16, unfilled: u16| {
            if slots > 0 && (unfilled > 0 || !left) {
                seen[i] = seen[i].max(reason.raised);
            }
        };
        mark(&mut seen.turns, slots.turns, unfilled.turns);
        mark(&mut seen.activities, slots.activities, unfilled.activities);
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

    const SLOTS: Free = Free { turns: 4, activities: 4 };

    /// Looks for all reasons, and finds nothing.
    fn look(hints: &mut Hints, seen: &mut Seen, now: Instant) -> Vec<u16> {
        let reasons = hints.reasons(0, seen, SLOTS, now);
        for reason in &reasons {
            hints.looked(*reason, seen, SLOTS, SLOTS, false, None);
        }
        reasons.iter().map(|reason| reason.partition.0).collect()
    }

    #[test]
    fn an_empty_partition_is_not_looked_at_again_until_something_wakes() {
        let start = Instant::now();
        let mut hints = Hints::new(2, start);
        let (mut a, mut b) = (Seen::new(2), Seen::new(2));
        assert_eq!(look(&mut hints, &mut a, start), [0, 1]);
        assert!(look(&mut hints, &mut b, start).is_empty(), "it counts for all polls");
        hints.raise(Partition(1));
        assert_eq!(look(&mut hints, &mut b, start), [1]);
        assert_eq!(look(&mut hints, &mut Seen::new(2), start + LOOK_EVERY), [0, 1]);
    }

    #[test]
    fn a_wake_during_a_look_is_not_lost() {
        let now = Instant::now();
        let mut hints = Hints::new(1, now);
        let mut seen = Seen::new(1);
        let reason = hints.reasons(0, &seen, SLOTS, now)[0];
        hints.raise(Partition(0));
        hints.looked(reason, &mut seen, SLOTS, SLOTS, false, None);
        assert_eq!(look(&mut hints, &mut seen, now), [0]);
    }

    #[test]
    fn what_prefers_another_worker_stays_for_that_one_and_comes_to_all_later() {
        let now = Instant::now();
        let later = now + Duration::from_millis(50);
        let mut hints = Hints::new(1, now);
        let (mut other, holder) = (Seen::new(1), Seen::new(1));
        let reason = hints.reasons(0, &other, SLOTS, now)[0];
        hints.looked(reason, &mut other, SLOTS, SLOTS, false, Some(later));
        assert!(hints.reasons(0, &other, SLOTS, now).is_empty());
        assert_eq!(hints.reasons(0, &holder, SLOTS, now).len(), 1);
        assert_eq!(hints.next_look(), later);
        assert_eq!(hints.reasons(0, &other, SLOTS, later).len(), 1);
    }

    #[test]
    fn what_is_left_is_looked_at_again_when_a_slot_of_its_kind_comes_back() {
        let now = Instant::now();
        let mut hints = Hints::new(1, now);
        let mut seen = Seen::new(1);
        let only_activities = Free { turns: 0, activities: 2 };
        let reason = hints.reasons(0, &seen, only_activities, now)[0];
        // Turns are left, and no slot was free for them.
        hints.looked(reason, &mut seen, only_activities, only_activities, true, None);
        assert!(hints.reasons(0, &seen, only_activities, now).is_empty(), "no busy loop");
        let reason = hints.reasons(0, &seen, SLOTS, now)[0];
        hints.looked(reason, &mut seen, SLOTS, Free { turns: 0, activities: 4 }, true, None);
        assert_eq!(hints.reasons(0, &seen, SLOTS, now).len(), 1, "all slots for turns were filled, and more is there");
        assert!(hints.reasons(0, &seen, Free::default(), now).is_empty());
    }

    #[test]
    fn no_more_partitions_are_looked_at_than_there_are_slots() {
        let now = Instant::now();
        let mut hints = Hints::new(16, now);
        let reasons = hints.reasons(15, &Seen::new(16), Free { turns: 2, activities: 1 }, now);
        assert_eq!(reasons.iter().map(|reason| reason.partition.0).collect::<Vec<_>>(), [15, 0]);
    }
}
