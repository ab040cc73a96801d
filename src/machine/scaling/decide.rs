//! The decision: what the work needs, then what it needed before, then what may be.

use super::decision::{Condition, Decision};
use super::fleet::Fleet;
use super::heard::Heard;
use super::limits::Limits;
use super::memory::Memory;
use super::need::Need;
use crate::api::signals::{Load, Signals};
use crate::api::{DurationMs, TimeMs};

/// How far beyond a pod's start timers are looked for: a pass of the caller, a signal on its way, and a breath.
const LEAD: DurationMs = DurationMs::from_secs(2);

/// How many pods the pool wants, and what is to be remembered until the next decision. `heard` is the last signal, absent when there was none.
#[must_use]
pub fn decide(limits: &Limits, fleet: &Fleet, heard: Option<&Heard>, mut memory: Memory, now: TimeMs) -> (Decision, Memory) {
    memory.clamp(now);
    let from = memory.wanted;
    let start = fleet.start.unwrap_or(Limits::START);
    let mut case = Case { limits, fleet, start, target: limits.target(start), now, memory, reason: Vec::new(), conditions: Vec::new() };
    let wanted = match heard.map(|heard| (&heard.signals, now.since(heard.at))) {
        None => case.hold("no signal yet".to_owned(), Condition::SignalUnknown),
        Some((_, age)) if age > Limits::SIGNAL_AGE_MAX => case.hold(format!("the signal is {age} old"), Condition::SignalOld(age)),
        Some((signals, age)) => case.follow(signals, age),
    };
    let wanted = case.bound(wanted);
    let Case { mut memory, reason, conditions, .. } = case;
    if wanted > from {
        memory.rose = now;
    }
    memory.wanted = wanted;
    (Decision { from, wanted, reason: reason.join("; "), conditions }, memory)
}

/// One decision on its way.
struct Case<'a> {
    limits: &'a Limits,
    fleet: &'a Fleet,
    start: DurationMs,
    target: DurationMs,
    now: TimeMs,
    memory: Memory,
    reason: Vec<String>,
    conditions: Vec<Condition>,
}

