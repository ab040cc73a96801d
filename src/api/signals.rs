//! What the queue service says of a pool. Counts and durations only, measured by one clock: the service's.

use serde::{Deserialize, Serialize};

use super::time::DurationMs;

/// A pool's work at one moment. The same numbers are published for those who scale a pool themselves.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Signals {
    /// Turns of runs.
    pub turns: Load,
    /// Activities that workers run. Those of external queues are no pool's work.
    pub activities: Load,
    /// The next timers, soonest first; a bounded number of them.
    #[serde(default)]
    pub timers: Vec<Due>,
}

/// Work for one kind of slot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Load {
    /// What a free slot could take now; without what flow limits hold back.
    pub backlog: u64,
    /// How long the oldest of the backlog has waited; zero without a backlog.
    pub oldest: DurationMs,
    /// Leased: the busy slots, those of draining pods included.
    pub busy: u64,
    /// What became dispatchable, per second. Absent: not known, which is not zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrivals_per_s: Option<f64>,
    /// Mean time from lease to end. Absent: none has ended yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot_mean: Option<DurationMs>,
    /// The time that 95 of 100 stay below. For people, and for whoever drains a pod; the decision does without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot_p95: Option<DurationMs>,
}

/// Timers that fall due together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Due {
    /// From the signal's moment until then; zero when it is past.
    pub within: DurationMs,
    /// How many.
    pub count: u64,
}

impl Signals {
    /// Nothing is ready, leased, or due within `horizon`, `age` after the signal's moment.
    #[must_use]
    pub fn idle(&self, age: DurationMs, horizon: DurationMs) -> bool {
        [&self.turns, &self.activities].iter().all(|load| load.backlog == 0 && load.busy == 0) && self.due(age, horizon) == 0
    }

    /// Timers that fall due within `horizon`, `age` after the signal's moment.
    #[must_use]
    pub fn due(&self, age: DurationMs, horizon: DurationMs) -> u64 {
        let soon = |due: &&Due| due.within.0 <= age.0.saturating_add(horizon.0);
        self.timers.iter().filter(soon).fold(0, |sum, due| sum.saturating_add(due.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_form_is_stable() {
        let load = Load { backlog: 240, oldest: DurationMs(1_500), busy: 20, arrivals_per_s: Some(12.5), ..Load::default() };
        let timers = vec![Due { within: DurationMs::from_secs(60), count: 100 }];
        let signals = Signals { activities: load, timers, ..Signals::default() };
        let text = r#"{"turns":{"backlog":0,"oldest":"0s","busy":0},"activities":{"backlog":240,"oldest":"1s500ms","busy":20,"arrivalsPerS":12.5},"timers":[{"within":"1m","count":100}]}"#;
        assert_eq!(serde_json::to_string(&signals).expect("JSON"), text);
        assert_eq!(serde_json::from_str::<Signals>(text).expect("the same"), signals);
    }

    #[test]
    fn timers_come_nearer_as_the_signal_ages() {
        let signals = Signals { timers: vec![Due { within: DurationMs::from_secs(60), count: 3 }], ..Signals::default() };
        let horizon = DurationMs::from_secs(10);
        assert_eq!([0, 49, 50, 90].map(|age| signals.due(DurationMs::from_secs(age), horizon)), [0, 0, 3, 3]);
        assert!(signals.idle(DurationMs(0), horizon) && !signals.idle(DurationMs::from_secs(50), horizon));
    }
}
