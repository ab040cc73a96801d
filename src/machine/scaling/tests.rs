//! The decision, as a table: what is seen, what is wanted, and why.

use super::*;
use crate::api::{DurationMs, TimeMs};

const NOW: TimeMs = TimeMs(1_000_000_000);

fn secs(secs: u64) -> DurationMs {
    DurationMs::from_secs(secs)
}

/// Ten slots of each kind, at most five pods.
fn settings() -> Settings {
    Settings { max: Some(5), target: Some(secs(5)), slots: Slots { turns: 10, activities: 10 }, ..Settings::default() }
}

fn limits() -> Limits {
    settings().try_into().expect("fit")
}

fn fleet(ready: u32) -> Fleet {
    Fleet { ready, start: Some(secs(4)), ..Fleet::default() }
}

fn activities(backlog: u64, oldest: DurationMs, busy: u64, arrivals_per_s: f64, slot_mean: DurationMs) -> Signals {
    let load = Load { backlog, oldest, busy, arrivals_per_s: Some(arrivals_per_s), slot_mean: Some(slot_mean), slot_p95: None };
    Signals { activities: load, ..Signals::default() }
}

fn heard(signals: Signals) -> Heard {
    Heard { signals, at: NOW }
}

/// The number and the reason, from `wanted` before.
fn from(wanted: u32, limits: &Limits, fleet: &Fleet, signals: Signals) -> (u32, String) {
    let (decision, _) = decide(limits, fleet, Some(&heard(signals)), Memory::of(wanted, NOW), NOW);
    (decision.wanted, decision.reason)
}

#[test]
fn the_formula_and_its_words() {
    let now = DurationMs(0);
    let timers = |secs_away, count| Signals { timers: vec![Due { within: secs(secs_away), count }], ..activities(0, now, 0, 0.0, secs(1)) };
    for (before, signals, wanted, reason) in [
        (0, activities(0, now, 0, 0.0, secs(1)), 0, "nothing to do"),
        // 240 of 1 s in 5 s are 48 slots, a pod has 7.5 to be three quarters full.
        (2, activities(240, now, 20, 0.0, secs(1)), 5, "backlog 240 needs 7; 2 busy; capped by max 5"),
        (0, activities(100, now, 0, 0.0, secs(1)), 3, "backlog 100 needs 3"),
        (0, activities(1, now, 0, 0.0, DurationMs(1)), 1, "backlog 1 needs 1"),
        // One that takes a minute needs one slot, not twelve.
        (0, activities(1, now, 0, 0.0, secs(60)), 1, "backlog 1 needs 1"),
        // Little: 20/s of 1 s are 20 slots.
        (0, activities(0, now, 20, 20.0, secs(1)), 3, "the load needs 3; 2 busy"),
        // What is leased fills four pods, whatever the means say.
        (4, activities(0, now, 40, 0.1, DurationMs(1)), 4, "the load needs 4; 4 busy"),
        (0, timers(3, 100), 3, "100 timers within 6s need 3"),
        (0, timers(7, 100), 0, "nothing to do"),
        (2, activities(0, now, 0, 0.0, secs(1)), 2, "nothing to do; 2 needed within 1m"),
    ] {
        assert_eq!(from(before, &limits(), &fleet(before), signals.clone()), (wanted, reason.to_owned()), "{signals:?}");
    }
}

#[test]
fn without_a_slot_time_everything_that_waits_gets_a_slot() {
    let mut signals = activities(31, DurationMs(0), 5, 0.0, secs(1));
    signals.activities.slot_mean = None;
    assert_eq!(from(0, &limits(), &fleet(1), signals.clone()).0, 4);
    // Without arrivals, what is busy stands for them.
    signals.activities = Load { arrivals_per_s: None, slot_mean: Some(secs(1)), backlog: 0, busy: 20, ..signals.activities };
    assert_eq!(from(0, &limits(), &fleet(2), signals).0, 3);
}

