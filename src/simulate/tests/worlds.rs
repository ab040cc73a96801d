//! The world, in cases that can be counted by hand.

use super::super::policy::{Everloop, Keda, Policy, Seen, policy};
use super::super::{Figures, POLICIES, Trace, run};
use super::trace;
use crate::api::DurationMs;

/// As many as it is told, from second to second; the last one stays.
struct Script {
    wanted: Vec<u32>,
    drains: bool,
}

impl Policy for Script {
    fn name(&self) -> &'static str {
        "script"
    }

    fn wanted(&mut self, seen: &Seen<'_>) -> u32 {
        let second = usize::try_from(seen.now.0 / 1_000).expect("short");
        *self.wanted.get(second).or(self.wanted.last()).expect("a number")
    }

    fn drains(&self) -> bool {
        self.drains
    }
}

fn play(trace: &Trace, policy: &mut dyn Policy) -> Figures {
    run(trace, &trace.items(1), policy, 1)
}

#[test]
fn waits_and_pod_seconds_are_what_a_hand_counts() {
    // Three of 10 s at the second second, on a pod with two slots that starts in 4 s: two begin at 4 s, the third at 14 s.
    let three = trace("length 30s\nslots 2\nstart 4s\nburst at=2s count=3 slot=10s");
    let figures = play(&three, &mut Script { wanted: vec![1], drains: false });
    assert_eq!((figures.done, figures.wait_p50, figures.wait_p99), (3, DurationMs(2_000), DurationMs(12_000)));
    assert_eq!((figures.pod_seconds, figures.pods_max), (30, 1));
}

#[test]
fn a_pod_that_is_told_to_end_has_its_grace_and_what_is_left_begins_anew() {
    let one = |grace| trace(&format!("length 60s\nslots 1\nstart 1s\ngrace {grace}\nat 1s slot=10s"));
    let mut wanted = vec![1; 5];
    wanted.extend([0, 0, 1]);
    let script = || Script { wanted: wanted.clone(), drains: false };
    let figures = play(&one("20s"), &mut script());
    assert_eq!((figures.busy_killed, figures.interrupted, figures.wait_max), (1, 0, DurationMs(0)));
    // Told at 5 s, ended at 8 s; the next pod, wished for at 7 s, is there at 8 s too.
    let figures = play(&one("3s"), &mut script());
    assert_eq!((figures.busy_killed, figures.interrupted, figures.wait_max), (1, 1, DurationMs(7_000)));
    let figures = play(&one("3s"), &mut Script { drains: true, ..script() });
    assert_eq!((figures.busy_killed, figures.interrupted, figures.flaps), (0, 0, 1));
    assert_eq!(figures.pod_seconds, 60, "the draining pod was taken back, no other was made");
}

#[test]
fn pods_without_room_wait_and_cost_nothing() {
    let full = trace("length 10s\nroom 2\nstart 1s\nat 9s slot=1ms");
    assert_eq!(play(&full, &mut Script { wanted: vec![5], drains: false }).pod_seconds, 20);
}

#[test]
fn from_zero_the_first_wait_is_the_start_of_a_pod() {
    let one = trace("length 10m\nstart 3s\nat 5m slot=1s");
    assert_eq!(play(&one, &mut Everloop::of(&one)).wait_max, DurationMs(3_000));
    // KEDA's is the rest of a polling interval more.
    let wait = play(&one, &mut Keda::by_defaults(&one, 1)).wait_max;
    assert!(wait > DurationMs(3_000) && wait <= DurationMs(33_000), "{wait}");
}

#[test]
fn pods_are_ready_before_timers_fall_due() {
    let timers = trace("length 3h\nslots 10\nstart 7s..9s\ntimers at=1h every=1h count=10 slot=1s");
    let figures = play(&timers, &mut Everloop::of(&timers));
    assert_eq!((figures.done, figures.wait_max), (20, DurationMs(0)));
    assert!(figures.pod_seconds < 2 * 340, "{} pod seconds: they came too early, or stayed too long", figures.pod_seconds);
}

#[test]
fn the_same_trace_and_seed_give_the_same_figures_for_every_policy() {
    let mixed = trace("length 20m\nslow 0.3 2\nfail 0.2 40s\nflow rate=5 slot=pareto:300ms:1.4\nburst at=3m count=300 slot=1s");
    let items = mixed.items(3);
    for name in POLICIES {
        let play = || run(&mixed, &items, policy(name, &mixed, &items, 3).expect("known").as_mut(), 3);
        let figures = play();
        assert_eq!(figures, play(), "{name}");
        assert_eq!(figures.done, items.len() as u64, "{name} leaves nothing undone");
    }
}
