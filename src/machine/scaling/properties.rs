//! What holds of every decision, whatever is seen.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::api::{DurationMs, TimeMs};

const T0: TimeMs = TimeMs(1_000_000_000);

fn load() -> impl Strategy<Value = Load> {
    let duration = |max: u64| (0..max).prop_map(DurationMs);
    (0..5_000_u64, duration(120_000), 0..400_u64, prop::option::of(0.0..200.0_f64), prop::option::of(duration(60_000))).prop_map(
        |(backlog, oldest, busy, arrivals_per_s, slot_mean)| Load { backlog, oldest, busy, arrivals_per_s, slot_mean, slot_p95: None },
    )
}

fn signals() -> impl Strategy<Value = Signals> {
    let due = (0..120_000_u64, 0..1_000_u64).prop_map(|(ms, count)| Due { within: DurationMs(ms), count });
    (load(), load(), vec(due, 0..3)).prop_map(|(turns, activities, timers)| Signals { turns, activities, timers })
}

fn settings() -> impl Strategy<Value = Settings> {
    (0..5_u32, 5..60_u32, prop::option::of(500..60_000_u64), 10..300_u64).prop_map(|(min, max, target, window)| Settings {
        min: Some(min),
        max: Some(max),
        target: target.map(DurationMs),
        fall_window: Some(DurationMs::from_secs(window)),
        slots: Slots { turns: 10, activities: 10 },
        ..Settings::default()
    })
}

fn fleet() -> impl Strategy<Value = Fleet> {
    (0..40_u32, 0..10_u32, 0..10_u32, 500..60_000_u64).prop_map(|(ready, starting, draining, start)| Fleet {
        ready,
        starting,
        draining,
        stuck: Vec::new(),
        start: Some(DurationMs(start)),
    })
}

fn limits_of(settings: Settings) -> Limits {
    settings.try_into().expect("fit")
}

/// The number, after a second since anything that is remembered.
fn wanted(limits: &Limits, fleet: &Fleet, signals: &Signals, before: u32) -> u32 {
    let heard = Heard { signals: signals.clone(), at: T0 };
    decide(limits, fleet, Some(&heard), Memory::of(before, T0), T0).0.wanted
}

/// A load of activities, as a service would tell it.
fn steady(busy: u64, slot_mean: DurationMs) -> Signals {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let arrivals_per_s = Some(busy as f64 / (slot_mean.0 as f64 / 1_000.0));
    Signals { activities: Load { busy, arrivals_per_s, slot_mean: Some(slot_mean), ..Load::default() }, ..Signals::default() }
}

