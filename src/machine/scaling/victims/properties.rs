//! A pool at random: work comes and goes, numbers change, and a ReplicaSet takes what it likes least, by a view that is up to a second old
//! and against us where it may choose.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::memory::Memory;
use super::*;
use crate::api::{DurationMs, TimeMs};

const LIMIT: DurationMs = DurationMs::from_secs(30);

#[derive(Debug, Clone)]
enum Step {
    /// Another number is wanted.
    Want(u32),
    /// Work comes to a pod that takes it on.
    Work { pod: usize, turns: u64, activities: u64 },
    /// A pod ends what it has.
    Finish(usize),
    /// A pod starts.
    Start(usize),
    /// Nodes tell which pods are ready.
    Probe,
    /// The ReplicaSet does what it is told, by what it knew so many milliseconds ago.
    Replicate(u64),
    /// The operator looks, after so many milliseconds.
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0_u32..7).prop_map(Step::Want),
        4 => (0_usize..8, 0_u64..3, 0_u64..3).prop_map(|(pod, turns, activities)| Step::Work { pod, turns, activities }),
        4 => (0_usize..8).prop_map(Step::Finish),
        3 => (0_usize..8).prop_map(Step::Start),
        4 => Just(Step::Probe),
        4 => (0_u64..1_000).prop_map(Step::Replicate),
        8 => (0_u64..1_500).prop_map(Step::Pass),
    ]
}

/// What a ReplicaSet knows of a pod.
type Look = BTreeMap<String, (Stage, i32)>;

#[derive(Debug)]
struct World {
    now: TimeMs,
    pods: Vec<Pod>,
    made: i64,
    wanted: u32,
    replicas: u32,
    memory: Memory,
    /// What the pods looked like, since when.
    looks: Vec<(TimeMs, Look)>,
    /// Since when a pod has been a victim without a break.
    victims: BTreeMap<String, TimeMs>,
    /// Pods that had begun when the number was last lowered.
    begun: BTreeSet<String>,
    unplanned: u32,
}

impl World {
    fn new(pods: u32) -> Self {
        let mut world = Self {
            now: TimeMs(10_000),
            pods: Vec::new(),
            made: 0,
            wanted: pods,
            replicas: pods,
            memory: Memory::default(),
            looks: Vec::new(),
            victims: BTreeMap::new(),
            begun: BTreeSet::new(),
            unplanned: 0,
        };
        (0..pods).for_each(|_| world.make());
        (0..pods as usize).for_each(|pod| world.start(pod));
        world
    }

    fn make(&mut self) {
        self.made += 1;
        let name = format!("p{}", self.made);
        self.pods.push(Pod { name, stage: Stage::Unplaced, made: self.made, cost: None, worker: Worker::Absent });
        self.look();
    }

    fn start(&mut self, pod: usize) {
        let Some(pod) = self.pods.get_mut(pod).filter(|pod| pod.worker == Worker::Absent) else { return };
        pod.stage = Stage::Ready;
        pod.worker = Worker::Known(Session { ids: vec![format!("s-{}", pod.name)], turns: 0, activities: 0, draining: false });
        self.look();
    }

    fn session(&mut self, pod: usize) -> Option<(Stage, &mut Session)> {
        let pod = self.pods.get_mut(pod)?;
        match &mut pod.worker {
            Worker::Known(session) => Some((pod.stage, session)),
            Worker::Absent | Worker::Unknown => None,
        }
    }

    /// Everything that a ReplicaSet could see now.
    fn look(&mut self) {
        let look = self.pods.iter().map(|pod| (pod.name.clone(), (pod.stage, pod.cost.unwrap_or(0)))).collect();
        self.looks.push((self.now, look));
    }

    fn probe(&mut self) {
        for pod in &mut self.pods {
            if let Worker::Known(session) = &pod.worker {
                pod.stage = if session.draining { Stage::NotReady } else { Stage::Ready };
            }
        }
        self.look();
    }

    fn pass(&mut self) {
        let fleet = Fleet { pods: &self.pods, wanted: self.wanted, replicas: self.replicas, rolling: false, limit: LIMIT };
        let (plan, memory) = plan(&fleet, std::mem::take(&mut self.memory), self.now);
        assert!(plan.replicas >= self.wanted, "fewer than are wanted: {plan:?}");
        assert!(plan.replicas <= self.wanted.max(self.replicas), "more than are wanted: {plan:?}");
        if plan.replicas as usize > self.pods.len() && memory.lowered.is_none() {
            assert_eq!(plan.victims, 0, "there are new pods while victims could be taken back: {plan:?}");
        }
        if plan.replicas < self.replicas {
            self.begun = self.pods.iter().filter(|pod| pod.worker != Worker::Absent).map(|pod| pod.name.clone()).collect();
        }
        self.memory = memory;
        self.replicas = plan.replicas;
        self.unplanned += plan.unplanned;
        for pod in &mut self.pods {
            if let Some((_, cost)) = plan.costs.iter().find(|(name, _)| *name == pod.name) {
                pod.cost = *cost;
            }
            let Worker::Known(session) = &mut pod.worker else { continue };
            let (marked, unmarked) = (plan.mark.contains(&session.ids[0]), plan.unmark.contains(&session.ids[0]));
            assert!(!(marked && unmarked));
            session.draining = (session.draining || marked) && !unmarked;
            if session.draining {
                self.victims.entry(pod.name.clone()).or_insert(self.now);
            } else {
                self.victims.remove(&pod.name);
            }
        }
        self.look();
    }

