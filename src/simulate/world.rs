//! Pods, slots and a queue, from event to event.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};

use super::chance::{Chance, millis, real};
use super::figures::{Figures, Sample, Tally};
use super::policy::{Policy, Seen};
use super::trace::{Item, Trace};
use crate::api::{DurationMs, TimeMs};
use crate::machine::scaling::meter::{Mean, Rate};
use crate::machine::scaling::{Cause, Due, Fleet, Load, Signals, Stuck};

/// A policy is asked so often.
const TICK: DurationMs = DurationMs::from_secs(1);
/// A drained pod is removed after its readiness has been seen to be gone.
const AFTER_DRAIN: DurationMs = DurationMs::from_secs(1);
/// What is not done a day after the last arrival will never be.
const PATIENCE: DurationMs = DurationMs::from_secs(24 * 3_600);
/// Groups of timers that a signal names.
const TIMERS_MAX: usize = 16;
/// Samples of one run, for the plots.
const SAMPLES: u64 = 240;
/// A turn takes about so long; every timer is one.
const TURN: DurationMs = DurationMs(5);
/// So many of the last starts are remembered.
const STARTS: usize = 32;

/// Replays a trace against a policy. The same arguments give the same figures.
#[must_use]
pub fn run(trace: &Trace, items: &[Item], policy: &mut dyn Policy, seed: u64) -> Figures {
    let mut world = World::new(trace, items, seed);
    world.begin(policy);
    while let Some(Reverse((at, _, event))) = world.events.pop() {
        if world.is_over() {
            break;
        }
        world.pass_to(at);
        world.happen(event, policy);
    }
    world.tally.figures(policy.name())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// The next item comes.
    Arrival,
    /// A pod is ready.
    Ready(usize),
    /// A pod is seen not to start.
    Trouble(usize),
    /// A piece of work ends, if the pod still has that lease.
    Done { pod: usize, lease: u64 },
    /// A pod's grace is over.
    End(usize),
    /// A drained pod goes, unless it was taken back.
    Drained(usize),
    /// The policy is asked.
    Tick,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
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

struct Pod {
    state: State,
    wished: TimeMs,
    ready: TimeMs,
    /// Slot times are so many times longer.
    slower: f64,
    in_trouble: bool,
    leases: Vec<Lease>,
}

#[derive(Clone, Copy)]
struct Lease {
    id: u64,
    item: usize,
    since: TimeMs,
}

struct World<'a> {
    trace: &'a Trace,
    items: &'a [Item],
    seed: u64,
    now: TimeMs,
    events: BinaryHeap<Reverse<(TimeMs, u64, Event)>>,
    order: u64,
    arrived: usize,
    done: usize,
    queue: VecDeque<usize>,
    pods: Vec<Pod>,
    /// Pods that are not gone, by index.
    live: Vec<usize>,
    /// Of these, those on nodes.
    placed: u32,
    /// Ready pods with a free slot, those with the fewest leases first.
    free: BTreeSet<(usize, usize)>,
    replicas: u32,
    arrivals: Rate,
    slot_mean: Mean,
    starts: VecDeque<DurationMs>,
    /// When timers fall due, and how many; soonest first.
    timers: VecDeque<(TimeMs, u64)>,
    pushed: Option<TimeMs>,
    /// The plots have one sample for each.
    stretch: DurationMs,
    tally: Tally,
}

impl<'a> World<'a> {
    fn new(trace: &'a Trace, items: &'a [Item], seed: u64) -> Self {
        let mut timers: VecDeque<(TimeMs, u64)> = VecDeque::new();
        for item in items.iter().filter(|item| item.timer) {
            match timers.back_mut() {
                Some((at, count)) if *at == item.at => *count += 1,
                _ => timers.push_back((item.at, 1)),
            }
        }
        Self {
            trace,
            items,
            seed,
            now: TimeMs(0),
            events: BinaryHeap::new(),
            order: 0,
            arrived: 0,
            done: 0,
            queue: VecDeque::new(),
            pods: Vec::new(),
            live: Vec::new(),
            placed: 0,
            free: BTreeSet::new(),
            replicas: 0,
            arrivals: Rate::from(TimeMs(0)),
            slot_mean: Mean::default(),
            starts: VecDeque::new(),
            timers,
            pushed: None,
            stretch: DurationMs(trace.length.0.div_ceil(SAMPLES).max(1)),
            tally: Tally::default(),
        }
    }

