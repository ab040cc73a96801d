//! The polls that wait for work, and the slots that they offer to operations which make work ready.
//!
//! A waiting poll has a *seat* with free slots. An operation *reserves* slots of a seat, names the seat's session in its offer to
//! the store, and then hands over what was granted or gives the slots back. A poll answers when it has a grant and no reservation is
//! outstanding: what comes together travels together.
//!
//! Invariants: a slot is offered once, to one operation, or is with its own poll; a session has one seat; a grant is told to
//! the poll whose request number it carries, or is handed back to the store. A reservation that is dropped without a word (the
//! operation's outcome is unknown) makes the poll ask the store again for what its number was granted.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::api::worker::{ActivityWork, TurnWork};
use crate::api::{Name, Partition, Seq, SessionId};
use crate::store::op::Offer;

/// Free slots of both kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Free {
    /// For turns.
    pub turns: u16,
    /// For activities.
    pub activities: u16,
}

impl Free {
    /// Less what work fills.
    #[must_use]
    pub fn less(self, work: &Granted) -> Self {
        let count = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
        Self {
            turns: self.turns.saturating_sub(count(work.turns.len())),
            activities: self.activities.saturating_sub(count(work.activities.len())),
        }
    }

    /// Divided into so many parts that differ by one at most.
    #[must_use]
    pub fn shares(self, parts: usize) -> Vec<Self> {
        let parts = u16::try_from(parts.max(1)).unwrap_or(u16::MAX);
        let share = |all: u16, part: u16| all / parts + u16::from(part < all % parts);
        (0..parts).map(|part| Self { turns: share(self.turns, part), activities: share(self.activities, part) }).collect()
    }

    /// More of both.
    pub fn add(&mut self, other: Self) {
        self.turns = self.turns.saturating_add(other.turns);
        self.activities = self.activities.saturating_add(other.activities);
    }
}

/// Work that was leased, in the form in which it travels.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Granted {
    /// Turns.
    pub turns: Vec<TurnWork>,
    /// Attempts.
    pub activities: Vec<ActivityWork>,
}

impl Granted {
    /// Whether there is none.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.turns.is_empty() && self.activities.is_empty()
    }

    /// Adds more, and nothing twice: a repeated claim hands out again what an offer brought already.
    pub fn merge(&mut self, more: Self) {
        for turn in more.turns {
            if !self.turns.iter().any(|known| known.run == turn.run && known.seq == turn.seq) {
                self.turns.push(turn);
            }
        }
        for work in more.activities {
            let same = |known: &ActivityWork| known.run == work.run && known.command == work.command && known.attempt == work.attempt;
            if !self.activities.iter().any(same) {
                self.activities.push(work);
            }
        }
    }
}

#[derive(Debug)]
struct Waiting {
    token: u64,
    seq: Seq,
    pool: Name,
    /// What the poll asked for.
    asked: Free,
    /// It is to answer now.
    ends: bool,
    free: Free,
    outstanding: u32,
    granted: Granted,
    unknown: Vec<Partition>,
    changed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Inner {
    token: u64,
    /// Told when slots for turns are offered.
    room: Arc<Notify>,
    by_session: HashMap<SessionId, Waiting>,
    by_pool: HashMap<Name, VecDeque<SessionId>>,
}

impl Inner {
    fn leave(&mut self, session: &SessionId) -> Option<Waiting> {
        let left = self.by_session.remove(session)?;
        if let Some(ring) = self.by_pool.get_mut(&left.pool) {
            ring.retain(|other| other != session);
            if ring.is_empty() {
                self.by_pool.remove(&left.pool);
            }
        }
        Some(left)
    }
}

/// The seats of this replica.
#[derive(Debug, Clone, Default)]
pub struct Waiters(Arc<Mutex<Inner>>);

/// How many seats an operation looks at before it goes without an offer.
const TRIES: usize = 8;

impl Waiters {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a seat that offers nothing yet. A seat that the session has already (its connection broke) is taken over: its
    /// poll finds itself replaced.
    #[must_use]
    pub fn sit(&self, session: &SessionId, pool: &Name, seq: Seq, asked: Free) -> Seat {
        let mut inner = self.lock();
        inner.token += 1;
        let token = inner.token;
        let changed = Arc::new(Notify::new());
        let waiting = Waiting {
            token,
            seq,
            pool: pool.clone(),
            asked,
            ends: false,
            free: Free::default(),
            outstanding: 0,
            granted: Granted::default(),
            unknown: Vec::new(),
            changed: changed.clone(),
        };
        match inner.by_session.insert(session.clone(), waiting) {
            Some(replaced) => replaced.changed.notify_one(),
            None => inner.by_pool.entry(pool.clone()).or_default().push_back(session.clone()),
        }
        Seat { waiters: self.clone(), session: session.clone(), token, changed }
    }