#[test]
fn the_kind_of_slots_that_needs_more_decides() {
    let turns = Load { backlog: 100, slot_mean: Some(secs(1)), arrivals_per_s: Some(0.0), ..Load::default() };
    let signals = Signals { turns, ..activities(1, DurationMs(0), 0, 0.0, secs(1)) };
    assert_eq!(from(0, &limits(), &fleet(0), signals), (3, "backlog 101 needs 3".to_owned()));
}

#[test]
fn a_signal_that_is_unknown_or_old_holds_the_number() {
    let (decision, memory) = decide(&limits(), &fleet(3), None, Memory::of(3, NOW), NOW);
    assert_eq!((decision.wanted, decision.reason.as_str()), (3, "no signal yet; held"));
    assert_eq!(decision.conditions, [Condition::SignalUnknown]);
    // Hours without a word, and the first word is that nothing is to do: it takes a whole window of such words.
    let nothing = heard(activities(0, DurationMs(0), 0, 0.0, secs(1)));
    let later = NOW.plus(secs(7_200));
    let (decision, memory) = decide(&limits(), &fleet(3), Some(&nothing), memory, later);
    assert_eq!((decision.wanted, decision.conditions), (3, vec![Condition::SignalOld(secs(7_200))]));
    let fresh = Heard { at: later.plus(secs(1)), ..nothing };
    assert_eq!(decide(&limits(), &fleet(3), Some(&fresh), memory, fresh.at).0.wanted, 3);
}

#[test]
fn a_metric_that_never_comes_keeps_to_the_limits() {
    let min = Settings { min: Some(2), ..settings() }.try_into().expect("fit");
    let (decision, _) = decide(&min, &fleet(0), None, Memory::of(0, NOW), NOW);
    assert_eq!((decision.wanted, decision.reason.as_str()), (2, "no signal yet; held; min 2"));
}

#[test]
fn it_falls_after_the_window_and_goes_to_zero_after_a_longer_one() {
    let (limits, mut memory) = (limits(), Memory::of(4, NOW));
    let mut seen = Vec::new();
    for second in 0..400 {
        let now = NOW.plus(secs(second));
        let nothing = Heard { signals: activities(0, DurationMs(0), 0, 0.0, secs(1)), at: now };
        let (decision, next) = decide(&limits, &fleet(4), Some(&nothing), memory, now);
        if decision.wanted != decision.from {
            seen.push((second, decision.wanted, decision.reason));
        }
        memory = next;
    }
    assert_eq!(seen, [(60, 1, "nothing to do; the last goes after 1m20s".to_owned()), (80, 0, "nothing to do".to_owned())]);
}

#[test]
fn age_beyond_the_target_raises_only_when_every_slot_is_busy_and_the_last_rise_had_its_time() {
    let limits = Settings { max: Some(50), ..settings() }.try_into().expect("fit");
    // The mean is wrong by far: the formula sees a backlog that one pod works off at once.
    let late = |busy| heard(activities(400, secs(30), busy, 0.0, DurationMs(10)));
    let at = |memory: Memory, now: TimeMs, busy| {
        let heard = Heard { at: now, ..late(busy) };
        decide(&limits, &fleet(4), Some(&heard), memory, now).0
    };
    let soon = NOW.plus(secs(8));
    assert_eq!(at(Memory::of(4, NOW), soon, 40).wanted, 4);
    let then = NOW.plus(secs(9));
    let raised = at(Memory::of(4, NOW), then, 40);
    assert_eq!((raised.wanted, raised.reason.as_str()), (8, "backlog 400 needs 4; 4 busy; waits 30s, more than 5s, and needs 8"));
    let free = at(Memory::of(4, NOW), then, 39);
    assert_eq!(free.wanted, 4);
    assert_eq!(free.conditions, [Condition::NotForLackOfPods { oldest: secs(30), free: 1 }]);
    assert_eq!(free.conditions[0].to_string(), "the oldest work has waited 30s while 1 slots are free: more pods would not take it on");
}