proptest! {
    #[test]
    fn more_backlog_never_wants_fewer(
        settings in settings(), fleet in fleet(), signals in signals(), before in 0..60_u32, more in 1..1_000_u64,
    ) {
        let limits = limits_of(settings);
        let mut larger = signals.clone();
        larger.turns.backlog += more;
        larger.activities.backlog += more;
        prop_assert!(wanted(&limits, &fleet, &larger, before) >= wanted(&limits, &fleet, &signals, before));
    }

    #[test]
    fn never_fewer_than_what_is_leased_fills_and_never_beyond_the_limits(
        settings in settings(), fleet in fleet(), all in vec(signals(), 1..40), before in 0..60_u32,
    ) {
        let limits = limits_of(settings);
        let mut memory = Memory::of(before, T0);
        for (n, signals) in all.into_iter().enumerate() {
            let now = TimeMs(T0.0 + n as u64 * 20_000);
            let busy = signals.turns.busy.max(signals.activities.busy).div_ceil(10);
            let (decision, next) = decide(&limits, &fleet, Some(&Heard { signals, at: now }), memory, now);
            memory = next;
            prop_assert!(decision.wanted >= limits.min && decision.wanted <= limits.max);
            prop_assert!(u64::from(decision.wanted) >= busy.min(u64::from(limits.max)), "{} of {}", decision.wanted, decision.reason);
        }
    }

    /// The bound against flapping, for any signals whatever: from a rise to the next fall is at least the fall window.
    #[test]
    fn after_a_rise_it_does_not_fall_for_a_window(settings in settings(), fleet in fleet(), all in vec((signals(), 1..20_u64), 1..200)) {
        let limits = limits_of(settings);
        let window = limits.fall_window(DurationMs(0));
        let (mut memory, mut now, mut rose) = (Memory::of(limits.min, T0), T0, None);
        for (signals, wait) in all {
            now = now.plus(DurationMs::from_secs(wait));
            let (decision, next) = decide(&limits, &fleet, Some(&Heard { signals, at: now }), memory, now);
            memory = next;
            if decision.wanted > decision.from {
                rose = Some(now);
            } else if decision.wanted < decision.from && let Some(rose) = rose {
                prop_assert!(now.since(rose) >= window, "fell {} after a rise: {}", now.since(rose), decision.reason);
            }
        }
    }

    /// A load that flutters by seven percent up and down finds its number and stays there.
    #[test]
    fn noise_within_the_dead_band_turns_nothing(base in 20..300_u64, noise in vec(-70..=70_i64, 900)) {
        let limits = limits_of(Settings { max: Some(100), slots: Slots { turns: 10, activities: 10 }, ..Settings::default() });
        let (mut memory, mut falls_after_rises, mut rose) = (Memory::of(0, T0), 0, false);
        for (second, part) in noise.into_iter().enumerate() {
            let now = T0.plus(DurationMs::from_secs(second as u64));
            let busy = base * 1_000_u64.saturating_add_signed(part) / 1_000;
            let signals = steady(busy, DurationMs(1_000));
            let fleet = Fleet { ready: memory.wanted(), start: Some(DurationMs(4_000)), ..Fleet::default() };
            let (decision, next) = decide(&limits, &fleet, Some(&Heard { signals, at: now }), memory, now);
            memory = next;
            rose |= decision.wanted > decision.from;
            falls_after_rises += u32::from(rose && decision.wanted < decision.from);
        }
        prop_assert_eq!(falls_after_rises, 0);
    }

    /// However wrong the measured slot time is: while work waits beyond its target and all slots are busy, the number doubles with every start
    /// and target, up to the maximum.
    #[test]
    fn reaction_time_is_bounded(slot_mean in 1..10_000_u64, start_s in 1..60_u64, target_s in 1..60_u64) {
        let (start, target) = (DurationMs::from_secs(start_s), DurationMs::from_secs(target_s));
        let slots = Slots { turns: 10, activities: 10 };
        let limits = limits_of(Settings { min: Some(1), max: Some(64), target: Some(target), slots, ..Settings::default() });
        let mut memory = Memory::of(1, T0);
        // Six doublings, each at the first second after its time.
        let bound_s = 6 * (start_s + target_s + 1);
        for second in 0..=bound_s {
            let now = T0.plus(DurationMs::from_secs(second));
            let ready = memory.wanted();
            let (oldest, busy) = (DurationMs(target.0 * 3), u64::from(ready) * 10);
            let slot_mean = Some(DurationMs(slot_mean));
            let load = Load { backlog: 1, oldest, busy, arrivals_per_s: Some(0.0), slot_mean, slot_p95: None };
            let fleet = Fleet { ready, start: Some(start), ..Fleet::default() };
            let signals = Signals { activities: load, ..Signals::default() };
            memory = decide(&limits, &fleet, Some(&Heard { signals, at: now }), memory, now).1;
        }
        prop_assert_eq!(memory.wanted(), 64);
    }

    #[test]
    fn what_is_unknown_or_old_holds(
        settings in settings(), fleet in fleet(), signals in signals(), before in 5..6_u32, age in 15_001..10_000_000_u64,
    ) {
        let limits = limits_of(settings);
        let heard = Heard { signals, at: T0 };
        for heard in [None, Some(&heard)] {
            let (decision, _) = decide(&limits, &fleet, heard, Memory::of(before, T0), T0.plus(DurationMs(age)));
            prop_assert_eq!(decision.wanted, before);
            prop_assert_eq!(decision.conditions.len(), 1);
        }
    }

    /// Any history: zero is reached only at the end of a zero window in which nothing was ready, leased, or due within a pod's start.
    #[test]
    fn zero_only_when_nothing_is_due(all in vec((prop::option::weighted(0.3, signals()), 1..30_u64), 1..200), start in 500..60_000_u64) {
        let limits = limits_of(Settings { zero_window: Some(DurationMs::from_secs(60)), ..Settings::default() });
        let fleet = Fleet { ready: 1, start: Some(DurationMs(start)), ..Fleet::default() };
        let (mut memory, mut now, mut worked) = (Memory::of(1, T0), T0, T0);
        for (signals, wait) in all {
            now = now.plus(DurationMs::from_secs(wait));
            let signals = signals.unwrap_or_default();
            if !signals.idle(DurationMs(0), DurationMs(start)) {
                worked = now;
            }
            let (decision, next) = decide(&limits, &fleet, Some(&Heard { signals, at: now }), memory, now);
            memory = next;
            if decision.wanted == 0 && decision.from > 0 {
                prop_assert!(now.since(worked) >= DurationMs::from_secs(60), "{}", decision.reason);
            }
        }
    }

    #[test]
    fn pods_that_cannot_start_never_outnumber_the_others_by_more_than_one(
        settings in settings(), mut fleet in fleet(), signals in signals(), before in 0..60_u32, stuck in 1..60_u32,
    ) {
        let limits = limits_of(settings);
        fleet.stuck = vec![Stuck { count: stuck, cause: Cause::Image, detail: String::new() }];
        let able = fleet.ready + fleet.starting + fleet.draining;
        let wanted = wanted(&limits, &fleet, &signals, before);
        prop_assert!(wanted <= (able * 2 + 1).max(limits.min), "{wanted} with {able} that can");
    }

    /// Neither clock nor count, however absurd, breaks it.
    #[test]
    fn nothing_overflows(now: u64, at: u64, backlog: u64, oldest: u64, busy: u64, mean: u64, within: u64, rate: f64) {
        let (oldest, slot_mean) = (DurationMs(oldest), Some(DurationMs(mean)));
        let load = Load { backlog, oldest, busy, arrivals_per_s: Some(rate), slot_mean, slot_p95: None };
        let timers = vec![Due { within: DurationMs(within), count: backlog }];
        let heard = Heard { signals: Signals { turns: load, activities: load, timers }, at: TimeMs(at) };
        let fleet = Fleet { ready: u32::MAX, starting: u32::MAX, draining: u32::MAX, stuck: Vec::new(), start: Some(DurationMs(within)) };
        let limits = limits_of(Settings::default());
        let (decision, _) = decide(&limits, &fleet, Some(&heard), Memory::of(u32::MAX, TimeMs(at)), TimeMs(now));
        prop_assert!(decision.wanted <= Limits::MAX);
    }
}