    /// Whether a poll of the session waits here, on a connection that is open as far as anybody knows.
    #[must_use]
    pub fn is_waiting(&self, session: &SessionId) -> bool {
        self.lock().by_session.contains_key(session)
    }

    /// The worker has slots again that its waiting poll lacks altogether: that poll is to answer, so that the next one has them.
    pub fn came_back(&self, session: &SessionId, slots: Free) {
        if let Some(waiting) = self.lock().by_session.get_mut(session) {
            let lacked = (waiting.asked.turns == 0 && slots.turns > 0) || (waiting.asked.activities == 0 && slots.activities > 0);
            if lacked && !waiting.ends {
                waiting.ends = true;
                waiting.changed.notify_one();
            }
        }
    }

    /// The session has ended: its poll finds itself replaced, and nothing is offered of it any more.
    pub fn evict(&self, session: &SessionId) {
        if let Some(gone) = self.lock().leave(session) {
            gone.changed.notify_one();
        }
    }

    /// Reserves up to so many slots of one waiting poll: of that pool, or of any.
    #[must_use]
    pub fn reserve(&self, pool: Option<&Name>, wanted: Free, partition: Partition) -> Option<Reservation> {
        let mut inner = self.lock();
        let inner = &mut *inner;
        let found = match pool {
            Some(pool) => inner.by_pool.get_mut(pool).and_then(|ring| pick(ring, &inner.by_session, wanted)),
            None => inner.by_pool.values_mut().find_map(|ring| pick(ring, &inner.by_session, wanted)),
        }?;
        let waiting = inner.by_session.get_mut(&found)?;
        let taken = Free { turns: waiting.free.turns.min(wanted.turns), activities: waiting.free.activities.min(wanted.activities) };
        waiting.free.turns -= taken.turns;
        waiting.free.activities -= taken.activities;
        waiting.outstanding += 1;
        let offer = Offer {
            session: found,
            seq: waiting.seq,
            pool: waiting.pool.clone(),
            turns: taken.turns,
            activities: taken.activities,
            fair: false,
        };
        Some(Reservation { waiters: self.clone(), token: waiting.token, taken, offer, partition, settled: false })
    }
}

impl Waiters {
    /// What `reserve` reserves, as soon as it does: it is tried again when slots for turns are offered.
    pub async fn with_room(&self, reserve: impl Fn() -> Option<Reservation>) -> Reservation {
        let room = self.lock().room.clone();
        loop {
            let mut offered = std::pin::pin!(room.notified());
            offered.as_mut().enable();
            if let Some(reservation) = reserve() {
                return reservation;
            }
            offered.await;
        }
    }
}

/// The next session in the ring that has a slot of a wanted kind.
fn pick(ring: &mut VecDeque<SessionId>, seats: &HashMap<SessionId, Waiting>, wanted: Free) -> Option<SessionId> {
    for _ in 0..ring.len().min(TRIES) {
        let session = ring.pop_front()?;
        ring.push_back(session.clone());
        let free = seats.get(&session).map(|waiting| waiting.free).unwrap_or_default();
        if (wanted.turns > 0 && free.turns > 0) || (wanted.activities > 0 && free.activities > 0) {
            return Some(session);
        }
    }
    None
}

/// What a poll may do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Settled {
    /// Answer with this; the seat is left.
    Answer(Granted),
    /// Wait: nothing is there, or a reservation is outstanding.
    Wait,
    /// Ask the store again what the request was granted in these partitions.
    AskAgain(Vec<Partition>),
    /// Another poll of the session has taken the seat, or the session has ended: answer with nothing.
    Replaced,
}

/// A poll's place among those who wait. Dropped: the place is left, and what was granted meanwhile is found by the
/// worker's repeat.
#[derive(Debug)]
pub struct Seat {
    waiters: Waiters,
    session: SessionId,
    token: u64,
    /// Told when something was granted, given back or unknown.
    pub changed: Arc<Notify>,
}

impl Seat {
    fn with<T>(&self, act: impl FnOnce(&mut Waiting) -> T) -> Option<T> {
        let mut inner = self.waiters.lock();
        inner.by_session.get_mut(&self.session).filter(|waiting| waiting.token == self.token).map(act)
    }

    /// Takes the free slots back from the offers, for a claim.
    #[must_use]
    pub fn take_free(&self) -> Free {
        self.with(|waiting| std::mem::take(&mut waiting.free)).unwrap_or_default()
    }

    /// Offers these slots, and keeps what a claim brought.
    pub fn put(&self, free: Free, granted: Granted) {
        let is_offered = self.with(|waiting| {
            waiting.free.add(free);
            waiting.granted.merge(granted);
        });
        if is_offered.is_some() && free.turns > 0 {
            self.waiters.lock().room.notify_waiters();
        }
    }

