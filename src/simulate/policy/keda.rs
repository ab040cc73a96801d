//! KEDA: from zero to one and back by itself, between one and the maximum by an HPA.
//!
//! Sources: "ScaledObject specification" (<https://keda.sh/docs/2.22/reference/scaledobject-spec/>), "Scaling Deployments"
//! (<https://keda.sh/docs/2.22/concepts/scaling-deployments/>),
//! kedacore/keda `pkg/scaling/executor/scale_scaledobjects.go`, `pkg/scalers/redis_scaler.go`.
//!
//! - It looks at the trigger every `pollingInterval`, 30 s. A trigger is active when its value is above the activation threshold, 0.
//! - Active and at 0 replicas: 1 (or the minimum). Inactive since `cooldownPeriod`, 300 s after the last look at which it was active: 0, however many there are.
//! - Between, the HPA reads the value at each of its own syncs, with `AverageValue`, from KEDA's metrics server.
//! - The value of a list trigger is the length of the queue: what is leased is not in it.
//!
//! Three of them: with the defaults, and a target that its owner has chosen well (each waiting piece gets a slot); tuned, with a poll every 5 s
//! and a metric that counts what is leased too, three quarters of the slots for each pod, as the better triggers can; and quick, which is tuned
//! with both windows cut from five minutes to one.

use super::hpa::{Hpa, SYNC};
use super::{Policy, Seen};
use crate::api::{DurationMs, TimeMs};
use crate::simulate::chance::Chance;
use crate::simulate::trace::Trace;

/// See the module.
pub struct Keda {
    name: &'static str,
    min: u32,
    poll: DurationMs,
    cooldown: DurationMs,
    /// It counts what is leased too.
    counts_busy: bool,
    hpa: Hpa,
    next_poll: TimeMs,
    next_sync: TimeMs,
    last_active: Option<TimeMs>,
}

/// `pollingInterval`.
const POLL: DurationMs = DurationMs::from_secs(30);
/// `cooldownPeriod`.
const COOLDOWN: DurationMs = DurationMs::from_secs(300);
/// Both windows of the quick one.
const QUICK: DurationMs = DurationMs::from_secs(60);

impl Keda {
    /// Out of the box.
    #[must_use]
    pub fn by_defaults(trace: &Trace, seed: u64) -> Self {
        Self::new("keda", trace, seed, POLL, false, u64::from(trace.slots))
    }

    /// By somebody who has read all of its documentation.
    #[must_use]
    pub fn tuned(trace: &Trace, seed: u64) -> Self {
        Self::new("keda-tuned", trace, seed, DurationMs::from_secs(5), true, (u64::from(trace.slots) * 3 / 4).max(1))
    }

    /// By somebody who has seen the bill.
    #[must_use]
    pub fn quick(trace: &Trace, seed: u64) -> Self {
        let tuned = Self::tuned(trace, seed);
        Self { name: "keda-quick", cooldown: QUICK, hpa: tuned.hpa.stabilized_for(QUICK), ..tuned }
    }

    fn new(name: &'static str, trace: &Trace, seed: u64, poll: DurationMs, counts_busy: bool, target: u64) -> Self {
        // Nobody's clock begins with the trace.
        let mut chance = Chance::of(seed);
        let mut phase = |period| TimeMs(chance.between(DurationMs(0), period).0 / 1_000 * 1_000);
        // The HPA that KEDA makes has a minimum of at least 1.
        let hpa = Hpa::new(trace.min.max(1), trace.max, target);
        let (next_poll, next_sync) = (phase(poll), phase(SYNC));
        Self { name, min: trace.min, poll, cooldown: COOLDOWN, counts_busy, hpa, next_poll, next_sync, last_active: None }
    }

    /// One look at the trigger.
    fn poll(&mut self, value: u64, replicas: u32, now: TimeMs) -> u32 {
        if value > 0 {
            self.last_active = Some(now);
            return if replicas == 0 { self.min.max(1) } else { replicas };
        }
        let cold = self.last_active.is_none_or(|last| now > last.plus(self.cooldown));
        if replicas > 0 && self.min == 0 && cold { 0 } else { replicas.max(self.min) }
    }
}

impl Policy for Keda {
    fn name(&self) -> &'static str {
        self.name
    }

    fn wanted(&mut self, seen: &Seen<'_>) -> u32 {
        let load = &seen.signals.activities;
        let value = load.backlog + if self.counts_busy { load.busy } else { 0 };
        let mut replicas = seen.replicas;
        if seen.now >= self.next_poll {
            self.next_poll = self.next_poll.plus(self.poll);
            replicas = self.poll(value, replicas, seen.now);
        }
        if seen.now >= self.next_sync {
            self.next_sync = self.next_sync.plus(SYNC);
            replicas = self.hpa.sync(value, replicas, seen.now);
        }
        replicas
    }

    fn initial(&self) -> u32 {
        self.min
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keda(min: u32) -> Keda {
        let text = format!("length 1h\nmin {min}\nmax 9\nat 1s slot=1s");
        Keda::by_defaults(&Trace::read("t", &text).expect("a trace"), 1)
    }

    fn at(secs: u64) -> TimeMs {
        TimeMs(secs * 1_000)
    }

    #[test]
    fn a_poll_wakes_to_one_and_cools_down_to_zero() {
        let mut keda = keda(0);
        // (second, value, replicas, after)
        for (second, value, replicas, after) in [
            (0, 0, 0, 0),
            (30, 500, 0, 1),
            (60, 1, 7, 7),
            (90, 0, 7, 7),
            (360, 0, 7, 7),
            // "The period to wait after the last trigger reported active before scaling the resource back to 0."
            (390, 0, 7, 0),
        ] {
            assert_eq!(keda.poll(value, replicas, at(second)), after, "after {second} s");
        }
    }

    #[test]
    fn scaled_by_others_and_never_active_it_goes_to_zero_at_once() {
        assert_eq!(keda(0).poll(0, 3, at(0)), 0);
    }

    #[test]
    fn with_a_minimum_it_neither_wakes_nor_ends() {
        let mut keda = keda(2);
        assert_eq!([keda.poll(0, 5, at(0)), keda.poll(9, 0, at(30)), keda.poll(0, 1, at(900))], [5, 2, 2]);
    }
}
