//! What is counted of one run of a simulation.

use serde::Serialize;

use crate::api::{DurationMs, TimeMs};

/// How one policy did on one trace.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// Of the policy.
    pub policy: String,
    /// Pieces of work that were done.
    pub done: u64,
    /// Half of the work waited at most so long: from when it came to when it was done, without the slot time that led to its end.
    pub wait_p50: DurationMs,
    /// The mean of the same.
    pub wait_mean: DurationMs,
    /// 99 of 100 waited at most so long.
    pub wait_p99: DurationMs,
    /// The longest wait.
    pub wait_max: DurationMs,
    /// For how long there were pods, on nodes: the bill.
    pub pod_seconds: u64,
    /// The most pods that were wanted at a time.
    pub pods_max: u32,
    /// Falls of the wanted number that a rise took back within [`FLAP`].
    pub flaps: u32,
    /// Pods that were told to end while they had work.
    pub busy_killed: u32,
    /// Pieces of work that such a pod did not finish in its grace, so that they began anew.
    pub interrupted: u32,
    /// Pods and backlog over time.
    #[serde(skip)]
    pub series: Vec<Sample>,
}

/// A fall that is taken back sooner was none that made sense: as long as the HPA's stabilisation window.
pub const FLAP: DurationMs = DurationMs::from_secs(300);

/// One moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// When.
    pub at: TimeMs,
    /// Pods on nodes.
    pub pods: u32,
    /// Work that waits.
    pub backlog: u64,
}

/// What is counted while it runs.
#[derive(Debug, Default)]
pub struct Tally {
    waits: Vec<DurationMs>,
    pods_max: u32,
    flaps: u32,
    wanted: u32,
    fell: Option<TimeMs>,
    /// In milliseconds.
    pub pod_time: u64,
    pub busy_killed: u32,
    pub interrupted: u32,
    pub series: Vec<Sample>,
}

impl Tally {
    pub fn done(&mut self, wait: DurationMs) {
        self.waits.push(wait);
    }

    pub fn wanted(&mut self, wanted: u32, now: TimeMs) {
        if wanted < self.wanted {
            self.fell = Some(now);
        } else if wanted > self.wanted && self.fell.take().is_some_and(|fell| now.since(fell) < FLAP) {
            self.flaps += 1;
        }
        self.wanted = wanted;
        self.pods_max = self.pods_max.max(wanted);
    }

    pub fn figures(mut self, policy: &str) -> Figures {
        self.waits.sort_unstable();
        let at = |percent: usize| {
            // Nearest rank: the least wait that so many percent do not exceed.
            let rank = (self.waits.len() * percent).div_ceil(100).max(1);
            self.waits.get(rank - 1).copied().unwrap_or_default()
        };
        Figures {
            policy: policy.to_owned(),
            done: self.waits.len() as u64,
            wait_p50: at(50),
            wait_mean: DurationMs(self.waits.iter().map(|wait| wait.0).sum::<u64>() / (self.waits.len() as u64).max(1)),
            wait_p99: at(99),
            wait_max: at(100),
            pod_seconds: self.pod_time / 1_000,
            pods_max: self.pods_max,
            flaps: self.flaps,
            busy_killed: self.busy_killed,
            interrupted: self.interrupted,
            series: self.series,
        }
    }
}
