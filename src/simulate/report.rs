//! The figures of a trace, side by side.

use std::fmt::Write as _;

use serde::Serialize;

use super::figures::Figures;
use super::policy::{POLICIES, policy};
use super::trace::Trace;
use super::world::run;
use crate::api::DurationMs;

/// How all policies did on one trace.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Of the trace.
    pub trace: String,
    /// What it is.
    pub about: String,
    /// The chance that it was played with.
    pub seed: u64,
    /// Arrivals end then.
    pub length: DurationMs,
    /// One for each policy, ours first.
    pub figures: Vec<Figures>,
}

impl Report {
    /// Plays a trace against every policy.
    #[must_use]
    pub fn of(trace: &Trace, seed: u64) -> Self {
        let items = trace.items(seed);
        let play = |name: &&str| policy(name, trace, &items, seed).map(|mut policy| run(trace, &items, policy.as_mut(), seed));
        let figures = POLICIES.iter().filter_map(play).collect();
        Self { trace: trace.name.clone(), about: trace.about.clone(), seed, length: trace.length, figures }
    }

    /// Heading and rows of the table.
    #[must_use]
    pub fn rows(&self) -> Vec<Vec<String>> {
        let row = |f: &Figures| {
            vec![
                self.trace.clone(),
                f.policy.clone(),
                short(f.wait_p50),
                short(f.wait_mean),
                short(f.wait_p99),
                short(f.wait_max),
                f.pod_seconds.to_string(),
                f.pods_max.to_string(),
                f.flaps.to_string(),
                f.busy_killed.to_string(),
                f.interrupted.to_string(),
            ]
        };
        self.figures.iter().map(row).collect()
    }
}

/// The columns of [`Report::rows`].
pub const HEADING: [&str; 11] =
    ["trace", "policy", "wait p50", "mean", "p99", "longest", "pod seconds", "most pods", "flaps", "busy killed", "interrupted"];

/// Ours beside another.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The other's name.
    pub with: String,
    /// Its p99 of the wait, and ours.
    pub wait_p99: (DurationMs, DurationMs),
    /// Its pod seconds, and ours.
    pub pod_seconds: (u64, u64),
}

impl Comparison {
    /// Ours neither waits longer nor costs more.
    #[must_use]
    pub fn is_no_worse(&self) -> bool {
        self.wait_p99.1 <= self.wait_p99.0 && self.pod_seconds.1 <= self.pod_seconds.0
    }

    /// Ours waits at most a fifth as long, and costs no more.
    #[must_use]
    pub fn is_five_times_shorter(&self) -> bool {
        self.is_no_worse() && self.wait_p99.1.0.saturating_mul(5) <= self.wait_p99.0.0
    }
}

impl Report {
    /// Ours beside another policy; `None` when that one did not play.
    #[must_use]
    pub fn beside(&self, other: &str) -> Option<Comparison> {
        let find = |name: &str| self.figures.iter().find(|figures| figures.policy == name);
        let (ours, other) = (find(POLICIES[0])?, find(other)?);
        Some(Comparison {
            with: other.policy.clone(),
            wait_p99: (other.wait_p99, ours.wait_p99),
            pod_seconds: (other.pod_seconds, ours.pod_seconds),
        })
    }
}

/// Tenths of a second are enough for a person.
fn short(duration: DurationMs) -> String {
    let tenths = (duration.0 + 50) / 100;
    format!("{}.{} s", tenths / 10, tenths % 10)
}

/// A table as Markdown has it.
#[must_use]
pub fn markdown(heading: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = format!("| {} |\n|{}\n", heading.join(" | "), "---|".repeat(heading.len()));
    for row in rows {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    text
}
