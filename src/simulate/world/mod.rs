//! Pods, slots and a queue, from event to event.

mod pods;
mod seen;

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};

use self::pods::{AFTER_DRAIN, Lease, Pod, State};
use super::chance::{millis, real};
use super::figures::{Figures, Sample, Tally};
use super::policy::{Policy, Seen};
use super::trace::{Item, Trace};
use crate::api::{DurationMs, TimeMs};
use crate::machine::scaling::meter::{Mean, Rate};

/// A policy is asked so often.
const TICK: DurationMs = DurationMs::from_secs(1);
/// What is not done a day after the last arrival will never be.
const PATIENCE: DurationMs = DurationMs::from_secs(24 * 3_600);
/// Samples of one run, for the plots.
const SAMPLES: u64 = 240;

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
    /// A pod that drains has had its time for it, unless it was taken back.
    Overdue(usize),
    /// The policy is asked.
    Tick,
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
                self.enter(pod, State::Ready);
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
            Event::Trouble(pod) if self.pods[pod].state == State::Starting => self.enter(pod, State::Trouble),
            Event::Done { pod, lease } => self.finish(pod, lease),
            Event::End(pod) => self.end(pod),
            Event::Drained(pod) if self.pods[pod].state == State::Draining && self.pods[pod].leases.is_empty() => self.gone(pod),
            Event::Overdue(pod) => self.overdue(pod),
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
}