    fn begin(&mut self, policy: &dyn Policy) {
        self.replicas = policy.initial();
        self.tally.wanted(self.replicas, self.now);
        for _ in 0..self.replicas {
            let pod = self.create();
            if self.has_room() {
                self.turn(pod, State::Ready);
            }
        }
        if let Some(first) = self.items.first() {
            self.at(first.at, Event::Arrival);
        }
        self.at(self.now, Event::Tick);
    }

    fn is_over(&self) -> bool {
        let (end, all) = (TimeMs(self.trace.length.0), self.done == self.items.len());
        (all && self.now >= end) || self.now >= end.plus(PATIENCE)
    }

    fn at(&mut self, at: TimeMs, event: Event) {
        self.order += 1;
        self.events.push(Reverse((at, self.order, event)));
    }

    /// Time passes: pods on nodes cost.
    fn pass_to(&mut self, at: TimeMs) {
        self.tally.pod_time += u64::from(self.placed) * at.since(self.now).0;
        self.now = at;
        // Of each stretch of time the most.
        let (pods, backlog) = (self.placed, self.queue.len() as u64);
        let stretch = TimeMs(at.0 / self.stretch.0 * self.stretch.0);
        match self.tally.series.last_mut() {
            Some(last) if last.at == stretch => {
                *last = Sample { at: stretch, pods: last.pods.max(pods), backlog: last.backlog.max(backlog) }
            }
            _ => self.tally.series.push(Sample { at: stretch, pods, backlog }),
        }
    }

    fn happen(&mut self, event: Event, policy: &mut dyn Policy) {
        match event {
            Event::Arrival => {
                self.arrive();
                if policy.is_pushed() && self.pushed.is_none_or(|last| self.now.since(last) >= TICK) {
                    self.pushed = Some(self.now);
                    self.ask(policy);
                }
            }
            Event::Tick => {
                self.ask(policy);
                self.at(self.now.plus(TICK), Event::Tick);
            }
            Event::Ready(pod) => self.ready(pod),
            Event::Trouble(pod) if self.pods[pod].state == State::Starting => self.turn(pod, State::Trouble),
            Event::Done { pod, lease } => self.finish(pod, lease),
            Event::End(pod) => self.end(pod),
            Event::Drained(pod) if self.pods[pod].state == State::Draining && self.pods[pod].leases.is_empty() => self.gone(pod),
            Event::Trouble(_) | Event::Drained(_) => {}
        }
    }

    fn arrive(&mut self) {
        let at = self.items[self.arrived].at;
        // What comes in one moment comes together.
        while self.items.get(self.arrived).is_some_and(|item| item.at == at) {
            self.queue.push_back(self.arrived);
            self.arrived += 1;
            self.arrivals.add(1, self.now);
        }
        self.timers.pop_front_if(|(due, _)| *due <= at);
        if let Some(next) = self.items.get(self.arrived) {
            self.at(next.at, Event::Arrival);
        }
        self.dispatch();
    }

    /// The oldest work goes to the pod with the most free slots, as the poll that has waited longest gets it.
    fn dispatch(&mut self) {
        while let Some((_, pod)) = self.free.first().copied() {
            let Some(item) = self.queue.pop_front() else { return };
            self.order += 1;
            let lease = Lease { id: self.order, item, since: self.now };
            let slot = millis(real(self.items[item].slot) * self.pods[pod].slower);
            self.change(pod, |it| it.leases.push(lease));
            self.at(self.now.plus(slot), Event::Done { pod, lease: lease.id });
        }
    }