    /// Whether the poll may answer. `last`: it must, as soon as no reservation is outstanding, and offers nothing any more.
    pub fn settle(&self, last: bool) -> Settled {
        let settled = self.with(|waiting| {
            let last = last || waiting.ends;
            if last {
                waiting.free = Free::default();
            }
            if waiting.outstanding > 0 {
                return Settled::Wait;
            }
            if !waiting.unknown.is_empty() {
                return Settled::AskAgain(std::mem::take(&mut waiting.unknown));
            }
            if waiting.granted.is_none() && !last {
                return Settled::Wait;
            }
            // Left under the same lock, so that nothing is offered to a poll that has answered.
            waiting.free = Free::default();
            Settled::Answer(std::mem::take(&mut waiting.granted))
        });
        settled.unwrap_or(Settled::Replaced)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut inner = self.waiters.lock();
        if inner.by_session.get(&self.session).is_none_or(|waiting| waiting.token != self.token) {
            return;
        }
        inner.leave(&self.session);
    }
}

/// Slots of a waiting poll, for one operation of the store.
#[derive(Debug)]
pub struct Reservation {
    waiters: Waiters,
    token: u64,
    taken: Free,
    offer: Offer,
    partition: Partition,
    settled: bool,
}

impl Reservation {
    /// What goes into the operation.
    #[must_use]
    pub fn offer(&self) -> Offer {
        self.offer.clone()
    }

    fn resolve(&self, act: impl FnOnce(&mut Waiting)) {
        let mut inner = self.waiters.lock();
        if let Some(waiting) = inner.by_session.get_mut(&self.offer.session).filter(|waiting| waiting.token == self.token) {
            waiting.outstanding = waiting.outstanding.saturating_sub(1);
            act(waiting);
            waiting.changed.notify_one();
            if waiting.free.turns > 0 {
                inner.room.notify_waiters();
            }
        }
    }

    /// The operation answered. What it granted goes to the poll, the other slots are offered again.
    ///
    /// # Errors
    /// The work, when no poll can tell it any more: it must be handed back to the store.
    pub fn fulfil(mut self, granted: Granted) -> Result<(), Granted> {
        self.settled = true;
        let mut rest = Some(granted);
        let back = rest.as_ref().map(|granted| self.taken.less(granted)).unwrap_or_default();
        self.resolve(|waiting| {
            waiting.free.add(back);
            waiting.granted.merge(rest.take().unwrap_or_default());
        });
        match rest {
            // The poll came again over another connection with the same number, and may have room.
            Some(granted) if !granted.is_none() => self.forward(granted),
            _ => Ok(()),
        }
    }