impl Case<'_> {
    /// Nothing is known: the number stays, and is worth keeping for a window after something is.
    fn hold(&mut self, why: String, condition: Condition) -> u32 {
        self.reason.push(why + "; held");
        self.conditions.push(condition);
        self.memory.keep(self.memory.wanted, self.now);
        self.memory.idle = None;
        self.memory.wanted
    }

    /// What the work needs, and needed within the windows.
    fn follow(&mut self, signals: &Signals, age: DurationMs) -> u32 {
        let horizon = self.start.plus(LEAD);
        let due = signals.due(age, horizon);
        let mut need = Need::of(signals, due, self.target, self.limits);
        if signals.idle(age, horizon) {
            // The arrivals of the last seconds are no work any more.
            need = Need { rise: 0, keep: 0, busy: 0 };
            self.memory.idle.get_or_insert(self.now);
        } else {
            self.memory.idle = None;
        }
        self.reason.push(in_words(signals, due, horizon, need.rise));
        if need.busy > 0 {
            self.reason.push(format!("{} busy", need.busy));
        }
        if let Some(target) = self.limits.target.filter(|target| *target < self.start && self.limits.min == 0) {
            self.conditions.push(Condition::TargetBelowStart { target, start: self.start });
        }
        if let Some(pods) = self.raised_by_age(signals) {
            need = Need { rise: need.rise.max(pods), keep: need.keep.max(pods), ..need };
        }
        let oldest = signals.turns.oldest.max(signals.activities.oldest);
        if need.rise > self.limits.max && oldest > self.target {
            self.conditions.push(Condition::AtMax { need: need.rise, oldest });
        }
        self.settle(need)
    }

    /// Work that waits beyond the target while every slot is busy asks for twice the pods, or for as many as its age says, once the last rise
    /// has had its time to start and to work. A mean that is wrong by any factor is so made good in as many such times as the factor has
    /// binary digits.
    fn raised_by_age(&mut self, signals: &Signals) -> Option<u32> {
        let (fleet, slots, target) = (self.fleet, self.limits.slots, self.target);
        let late = |(load, slots): (&Load, u32)| {
            let all = u64::from(fleet.ready) * u64::from(slots);
            let is = all > 0 && load.backlog > 0 && load.oldest > target;
            is.then(|| (load.oldest, all.saturating_sub(load.busy)))
        };
        let kinds = [(&signals.turns, slots.turns), (&signals.activities, slots.activities)];
        let (oldest, free) = kinds.into_iter().filter_map(late).max()?;
        if free > 0 {
            // A free slot is filled within a moment: what is there long after is not for these workers.
            if oldest.0 > target.0.saturating_mul(2) {
                self.conditions.push(Condition::NotForLackOfPods { oldest, free });
            }
            return None;
        }
        if self.now.since(self.memory.rose) < self.start.plus(target) {
            return None;
        }
        let ready = u64::from(fleet.ready);
        let pods = ready.saturating_mul(oldest.0).div_ceil(target.0.max(1)).min(ready * 2);
        let pods = u32::try_from(pods).unwrap_or(u32::MAX);
        self.reason.push(format!("waits {oldest}, more than {target}, and needs {pods}"));
        Some(pods)
    }

    /// Up at once; down when less has sufficed for the window; to zero when there was nothing for a longer one.
    fn settle(&mut self, need: Need) -> u32 {
        let (limits, from, now) = (self.limits, self.memory.wanted, self.now);
        let (fall_window, zero_window) = (limits.fall_window(self.start), limits.zero_window(self.start));
        self.memory.keep(need.keep.min(limits.max), now);
        let kept = self.memory.kept(fall_window, now);
        let mut wanted = if need.rise > from { need.rise } else { kept.min(from) };
        let lately_idle = self.memory.idle.is_none_or(|since| now.since(since) < zero_window);
        if wanted == 0 && from > 0 && lately_idle {
            wanted = 1;
            self.reason.push(format!("the last goes after {zero_window}"));
        } else if wanted > need.rise {
            self.reason.push(format!("{wanted} needed within {fall_window}"));
        }
        let may_be = wanted.min(limits.max);
        let stepped = self.memory.within_step(may_be, limits, now);
        if stepped == may_be {
            return wanted;
        }
        self.reason.push(format!("{stepped} in this step of {}", Limits::STEP));
        stepped
    }

    /// Within what may be, and what makes sense.
    fn bound(&mut self, wanted: u32) -> u32 {
        let mut bounded = wanted;
        if let (Some(sensible), Some(most)) = (self.fleet.sensible(), self.fleet.stuck.iter().max_by_key(|stuck| stuck.count)) {
            let count = self.fleet.stuck();
            self.conditions.push(Condition::Stuck { count, cause: most.cause, detail: most.detail.clone() });
            if bounded > sensible {
                bounded = sensible;
                self.reason.push(format!("{count} cannot start: no more than {sensible}"));
            }
        }
        if bounded > self.limits.max {
            bounded = self.limits.max;
            self.reason.push(format!("capped by max {bounded}"));
        }
        if bounded < self.limits.min {
            bounded = self.limits.min;
            self.reason.push(format!("min {bounded}"));
        }
        bounded
    }
}

/// `backlog 240 needs 6`.
fn in_words(signals: &Signals, due: u64, horizon: DurationMs, pods: u32) -> String {
    let backlog = signals.turns.backlog.saturating_add(signals.activities.backlog);
    let busy = signals.turns.busy.saturating_add(signals.activities.busy);
    match (backlog, due, busy) {
        (0, 0, 0) => "nothing to do".to_owned(),
        (0, 0, _) => format!("the load needs {pods}"),
        (0, due, _) => format!("{due} timers within {horizon} need {pods}"),
        (backlog, 0, _) => format!("backlog {backlog} needs {pods}"),
        (backlog, due, _) => format!("backlog {backlog} and {due} timers within {horizon} need {pods}"),
    }
}
