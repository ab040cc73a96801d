//! The pods: how they come, start, drain and end.

use std::cmp::Reverse;

use super::{Event, World};
use crate::api::{DurationMs, TimeMs};
use crate::machine::scaling::victims::cheapest_first;
use crate::simulate::chance::Chance;

/// A drained pod is removed after its readiness has been seen to be gone.
pub(super) const AFTER_DRAIN: DurationMs = DurationMs::from_secs(1);
/// So many of the last starts are remembered.
const STARTS: usize = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// No node has room.
    Pending,
    Starting,
    Trouble,
    Ready,
    Draining,
    /// Told to end.
    Ending,
    Gone,
}

pub(super) struct Pod {
    pub(super) state: State,
    pub(super) wished: TimeMs,
    pub(super) ready: TimeMs,
    /// Since when it drains.
    pub(super) drains: TimeMs,
    /// Slot times are so many times longer.
    pub(super) slower: f64,
    pub(super) in_trouble: bool,
    pub(super) leases: Vec<Lease>,
}

#[derive(Clone, Copy)]
pub(super) struct Lease {
    pub(super) id: u64,
    pub(super) item: usize,
    pub(super) since: TimeMs,
}

impl World<'_> {
    /// One pod more: one that drains is taken back, the busiest first; else a new one.
    pub(super) fn more(&mut self) {
        let draining = self.live.iter().copied().filter(|pod| self.pods[*pod].state == State::Draining);
        if let Some(pod) = draining.max_by_key(|pod| (self.pods[*pod].leases.len(), Reverse(*pod))) {
            self.enter(pod, State::Ready);
        } else {
            let pod = self.create();
            self.schedule(pod);
        }
    }

    pub(super) fn create(&mut self) -> usize {
        let pod = self.pods.len();
        let mut chance = self.chance(pod);
        let slower = self.trace.slow.filter(|(share, _)| chance.happens(*share)).map_or(1.0, |(_, times)| times);
        let in_trouble = self.trace.fail.is_some_and(|(share, _)| chance.happens(share));
        self.pods.push(Pod {
            state: State::Pending,
            wished: self.now,
            ready: TimeMs(0),
            drains: TimeMs(0),
            slower,
            in_trouble,
            leases: Vec::new(),
        });
        self.live.push(pod);
        pod
    }

    /// The chance of the n-th pod is the same for every policy.
    fn chance(&self, pod: usize) -> Chance {
        Chance::of(self.seed ^ (pod as u64 + 1).wrapping_mul(0x0200_0000_0001))
    }

    /// A pod gets its node, if there is room.
    pub(super) fn schedule(&mut self, pod: usize) {
        if !self.has_room() {
            return;
        }
        let start = {
            let mut chance = self.chance(pod);
            chance.part();
            chance.between(self.trace.start.0, self.trace.start.1)
        };
        self.enter(pod, State::Starting);
        let seen = self.now.plus(start);
        match self.trace.fail {
            Some((_, later)) if self.pods[pod].in_trouble => {
                self.at(seen, Event::Trouble(pod));
                self.at(seen.plus(later), Event::Ready(pod));
            }
            _ => self.at(seen, Event::Ready(pod)),
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.trace.room.is_none_or(|room| self.placed < room)
    }

    pub(super) fn ready(&mut self, pod: usize) {
        if !matches!(self.pods[pod].state, State::Starting | State::Trouble) {
            return;
        }
        self.enter(pod, State::Ready);
        let now = self.now;
        let it = &mut self.pods[pod];
        it.ready = now;
        if !it.in_trouble {
            let start = now.since(it.wished);
            self.starts.push_back(start);
            if self.starts.len() > STARTS {
                self.starts.pop_front();
            }
        }
        self.dispatch();
    }

    /// The operator's choice: what does not work, then what has the least to lose.
    pub(super) fn drain_one(&mut self) {
        let victim = self.staying().min_by_key(|pod| {
            let it = &self.pods[*pod];
            (rank(it.state), cheapest_first((it.leases.len() as u64, 0), it.ready.0.cast_signed()))
        });
        let Some(pod) = victim else { return };
        if self.pods[pod].state == State::Ready {
            self.pods[pod].drains = self.now;
            self.enter(pod, State::Draining);
            if self.pods[pod].leases.is_empty() {
                self.at(self.now.plus(AFTER_DRAIN), Event::Drained(pod));
            } else {
                self.at(self.now.plus(self.trace.grace), Event::Overdue(pod));
            }
        } else {
            self.gone(pod);
        }
    }

    /// It has had as long to finish as it has after SIGTERM, which comes now.
    pub(super) fn overdue(&mut self, pod: usize) {
        let it = &self.pods[pod];
        if it.state == State::Draining && !it.leases.is_empty() && self.now.since(it.drains) >= self.trace.grace {
            self.told_to_end(pod);
        }
    }

    fn told_to_end(&mut self, pod: usize) {
        self.tally.busy_killed += 1;
        self.enter(pod, State::Ending);
        self.at(self.now.plus(self.trace.grace), Event::End(pod));
    }

    /// As a ReplicaSet chooses without a deletion cost (`ActivePodsWithRanks`): pending, then not ready, then the newest of the ready ones. It
    /// does not know who is busy.
    pub(super) fn end_one(&mut self) {
        let victim = self.staying().min_by_key(|pod| (rank(self.pods[*pod].state), Reverse(self.pods[*pod].ready), Reverse(*pod)));
        let Some(pod) = victim else { return };
        if self.pods[pod].leases.is_empty() {
            self.gone(pod);
        } else {
            self.told_to_end(pod);
        }
    }

    fn staying(&self) -> impl Iterator<Item = usize> {
        self.live.iter().copied().filter(|pod| !matches!(self.pods[*pod].state, State::Draining | State::Ending))
    }

    /// The grace is over: what is not finished begins anew elsewhere, before what came later.
    pub(super) fn end(&mut self, pod: usize) {
        if self.pods[pod].state != State::Ending {
            return;
        }
        let mut leases = std::mem::take(&mut self.pods[pod].leases);
        leases.sort_by_key(|lease| Reverse(lease.item));
        for lease in leases {
            self.tally.interrupted += 1;
            self.queue.push_front(lease.item);
        }
        self.gone(pod);
        self.dispatch();
    }

    pub(super) fn gone(&mut self, pod: usize) {
        self.enter(pod, State::Gone);
        self.live.retain(|live| *live != pod);
        let pending = self.live.iter().copied().find(|pod| self.pods[*pod].state == State::Pending);
        if let Some(pending) = pending {
            self.schedule(pending);
        }
    }

    /// Every change of a pod's state comes by here.
    pub(super) fn enter(&mut self, pod: usize, state: State) {
        let is_placed = |state| u32::from(!matches!(state, State::Pending | State::Gone));
        self.placed = self.placed + is_placed(state) - is_placed(self.pods[pod].state);
        self.change(pod, |it| it.state = state);
    }

    /// Every change of what decides about free slots comes by here.
    pub(super) fn change(&mut self, pod: usize, how: impl FnOnce(&mut Pod)) {
        let it = &mut self.pods[pod];
        self.free.remove(&(it.leases.len(), pod));
        how(it);
        if it.state == State::Ready && it.leases.len() < self.trace.slots as usize {
            self.free.insert((it.leases.len(), pod));
        }
    }
}

/// Pods that do no work go first.
fn rank(state: State) -> u8 {
    match state {
        State::Pending => 0,
        State::Trouble => 1,
        State::Starting => 2,
        _ => 3,
    }
}