    /// Until the number is right. Among those that look alike, the busiest goes.
    fn replicate(&mut self, lag: u64) {
        let seen = self.looks.iter().rev().find(|(at, _)| at.0 + lag <= self.now.0).map(|(_, look)| look.clone()).unwrap_or_default();
        while self.pods.len() < self.replicas as usize {
            self.make();
        }
        while self.pods.len() > self.replicas as usize {
            let looks_like = |pod: &Pod| seen.get(&pod.name).copied().unwrap_or((pod.stage, pod.cost.unwrap_or(0)));
            let work = |pod: &Pod| pod.work().map_or(0, |(activities, turns)| activities + turns);
            let taken = self.pods.iter().enumerate().min_by_key(|(_, pod)| (looks_like(pod), std::cmp::Reverse(work(pod))));
            let taken = taken.map(|(at, _)| at).expect("there are pods");
            let pod = self.pods.remove(taken);
            let patience = self.victims.get(&pod.name).map_or(0, |since| self.now.since(*since).0);
            let is_free = work(&pod) == 0 || patience >= LIMIT.0 || !self.begun.contains(&pod.name);
            assert!(is_free, "{pod:?} had work and was asked to finish it for {patience} ms");
        }
        self.look();
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Want(pods) => self.wanted = pods,
            Step::Work { pod, turns, activities } => {
                // Whoever is ready may be granted something, also in the moment between its mark and its being told.
                if let Some((Stage::Ready, session)) = self.session(pod) {
                    session.turns += turns;
                    session.activities += activities;
                }
            }
            Step::Finish(pod) => {
                if let Some((_, session)) = self.session(pod) {
                    (session.turns, session.activities) = (0, 0);
                }
            }
            // One that starts when the number has fallen is taken after others that are not ready: nobody can help that.
            Step::Start(pod) if self.memory.lowered.is_none() => self.start(pod),
            Step::Start(_) => {}
            Step::Probe => self.probe(),
            Step::Replicate(lag) => self.replicate(lag),
            Step::Pass(after) => {
                self.now = TimeMs(self.now.0 + after);
                self.pass();
            }
        }
    }

    fn settle(&mut self) {
        for _ in 0..8 {
            for pod in 0..self.pods.len() {
                self.start(pod);
                self.step(&Step::Finish(pod));
            }
            for step in [Step::Pass(1_000), Step::Probe, Step::Pass(100), Step::Pass(1_000), Step::Replicate(0)] {
                self.step(&step);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// The assertions are in the world's passes and in what the ReplicaSet takes.
    #[test]
    fn nobody_goes_with_work_within_the_limit(pods in 0_u32..7, steps in proptest::collection::vec(step(), 1..120)) {
        let mut world = World::new(pods);
        for step in &steps {
            world.step(step);
        }
    }

    #[test]
    fn when_work_ends_there_are_as_many_as_wanted_and_nothing_is_left_of_the_drain(pods in 0_u32..7, steps in proptest::collection::vec(step(), 1..60)) {
        let mut world = World::new(pods);
        for step in &steps {
            world.step(step);
        }
        world.settle();
        world.settle();
        prop_assert_eq!(world.pods.len(), world.wanted as usize);
        prop_assert!(world.memory.is_empty());
        for pod in &world.pods {
            prop_assert_eq!((pod.cost, pod.session().map(|session| session.draining)), (None, Some(false)));
        }
    }

    /// Where pods do not start while others go, only those go that were chosen.
    #[test]
    fn only_those_go_that_were_chosen(pods in 0_u32..7, steps in proptest::collection::vec(step(), 1..120)) {
        let mut world = World::new(pods);
        for step in &steps {
            world.step(step);
            for pod in 0..world.pods.len() {
                world.start(pod);
            }
        }
        world.settle();
        prop_assert_eq!(world.unplanned, 0);
    }

    #[test]
    fn choosing_does_not_wander(pods in 2_u32..7, fewer in 1_u32..6, work in proptest::collection::vec((0_usize..8, 0_u64..5), 1..30)) {
        let mut world = World::new(pods);
        world.wanted = pods.saturating_sub(fewer);
        world.pass();
        let chosen: BTreeSet<String> = world.victims.keys().cloned().collect();
        for (pod, activities) in work {
            world.step(&Step::Finish(pod));
            world.step(&Step::Work { pod, turns: 1, activities });
            world.step(&Step::Pass(50));
            prop_assert_eq!(&world.victims.keys().cloned().collect::<BTreeSet<_>>(), &chosen);
        }
    }

    /// Fewer wanted, more victims, and the same ones among them.
    #[test]
    fn fewer_wanted_is_more_victims(work in proptest::collection::vec((0_u64..4, 0_u64..4), 1..8), one in 0_u32..8, other in 0_u32..8) {
        let mut world = World::new(u32::try_from(work.len()).expect("few"));
        for (pod, (turns, activities)) in work.into_iter().enumerate() {
            world.step(&Step::Work { pod, turns, activities });
        }
        let marked = |wanted: u32| {
            let fleet = Fleet { pods: &world.pods, wanted, replicas: world.replicas, rolling: false, limit: LIMIT };
            plan(&fleet, Memory::default(), world.now).0.mark.into_iter().collect::<BTreeSet<_>>()
        };
        prop_assert!(marked(one.min(other)).is_superset(&marked(one.max(other))));
    }
}
