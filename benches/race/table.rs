//! The figures: for people, and for programs.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::plan::Plan;
use crate::report::{Report, percentile, sorted};
use crate::system::Settings;

/// One figure of all systems that have it, in the order in which they were measured first.
pub struct Figure {
    pub scenario: &'static str,
    pub metric: String,
    pub unit: &'static str,
    pub samples: Vec<(&'static str, Vec<f64>)>,
}

pub struct Table {
    figures: Vec<Figure>,
    /// What a system has no figure for, and why that is as it should be.
    declined: BTreeMap<(&'static str, &'static str), &'static str>,
    /// What is missing and should not be.
    problems: Vec<(String, String)>,
    common: BTreeMap<&'static str, String>,
    settings: BTreeMap<&'static str, Settings>,
}

pub struct Spread {
    pub min: f64,
    pub median: f64,
    pub max: f64,
}

impl Spread {
    pub fn of(samples: &[f64]) -> Self {
        let samples = sorted(samples.to_vec());
        Self { min: percentile(&samples, 0.0), median: percentile(&samples, 0.5), max: percentile(&samples, 1.0) }
    }
}

impl Table {
    pub fn new(plan: &Plan) -> Self {
        let mut table = Self {
            figures: Vec::new(),
            declined: BTreeMap::new(),
            problems: Vec::new(),
            common: BTreeMap::new(),
            settings: BTreeMap::new(),
        };
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        table.common.insert("machine", format!("{cores} cores, everything on it"));
        let window = plan.window().as_secs_f64();
        table
            .common
            .insert("rounds", format!("{} of {window} s a figure, the systems taking turns, one at a time; long ones once", plan.rounds()));
        table.disk("disk fdatasync before");
        table
    }

    /// Notes what the disk does now.
    pub fn disk(&mut self, when: &'static str) {
        let mut report = Report::new(true);
        crate::disk::measure(tempfile::tempfile().expect("a file"), &mut report);
        self.common.extend(report.settings.into_values().map(|text| (when, text)));
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let name = if when.ends_with("before") { "load average before" } else { "load average after" };
        self.common.insert(name, load.split(' ').take(3).collect::<Vec<_>>().join(" "));
    }

    pub fn settings(&mut self, system: &'static str, settings: Settings) {
        self.settings.insert(system, settings);
    }

    pub fn add(&mut self, scenario: &'static str, metric: &str, unit: &'static str, system: &'static str, sample: f64) {
        eprintln!("{scenario:<4} {system:<18} {metric}: {sample:.3} {unit}");
        let place = self.figures.iter().position(|f| f.scenario == scenario && f.metric == metric).unwrap_or_else(|| {
            self.figures.push(Figure { scenario, metric: metric.to_owned(), unit, samples: Vec::new() });
            self.figures.len() - 1
        });
        let samples = &mut self.figures[place].samples;
        match samples.iter_mut().find(|(name, _)| *name == system) {
            Some((_, list)) => list.push(sample),
            None => samples.push((system, vec![sample])),
        }
    }

    pub fn decline(&mut self, scenario: &'static str, system: &'static str, why: &'static str) {
        self.declined.insert((scenario, system), why);
    }

    /// Something that should have been measured and was not: the race fails at its end.
    pub fn problem(&mut self, what: &str, why: &str) {
        eprintln!("{what}: {why}");
        self.problems.push((what.to_owned(), why.to_owned()));
    }

    pub fn is_whole(&self) -> bool {
        self.problems.is_empty()
    }

    pub fn figures(&self) -> impl Iterator<Item = &Figure> {
        // In the order of the scenarios' numbers.
        let mut figures: Vec<&Figure> = self.figures.iter().collect();
        figures.sort_by_key(|f| f.scenario.trim_start_matches('P').parse::<u32>().unwrap_or(0));
        figures.into_iter()
    }

    pub fn print(&self) {
        println!("{:<4} {:<44} {:<18} {:>11} {:>11} {:>11}  unit", "", "figure", "system", "min", "median", "max");
        for Figure { scenario, metric, unit, samples } in self.figures() {
            for (system, samples) in samples {
                let Spread { min, median, max } = Spread::of(samples);
                println!("{scenario:<4} {metric:<44} {system:<18} {min:>11.3} {median:>11.3} {max:>11.3}  {unit}");
            }
        }
        for ((scenario, system), why) in &self.declined {
            println!("{scenario:<4} {system}: n/a, {why}");
        }
        for (name, value) in &self.common {
            println!("{name}: {value}");
        }
        for (system, settings) in &self.settings {
            settings.iter().for_each(|(name, value)| println!("{system}, {name}: {value}"));
        }
        for (what, why) in &self.problems {
            println!("MISSING: {what}: {why}");
        }
    }

    /// Into `target/bench/race.json`.
    pub fn write(&self) {
        let rows: Vec<Value> = self
            .figures()
            .flat_map(|f| f.samples.iter().map(move |(system, samples)| (f, *system, samples)))
            .map(|(Figure { scenario, metric, unit, .. }, system, samples)| {
                let Spread { min, median, max } = Spread::of(samples);
                let mut settings = self.settings.get(system).cloned().unwrap_or_default();
                settings.extend(self.common.clone());
                settings.insert("samples", samples.len().to_string());
                json!({"scenario": scenario, "system": system, "metric": metric, "unit": unit,
                       "min": min, "median": median, "max": max, "settings": settings})
            })
            .collect();
        std::fs::create_dir_all("target/bench").expect("target/bench");
        let text = serde_json::to_string_pretty(&rows).expect("plain data");
        std::fs::write("target/bench/race.json", text).expect("a file in target/bench");
    }
}
