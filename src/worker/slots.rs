//! What a worker offers. Each slot is in one place: free, offered by the poll under way, offered by a commit under way, or
//! used by a lease. A slot is offered once.
//!
//! Two places are lent beyond the bound, one of a kind per item under way: a turn's commit offers one for an activity even
//! when all are used, an activity's commit one for a turn, because the next step of a run must not wait for a stranger's.

use crate::api::worker::Slots as Offer;

/// Grants in a row by way of commits, after which the head of the queue comes first.
const ROW_MAX: u32 = 16;

/// See the module.
#[derive(Debug)]
pub(super) struct Slots {
    turns: Kind,
    activities: Kind,
    row: u32,
    /// A worker that stops, or is to be drained, offers nothing.
    closed: bool,
}

#[derive(Debug, Default, Clone, Copy)]
struct Kind {
    total: u32,
    used: u32,
    polled: u32,
    offered: u32,
}

impl Kind {
    fn free(self) -> u32 {
        self.total.saturating_sub(self.used + self.polled + self.offered)
    }
}

impl Slots {
    /// All free.
    pub(super) fn new(turns: u16, activities: u16) -> Self {
        let kind = |total: u16| Kind { total: u32::from(total), ..Kind::default() };
        Self { turns: kind(turns), activities: kind(activities), row: 0, closed: false }
    }

    /// Offers nothing any more.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// Offers again what is free.
    pub(super) fn open(&mut self) {
        self.closed = false;
    }

    /// What a poll may offer, turns and activities: none while nothing is free. A quarter of the free activities stays for
    /// commits, so that a fan-out is granted with the turn that asks for it.
    pub(super) fn poll(&mut self) -> Option<(u16, u16)> {
        let turns = self.turns.free();
        let free = self.activities.free();
        let activities = free - free / 4;
        if self.closed || (turns == 0 && activities == 0) {
            return None;
        }
        self.turns.polled = turns;
        self.activities.polled = activities;
        Some((narrow(turns), narrow(activities)))
    }

    /// Whether slots of a kind of which none is free are on their way back: a turn is short, and so is a commit. A poll without them
    /// would sit in the way of one that has them.
    pub(super) fn come_back(&self) -> bool {
        let none_is_free = |kind: Kind| kind.free() == 0 && kind.total > 0;
        (none_is_free(self.turns) && self.turns.used + self.turns.offered > 0)
            || (none_is_free(self.activities) && self.activities.offered > 0)
    }

    /// The poll was answered.
    pub(super) fn polled(&mut self, turns: usize, activities: usize) {
        self.turns.polled = 0;
        self.activities.polled = 0;
        self.turns.used += wide(turns);
        self.activities.used += wide(activities);
        if turns + activities > 0 {
            self.row = 0;
        }
    }

    /// A leased turn is committed: it frees its slot, and asks for as many activities as it schedules. A part of a turn
    /// keeps its slot.
    pub(super) fn offer_for_turn(&mut self, schedules: usize, continued: bool) -> Offer {
        if !continued {
            self.turns.used = self.turns.used.saturating_sub(1);
        }
        let activities = self.activities_for(wide(schedules), 1);
        self.offer(u32::from(!continued), activities)
    }

    /// An attempt ended: it frees its slot. With an optimistic turn it asks for what that schedules; the slot itself at least.
    pub(super) fn offer_for_activity(&mut self, schedules: usize) -> Offer {
        self.activities.used = self.activities.used.saturating_sub(1);
        let activities = self.activities_for(wide(schedules).max(1), 1);
        self.offer(1, activities)
    }

    fn activities_for(&self, wanted: u32, least: u32) -> u32 {
        wanted.min(self.activities.free().max(least))
    }

    fn offer(&mut self, turns: u32, activities: u32) -> Offer {
        if self.closed {
            return Offer::default();
        }
        self.turns.offered += turns;
        self.activities.offered += activities;
        let fair = self.row >= ROW_MAX;
        if fair {
            self.row = 0;
        }
        Offer { turns: narrow(turns), activities: narrow(activities), fair }
    }

    /// A commit was answered: its offers come back, and what was granted is used.
    pub(super) fn answered(&mut self, offers: Offer, turns: usize, activities: usize) {
        self.turns.offered = self.turns.offered.saturating_sub(u32::from(offers.turns));
        self.activities.offered = self.activities.offered.saturating_sub(u32::from(offers.activities));
        self.turns.used += wide(turns);
        self.activities.used += wide(activities);
        self.row = self.row.saturating_add(wide(turns + activities));
    }

