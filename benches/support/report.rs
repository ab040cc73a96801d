//! A table for people and a file for programs.

use std::collections::BTreeMap;

use serde_json::{Value, json};

pub struct Report {
    pub quick: bool,
    rows: Vec<Row>,
    pub settings: BTreeMap<&'static str, String>,
}

struct Row {
    scenario: String,
    metric: String,
    unit: &'static str,
    samples: Vec<f64>,
}

/// The value below which the part `p` of the sorted samples lies.
pub fn percentile(sorted: &[f64], p: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index of a small list")]
    let index = ((sorted.len() as f64 - 1.0) * p).round() as usize;
    sorted.get(index).copied().unwrap_or(f64::NAN)
}

pub fn sorted(mut samples: Vec<f64>) -> Vec<f64> {
    samples.sort_by(f64::total_cmp);
    samples
}

impl Report {
    pub fn new(quick: bool) -> Self {
        Self { quick, rows: Vec::new(), settings: BTreeMap::new() }
    }

    /// One figure, measured several times.
    pub fn add(&mut self, scenario: impl Into<String>, metric: impl Into<String>, unit: &'static str, samples: Vec<f64>) {
        let (scenario, metric) = (scenario.into(), metric.into());
        let samples = sorted(samples);
        eprintln!("{scenario}: {metric} {:.3} {unit}", percentile(&samples, 0.5));
        self.rows.push(Row { scenario, metric, unit, samples });
    }

    pub fn print(&self) {
        println!("{:<44} {:<22} {:>11} {:>11} {:>11}  unit", "scenario", "metric", "min", "median", "max");
        for row in &self.rows {
            let at = |p| percentile(&row.samples, p);
            println!("{:<44} {:<22} {:>11.3} {:>11.3} {:>11.3}  {}", row.scenario, row.metric, at(0.0), at(0.5), at(1.0), row.unit);
        }
        for (name, value) in &self.settings {
            println!("{name}: {value}");
        }
    }

    /// Into `target/bench/NAME.json`.
    pub fn write_as(&self, name: &str) {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|r| {
                let at = |p| percentile(&r.samples, p);
                json!({"scenario": r.scenario, "system": "everloop", "metric": r.metric, "unit": r.unit,
                       "min": at(0.0), "median": at(0.5), "max": at(1.0), "settings": self.settings})
            })
            .collect();
        std::fs::create_dir_all("target/bench").expect("target/bench");
        let text = serde_json::to_string_pretty(&rows).expect("plain data");
        std::fs::write(format!("target/bench/{name}.json"), text).expect("a file in target/bench");
    }
}