    fn finish(&mut self, pod: usize, lease: u64) {
        let leases = &self.pods[pod].leases;
        let Some(index) = leases.iter().position(|l| l.id == lease) else { return };
        let lease = leases[index];
        self.change(pod, |it| _ = it.leases.swap_remove(index));
        let took = self.now.since(lease.since);
        self.slot_mean.add(took, self.now);
        self.tally.done(lease.since.since(self.items[lease.item].at));
        self.done += 1;
        if self.pods[pod].leases.is_empty() {
            match self.pods[pod].state {
                State::Draining => self.at(self.now.plus(AFTER_DRAIN), Event::Drained(pod)),
                State::Ending => self.gone(pod),
                _ => {}
            }
        }
        self.dispatch();
    }

    /// The policy is asked, and obeyed.
    fn ask(&mut self, policy: &mut dyn Policy) {
        let signals = self.signals();
        let fleet = self.fleet();
        let wanted = policy.wanted(&Seen { now: self.now, signals: &signals, fleet: &fleet, replicas: self.replicas });
        if wanted == self.replicas {
            return;
        }
        self.tally.wanted(wanted, self.now);
        while self.replicas < wanted {
            self.replicas += 1;
            self.more();
        }
        while self.replicas > wanted {
            self.replicas -= 1;
            if policy.drains() { self.drain_one() } else { self.end_one() }
        }
        self.dispatch();
    }

    /// One pod more: one that drains is taken back, the busiest first; else a new one.
    fn more(&mut self) {
        let draining = self.live.iter().copied().filter(|pod| self.pods[*pod].state == State::Draining);
        if let Some(pod) = draining.max_by_key(|pod| (self.pods[*pod].leases.len(), Reverse(*pod))) {
            self.turn(pod, State::Ready);
        } else {
            let pod = self.create();
            self.schedule(pod);
        }
    }

    fn create(&mut self) -> usize {
        let pod = self.pods.len();
        let mut chance = self.chance(pod);
        let slower = self.trace.slow.filter(|(share, _)| chance.happens(*share)).map_or(1.0, |(_, times)| times);
        let in_trouble = self.trace.fail.is_some_and(|(share, _)| chance.happens(share));
        self.pods.push(Pod { state: State::Pending, wished: self.now, ready: TimeMs(0), slower, in_trouble, leases: Vec::new() });
        self.live.push(pod);
        pod
    }

    /// The chance of the n-th pod is the same for every policy.
    fn chance(&self, pod: usize) -> Chance {
        Chance::of(self.seed ^ (pod as u64 + 1).wrapping_mul(0x0200_0000_0001))
    }

    /// A pod gets its node, if there is room.
    fn schedule(&mut self, pod: usize) {
        if !self.has_room() {
            return;
        }
        let start = {
            let mut chance = self.chance(pod);
            chance.part();
            chance.between(self.trace.start.0, self.trace.start.1)
        };
        self.turn(pod, State::Starting);
        let seen = self.now.plus(start);
        match self.trace.fail {
            Some((_, later)) if self.pods[pod].in_trouble => {
                self.at(seen, Event::Trouble(pod));
                self.at(seen.plus(later), Event::Ready(pod));
            }
            _ => self.at(seen, Event::Ready(pod)),
        }
    }

    fn has_room(&self) -> bool {
        self.trace.room.is_none_or(|room| self.placed < room)
    }