#[test]
fn pods_that_cannot_start_are_not_piled_up() {
    let much = || activities(1_000, secs(1), 0, 0.0, secs(1));
    let stuck = |count, cause| vec![Stuck { count, cause, detail: "exceeded quota".to_owned() }];
    let limits = Settings { max: Some(20), ..settings() }.try_into().expect("fit");
    for (fleet, wanted) in [
        // All of them: one stays to try.
        (Fleet { stuck: stuck(20, Cause::Image), ..fleet(0) }, 1),
        // Some that can: as many again may try.
        (Fleet { stuck: stuck(10, Cause::Refused), ..fleet(4) }, 9),
        (Fleet { stuck: stuck(1, Cause::Crash), ..fleet(12) }, 20),
        (Fleet { starting: 20, ..fleet(0) }, 20),
    ] {
        assert_eq!(from(5, &limits, &fleet, much()).0, wanted, "{fleet:?}");
    }
    let seen = Fleet { stuck: stuck(10, Cause::Refused), ..fleet(4) };
    let (decision, _) = decide(&limits, &seen, Some(&heard(much())), Memory::of(14, NOW), NOW);
    assert_eq!(decision.reason, "backlog 1000 needs 27; 10 cannot start: no more than 9");
    assert_eq!(decision.conditions[0].to_string(), "10 pods cannot start, for the namespace may have no more: exceeded quota");
}

#[test]
fn a_target_that_no_number_of_pods_reaches_is_said() {
    let short = Settings { target: Some(secs(1)), ..settings() }.try_into().expect("fit");
    let (decision, _) = decide(&short, &fleet(0), Some(&heard(activities(1, secs(3), 0, 0.0, secs(1)))), Memory::of(0, NOW), NOW);
    assert_eq!(decision.conditions, [Condition::TargetBelowStart { target: secs(1), start: secs(4) }]);
    // With a pod that is always there it is the pool's own affair.
    let warm = Settings { min: Some(1), target: Some(secs(1)), ..settings() }.try_into().expect("fit");
    assert!(decide(&warm, &fleet(1), Some(&heard(Signals::default())), Memory::of(1, NOW), NOW).0.conditions.is_empty());
    // Of a maximum that is too small it is said how many would do.
    let (decision, _) = decide(&limits(), &fleet(5), Some(&heard(activities(1_000, secs(9), 50, 0.0, secs(1)))), Memory::of(5, NOW), NOW);
    assert_eq!(decision.conditions, [Condition::AtMax { need: 27, oldest: secs(9) }]);
}

#[test]
fn steps_are_as_large_as_the_pool_allows() {
    let limits = Settings { max: Some(40), rise_max: Some(4), fall_max: Some(3), ..settings() }.try_into().expect("fit");
    let mut memory = Memory::of(1, NOW);
    let mut seen = Vec::new();
    for second in 0..46 {
        let now = NOW.plus(secs(second));
        let much = Heard { signals: activities(1_000, DurationMs(0), 10, 0.0, secs(1)), at: now };
        let (decision, next) = decide(&limits, &fleet(1), Some(&much), memory, now);
        if decision.wanted != decision.from {
            seen.push((second, decision.wanted));
        }
        memory = next;
    }
    assert_eq!(seen, [(0, 5), (15, 9), (30, 13), (45, 17)]);
}

#[test]
fn a_clock_that_is_set_changes_nothing_for_good() {
    let signals = activities(0, DurationMs(0), 0, 0.0, secs(1));
    let back = TimeMs(NOW.0 - 3_600_000);
    let mut memory = Memory::of(3, NOW);
    let mut wanted = 3;
    for second in 0..=300 {
        let now = back.plus(secs(second));
        let (decision, next) = decide(&limits(), &fleet(3), Some(&Heard { signals: signals.clone(), at: now }), memory, now);
        (wanted, memory) = (decision.wanted, next);
    }
    assert_eq!(wanted, 0, "an hour back is no hour of waiting");
}