    fn forward(&self, granted: Granted) -> Result<(), Granted> {
        let mut inner = self.waiters.lock();
        let Some(waiting) = inner.by_session.get_mut(&self.offer.session).filter(|waiting| waiting.seq == self.offer.seq) else {
            return Err(granted);
        };
        let room =
            usize::from(waiting.free.turns) >= granted.turns.len() && usize::from(waiting.free.activities) >= granted.activities.len();
        if !room {
            return Err(granted);
        }
        waiting.free = waiting.free.less(&granted);
        waiting.granted.merge(granted);
        waiting.changed.notify_one();
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.settled {
            let (taken, partition) = (self.taken, self.partition);
            self.resolve(|waiting| {
                waiting.free.add(taken);
                waiting.unknown.push(partition);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::TimeMs;

    const ONE_TURN: Free = Free { turns: 1, activities: 0 };
    const BOTH: Free = Free { turns: 8, activities: 8 };
    const P: Partition = Partition(3);

    fn session(name: &str) -> SessionId {
        name.parse().unwrap()
    }

    fn pool() -> Name {
        "default".parse().unwrap()
    }

    fn turn(id: &str) -> Granted {
        let turn = TurnWork {
            run: crate::api::RunKey { namespace: pool(), id: id.parse().unwrap() },
            uid: "0190f3a0-0000-7000-8000-000000000000".parse().unwrap(),
            workflow: pool(),
            version: crate::api::Version::of(""),
            head: crate::api::Head(1),
            seq: 1,
            number: 0,
            next_command: 0,
            at: TimeMs(0),
            started_at: TimeMs(0),
            deaths: 0,
            events: vec![],
        };
        Granted { turns: vec![turn], activities: vec![] }
    }

    #[test]
    fn a_slot_is_offered_once_and_a_poll_answers_when_nothing_is_outstanding() {
        let waiters = Waiters::default();
        let seat = waiters.sit(&session("s"), &pool(), 1, BOTH);
        assert!(waiters.reserve(Some(&pool()), ONE_TURN, P).is_none(), "it offers nothing yet");
        seat.put(Free { turns: 2, activities: 0 }, Granted::default());
        let first = waiters.reserve(Some(&pool()), ONE_TURN, P).unwrap();
        let second = waiters.reserve(None, ONE_TURN, P).unwrap();
        assert!(waiters.reserve(None, ONE_TURN, P).is_none(), "both slots are reserved");
        first.fulfil(turn("a")).unwrap();
        assert_eq!(seat.settle(false), Settled::Wait, "the other reservation is outstanding");
        second.fulfil(Granted::default()).unwrap();
        assert_eq!(seat.settle(false), Settled::Answer(turn("a")));
        assert!(waiters.reserve(None, ONE_TURN, P).is_none(), "a poll that has answered offers nothing");
    }

    #[test]
    fn an_unknown_outcome_is_asked_for_before_the_poll_answers() {
        let waiters = Waiters::default();
        let seat = waiters.sit(&session("s"), &pool(), 1, BOTH);
        seat.put(ONE_TURN, Granted::default());
        drop(waiters.reserve(None, ONE_TURN, P).unwrap());
        assert_eq!(seat.settle(true), Settled::AskAgain(vec![P]));
        seat.put(Free::default(), turn("a"));
        assert_eq!(seat.settle(true), Settled::Answer(turn("a")));
    }

    #[test]
    fn what_a_gone_poll_cannot_tell_comes_back_to_the_caller() {
        let waiters = Waiters::default();
        let seat = waiters.sit(&session("s"), &pool(), 1, BOTH);
        seat.put(ONE_TURN, Granted::default());
        let reservation = waiters.reserve(None, ONE_TURN, P).unwrap();
        drop(seat);
        assert_eq!(reservation.fulfil(turn("a")), Err(turn("a")));
    }

    #[test]
    fn a_repeat_of_the_poll_takes_over_and_is_told() {
        let waiters = Waiters::default();
        let old = waiters.sit(&session("s"), &pool(), 1, BOTH);
        old.put(ONE_TURN, Granted::default());
        let reservation = waiters.reserve(None, ONE_TURN, P).unwrap();
        let new = waiters.sit(&session("s"), &pool(), 1, BOTH);
        new.put(ONE_TURN, Granted::default());
        assert_eq!(old.settle(true), Settled::Replaced);
        drop(old);
        reservation.fulfil(turn("a")).unwrap();
        assert_eq!(new.settle(false), Settled::Answer(turn("a")));
    }

    #[test]
    fn a_poll_without_slots_of_a_kind_answers_when_the_worker_has_some_again() {
        let waiters = Waiters::default();
        let only_activities = Free { turns: 0, activities: 2 };
        let seat = waiters.sit(&session("s"), &pool(), 1, only_activities);
        seat.put(only_activities, Granted::default());
        waiters.came_back(&session("s"), Free { turns: 0, activities: 1 });
        waiters.came_back(&session("another"), ONE_TURN);
        assert_eq!(seat.settle(false), Settled::Wait);
        let reservation = waiters.reserve(None, only_activities, P).unwrap();
        waiters.came_back(&session("s"), ONE_TURN);
        assert_eq!(seat.settle(false), Settled::Wait, "a reservation is outstanding");
        assert!(waiters.reserve(None, only_activities, P).is_none(), "it offers nothing any more");
        reservation.fulfil(Granted::default()).unwrap();
        assert_eq!(seat.settle(false), Settled::Answer(Granted::default()));
    }

    #[tokio::test]
    async fn who_waits_for_room_gets_it_from_the_next_poll_and_from_what_is_given_back() {
        let waiters = Waiters::default();
        let seat = waiters.sit(&session("s"), &pool(), 1, BOTH);
        let reserve = || waiters.reserve(None, ONE_TURN, P);
        let offered = async { seat.put(ONE_TURN, Granted::default()) };
        let (first, ()) = tokio::join!(waiters.with_room(reserve), offered);
        let given_back = async { first.fulfil(Granted::default()).unwrap() };
        let (second, ()) = tokio::join!(waiters.with_room(reserve), given_back);
        assert_eq!(second.offer().turns, 1);
    }

    #[test]
    fn offers_go_round_among_those_who_wait() {
        let waiters = Waiters::default();
        let seats: Vec<_> = ["a", "b"].into_iter().map(|name| waiters.sit(&session(name), &pool(), 1, BOTH)).collect();
        for seat in &seats {
            seat.put(Free { turns: 5, activities: 0 }, Granted::default());
        }
        let names: Vec<_> = (0..4).map(|_| waiters.reserve(None, ONE_TURN, P).unwrap().offer().session.to_string()).collect();
        assert_eq!(names, ["a", "b", "a", "b"]);
    }
}