    /// A turn lease is held on, though its commit was counted as freeing it.
    pub(super) fn take_turn(&mut self) {
        self.turns.used += 1;
    }

    /// A turn lease ended without an offer.
    pub(super) fn release_turn(&mut self) {
        self.turns.used = self.turns.used.saturating_sub(1);
    }

    /// An attempt's lease ended without an offer.
    pub(super) fn release_activity(&mut self) {
        self.activities.used = self.activities.used.saturating_sub(1);
    }
}

fn narrow(n: u32) -> u16 {
    u16::try_from(n).unwrap_or(u16::MAX).min(crate::api::limits::SLOTS_MAX)
}

fn wide(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(turns: u16, activities: u16) -> Offer {
        Offer { turns, activities, fair: false }
    }

    #[test]
    fn a_slot_is_offered_once_and_comes_back_with_the_answer() {
        let mut slots = Slots::new(4, 8);
        assert_eq!(slots.poll(), Some((4, 6)));
        // While the poll is under way, a commit can offer two activities beside it.
        assert_eq!(slots.offer_for_turn(5, false), offer(1, 2));
        slots.answered(offer(1, 2), 1, 2);
        slots.polled(2, 0);
        slots.release_activity();
        slots.release_activity();
        assert_eq!(slots.offer_for_turn(5, false), offer(1, 5));
        // 4 turns: 2 used, 1 offered. 8 activities: 5 offered, 3 free.
        assert_eq!(slots.poll(), Some((1, 3)));
        slots.answered(offer(1, 5), 0, 5);
        slots.polled(0, 0);
        assert_eq!(slots.poll(), Some((2, 3)));
    }

    #[test]
    fn a_run_can_always_take_its_next_step() {
        let mut slots = Slots::new(1, 1);
        slots.poll();
        slots.polled(1, 1);
        assert_eq!(slots.poll(), None);
        assert_eq!(slots.offer_for_turn(3, false), offer(1, 1));
        slots.answered(offer(1, 1), 0, 1);
        assert_eq!(slots.offer_for_activity(0), offer(1, 1));
        slots.answered(offer(1, 1), 0, 0);
        assert_eq!(slots.offer_for_activity(0), offer(1, 1));
        slots.answered(offer(1, 1), 0, 0);
        assert_eq!(slots.poll(), Some((1, 1)));
    }

    #[test]
    fn slots_of_turns_and_of_commits_come_back_and_those_of_activities_when_they_end() {
        let mut slots = Slots::new(1, 1);
        assert!(!slots.come_back());
        slots.poll();
        slots.polled(1, 0);
        assert!(slots.come_back(), "a turn is taken");
        let offer = slots.offer_for_turn(0, false);
        assert!(slots.come_back(), "it is committed");
        slots.answered(offer, 0, 0);
        assert!(!slots.come_back());
        slots.poll();
        slots.polled(0, 1);
        assert!(!slots.come_back(), "nobody knows how long an activity takes");
        let offer = slots.offer_for_activity(0);
        assert!(slots.come_back(), "its outcome is committed");
        slots.answered(offer, 0, 0);
        assert!(!slots.come_back());
    }

    #[test]
    fn parts_of_a_turn_keep_its_slot() {
        let mut slots = Slots::new(2, 8);
        slots.poll();
        slots.polled(1, 0);
        assert_eq!(slots.offer_for_turn(0, true), offer(0, 0));
        slots.answered(offer(0, 0), 0, 0);
        assert_eq!(slots.poll(), Some((1, 6)));
    }

    #[test]
    fn after_sixteen_grants_by_commits_the_head_of_the_queue_comes_first() {
        let mut slots = Slots::new(64, 64);
        let mut fair = Vec::new();
        for _ in 0..34 {
            let offer = slots.offer_for_activity(1);
            fair.push(offer.fair);
            slots.answered(offer, 0, 1);
        }
        assert_eq!(fair.iter().enumerate().filter(|(_, f)| **f).map(|(i, _)| i).collect::<Vec<_>>(), [16, 32]);
    }

    #[test]
    fn a_worker_that_stops_offers_nothing() {
        let mut slots = Slots::new(2, 2);
        slots.poll();
        slots.polled(1, 1);
        slots.close();
        assert_eq!(slots.poll(), None);
        assert_eq!(slots.offer_for_turn(1, false), Offer::default());
        assert_eq!(slots.offer_for_activity(0), Offer::default());
        slots.open();
        assert_eq!(slots.poll(), Some((2, 2)), "and all that is free when it works on");
    }
}
