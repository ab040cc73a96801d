//! What is measured, and for how long.

use std::collections::BTreeSet;
use std::time::Duration;

pub const SCENARIOS: [&str; 10] = ["P1", "P2", "P3", "P4", "P5", "P6", "P7", "P8", "P9", "P10"];

/// In the order in which they take turns.
pub const SYSTEMS: [&str; 7] = ["everloop-redis", "everloop-embedded", "restate", "dbos", "temporal", "temporal-stock", "bullmq"];

/// What does not take minutes is measured so often; the systems take turns.
const ROUNDS: usize = 3;

pub struct Plan {
    pub quick: bool,
    once: bool,
    scenarios: BTreeSet<&'static str>,
    systems: BTreeSet<&'static str>,
}

impl Plan {
    /// From the words of the command line. Without a scenario all are meant, and likewise without a system.
    pub fn of(words: &[String]) -> Result<Self, String> {
        let mut plan = Self { quick: false, once: false, scenarios: BTreeSet::new(), systems: BTreeSet::new() };
        for word in words {
            if word == "quick" {
                plan.quick = true;
            } else if word == "once" {
                plan.once = true;
            } else if let Some(scenario) = SCENARIOS.iter().find(|s| s.eq_ignore_ascii_case(word)) {
                plan.scenarios.insert(scenario);
            } else if let Some(system) = SYSTEMS.iter().find(|s| *s == word) {
                plan.systems.insert(system);
            } else {
                return Err(format!(
                    "`{word}` is no scenario ({}), no system ({}), and neither `quick` nor `once`",
                    SCENARIOS.join(" "),
                    SYSTEMS.join(" ")
                ));
            }
        }
        if plan.scenarios.is_empty() {
            plan.scenarios.extend(SCENARIOS);
            if plan.quick {
                // They take minutes, and are measured when they are named.
                ["P6", "P9", "P10"].iter().for_each(|long| _ = plan.scenarios.remove(long));
            }
        }
        if plan.systems.is_empty() {
            plan.systems.extend(SYSTEMS);
        }
        Ok(plan)
    }

    pub fn measures(&self, scenario: &str) -> bool {
        self.scenarios.contains(scenario)
    }

    pub fn systems(&self) -> impl Iterator<Item = &'static str> {
        SYSTEMS.into_iter().filter(|system| self.systems.contains(system))
    }

    pub fn rounds(&self) -> usize {
        if self.once { 1 } else { ROUNDS }
    }

    /// How long one measurement goes on with new runs.
    pub fn window(&self) -> Duration {
        Duration::from_millis(if self.quick { 1_000 } else { 4_000 })
    }
}