    fn ready(&mut self, pod: usize) {
        if !matches!(self.pods[pod].state, State::Starting | State::Trouble) {
            return;
        }
        self.turn(pod, State::Ready);
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

    /// How easily a pod goes, the first first: what does not work, then what has the fewest leases, then the newest.
    fn drain_one(&mut self) {
        let victim = self.staying().min_by_key(|pod| {
            let it = &self.pods[*pod];
            (rank(it.state), it.leases.len(), Reverse(it.ready))
        });
        let Some(pod) = victim else { return };
        if self.pods[pod].state == State::Ready {
            self.turn(pod, State::Draining);
            if self.pods[pod].leases.is_empty() {
                self.at(self.now.plus(AFTER_DRAIN), Event::Drained(pod));
            }
        } else {
            self.gone(pod);
        }
    }

    /// As a ReplicaSet chooses without a deletion cost (`ActivePodsWithRanks`): pending, then not ready, then the newest of the ready ones. It
    /// does not know who is busy.
    fn end_one(&mut self) {
        let victim = self.staying().min_by_key(|pod| (rank(self.pods[*pod].state), Reverse(self.pods[*pod].ready), Reverse(*pod)));
        let Some(pod) = victim else { return };
        if self.pods[pod].leases.is_empty() {
            self.gone(pod);
        } else {
            self.tally.busy_killed += 1;
            self.turn(pod, State::Ending);
            self.at(self.now.plus(self.trace.grace), Event::End(pod));
        }
    }

    fn staying(&self) -> impl Iterator<Item = usize> {
        self.live.iter().copied().filter(|pod| !matches!(self.pods[*pod].state, State::Draining | State::Ending))
    }

    /// The grace is over: what is not finished begins anew elsewhere, before what came later.
    fn end(&mut self, pod: usize) {
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

    fn gone(&mut self, pod: usize) {
        self.turn(pod, State::Gone);
        self.live.retain(|live| *live != pod);
        let pending = self.live.iter().copied().find(|pod| self.pods[*pod].state == State::Pending);
        if let Some(pending) = pending {
            self.schedule(pending);
        }
    }

    /// Every change of a pod's state comes by here.
    fn turn(&mut self, pod: usize, state: State) {
        let is_placed = |state| u32::from(!matches!(state, State::Pending | State::Gone));
        self.placed = self.placed + is_placed(state) - is_placed(self.pods[pod].state);
        self.change(pod, |it| it.state = state);
    }

    /// Every change of what decides about free slots comes by here.
    fn change(&mut self, pod: usize, how: impl FnOnce(&mut Pod)) {
        let it = &mut self.pods[pod];
        self.free.remove(&(it.leases.len(), pod));
        how(it);
        if it.state == State::Ready && it.leases.len() < self.trace.slots as usize {
            self.free.insert((it.leases.len(), pod));
        }
    }

    fn signals(&self) -> Signals {
        let busy = self.live.iter().map(|pod| self.pods[*pod].leases.len() as u64).sum();
        let oldest = self.queue.front().map(|item| self.now.since(self.items[*item].at)).unwrap_or_default();
        let activities = Load {
            backlog: self.queue.len() as u64,
            oldest,
            busy,
            arrivals_per_s: Some(self.arrivals.per_second(self.now)),
            slot_mean: self.slot_mean.get(),
            slot_p95: None,
        };
        let turns = Load { arrivals_per_s: Some(0.0), slot_mean: Some(TURN), ..Load::default() };
        let timers = self.timers.iter().take(TIMERS_MAX).map(|(at, count)| Due { within: at.since(self.now), count: *count }).collect();
        Signals { turns, activities, timers }
    }

    fn fleet(&self) -> Fleet {
        let count = |state| u32::try_from(self.live.iter().filter(|pod| self.pods[**pod].state == state).count()).unwrap_or(u32::MAX);
        let mut stuck = Vec::new();
        for (state, cause) in [(State::Pending, Cause::Unschedulable), (State::Trouble, Cause::Crash)] {
            let count = count(state);
            if count > 0 {
                stuck.push(Stuck { count, cause, detail: String::new() });
            }
        }
        let mut starts: Vec<_> = self.starts.iter().copied().collect();
        starts.sort_unstable();
        let start = starts.get((starts.len() * 95).div_ceil(100).saturating_sub(1)).copied();
        Fleet { ready: count(State::Ready), starting: count(State::Starting), stuck, draining: count(State::Draining), start }
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
