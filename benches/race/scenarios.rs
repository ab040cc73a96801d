//! The scenarios, and the order in which systems and scenarios take turns: in each round each system starts anew, alone on the
//! machine, and ends after its last scenario.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::bullmq::BullMq;
use crate::dbos::Dbos;
use crate::everloop::Everloop;
use crate::floor;
use crate::load::{Load, Program};
use crate::peer::{installed, node};
use crate::plan::{Plan, SYSTEMS};
use crate::postgres;
use crate::report::{percentile, sorted};
use crate::restate::Restate;
use crate::system::System;
use crate::table::{Spread, Table};
use crate::temporal::{self, Temporal};

/// In the order of their worth, so that an early end costs the least.
const ORDER: [&str; 10] = ["P1", "P2", "P3", "P4", "P5", "P8", "P7", "P9", "P6", "P10"];

/// Parts of scenarios in which not everyone takes part.
const PARTS: [&str; 2] = ["P7 cold", "P10 evicted"];

/// Longest time of one scenario of one system in one round.
const SCENARIO_WITHIN: Duration = Duration::from_mins(5);

pub async fn race(plan: &Plan, table: &mut Table) {
    let (mut failed, tables) = (Failed::default(), RefCell::default());
    for round in 0..plan.rounds() {
        if plan.measures("P4") && plan.systems().any(|system| system == "everloop-redis") {
            let measured = whole("the floor", floor::measure(plan, table)).await;
            measured.unwrap_or_else(|why| table.problem("the floor of P4", &why));
        }
        for name in plan.systems() {
            // Stock settings are there to be compared with the tuned ones, and take long.
            if failed.systems.contains(name) || (plan.quick && round > 0 && name == "temporal-stock") {
                continue;
            }
            eprintln!("round {} of {}: {name}", round + 1, plan.rounds());
            if let Err(why) = one_system(name, round, plan, table, &tables, &mut failed).await {
                table.problem(name, &why);
                failed.systems.insert(name);
            }
        }
    }
    against_the_floor(table);
    table.disk("disk fdatasync after");
}

/// What is not tried again.
#[derive(Default)]
struct Failed {
    /// They do not start.
    systems: BTreeSet<&'static str>,
    /// The others of the system go on, on a new one.
    scenarios: BTreeSet<(&'static str, &'static str)>,
}

/// What came of it, in time and without a panic. What it had started was dropped with it.
async fn whole<T>(what: &str, work: impl Future<Output = T>) -> Result<T, String> {
    match tokio::time::timeout(SCENARIO_WITHIN, AssertUnwindSafe(work).catch_unwind()).await {
        Err(_) => Err(format!("{what} did not end within {} s", SCENARIO_WITHIN.as_secs())),
        Ok(Err(panic)) => Err(text_of(&*panic)),
        Ok(Ok(value)) => Ok(value),
    }
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
    text.unwrap_or_else(|| "it panicked".into())
}

/// What a system needs that is not here.
fn missing(name: &str) -> Option<PathBuf> {
    let needs = match name {
        "restate" => vec![node(), installed("restate/installed.json")],
        "dbos" => vec![node(), installed("dbos/installed.json"), postgres::binaries().unwrap_or_else(|| "/usr/lib/postgresql".into())],
        "bullmq" => vec![node(), installed("bullmq/installed.json")],
        "temporal" | "temporal-stock" => {
            vec![temporal::server(), temporal::program(), postgres::binaries().unwrap_or_else(|| "/usr/lib/postgresql".into())]
        }
        _ => Vec::new(),
    };
    needs.into_iter().find(|path| !path.exists())
}

async fn start(name: &'static str, tables: &RefCell<Option<TempDir>>) -> Box<dyn System> {
    match name {
        "everloop-redis" => Box::new(Everloop::start(true).await),
        "everloop-embedded" => Box::new(Everloop::start(false).await),
        "restate" => Box::new(Restate::start().await),
        "dbos" => Box::new(Dbos::start().await),
        "temporal" => Box::new(Temporal::start(true, tables).await),
        "temporal-stock" => Box::new(Temporal::start(false, tables).await),
        "bullmq" => Box::new(BullMq::start().await),
        _ => panic!("{name} is not among {SYSTEMS:?}"),
    }
}

async fn one_system(
    name: &'static str,
    round: usize,
    plan: &Plan,
    table: &mut Table,
    tables: &RefCell<Option<TempDir>>,
    failed: &mut Failed,
) -> Result<(), String> {
    if let Some(path) = missing(name) {
        return Err(format!("{} is not there: scripts/install-race-peers says why", path.display()));
    }
    let mut system = ready(name, tables).await?;
    table.settings(name, system.settings());
    for scenario in ORDER.into_iter().filter(|scenario| plan.measures(scenario)) {
        if failed.scenarios.contains(&(name, scenario)) {
            continue;
        }
        if let Some(why) = system.declines(scenario) {
            table.decline(scenario, name, why);
            continue;
        }
        for part in PARTS.into_iter().filter(|part| part.starts_with(&format!("{scenario} "))) {
            if let Some(why) = system.declines(part) {
                table.decline(part, name, why);
            }
        }
        if scenario == "P10" && round == 0 {
            // Memory that earlier scenarios took and gave back would hide what these runs take.
            drop(system);
            system = ready(name, tables).await?;
        }
        let mut add = |metric: &str, unit, sample| table.add(scenario, metric, unit, name, sample);
        let begin = Instant::now();
        let measured = whole(scenario, measure(scenario, &*system, round, plan, &mut add)).await;
        eprintln!("{scenario:<4} {name:<18} took {:.1} s", begin.elapsed().as_secs_f64());
        if let Err(why) = measured {
            table.problem(&format!("{name}, {scenario}"), &why);
            failed.scenarios.insert((name, scenario));
            // Nobody knows what it is still busy with.
            drop(system);
            system = ready(name, tables).await?;
        }
    }
    Ok(())
}

/// Started, and warm.
async fn ready(name: &'static str, tables: &RefCell<Option<TempDir>>) -> Result<Box<dyn System>, String> {
    let system = whole(name, start(name, tables)).await?;
    let payload = payload(60);
    let warm = Load { at_once: 16, ..Load::alone(Duration::from_secs(1)) };
    whole("the warm-up", system.runs(Program::One, &payload, warm)).await?;
    if system.declines("P2").is_none() {
        whole("the warm-up", system.runs(Program::Steps(10), &payload, warm)).await?;
    }
    Ok(system)
}

/// JSON of so many bytes.
fn payload(bytes: usize) -> Value {
    let empty = json!({"order": 1, "note": ""}).to_string().len();
    json!({"order": 1, "note": "x".repeat(bytes - empty)})
}

async fn measure(scenario: &str, system: &dyn System, round: usize, plan: &Plan, add: &mut dyn FnMut(&str, &'static str, f64)) {
    let (window, first) = (plan.window(), round == 0);
    match scenario {
        "P1" => {
            let latencies = sorted(system.runs(Program::One, &payload(60), Load::alone(window)).await.latencies_ms);
            add("start to result, one step, alone: p50", "ms", percentile(&latencies, 0.5));
            add("start to result, one step, alone: p99", "ms", percentile(&latencies, 0.99));
        }
        "P2" => {
            let median = async |steps| {
                let load = Load { runs_min: 1, ..Load::alone(window / 2) };
                let batch = system.runs(Program::Steps(steps), &payload(60), load).await;
                percentile(&sorted(batch.latencies_ms), 0.5)
            };
            let (one, many) = (median(1).await, median(51).await);
            add("each further sequential step", "ms", (many - one) / 50.0);
        }
        "P3" => add("one-step runs, 256 at once", "runs/s", system.runs(Program::One, &payload(60), Load::saturating(window)).await.rate()),
        "P4" => {
            for (metric, bytes) in [(STEPS_60, 60), (STEPS_1K, 1_024)] {
                if plan.quick && !first && bytes > 60 {
                    continue;
                }
                let batch = system.runs(Program::Steps(10), &payload(bytes), Load::saturating(window)).await;
                add(metric, "steps/s", batch.rate() * 10.0);
            }
            if let Some(batch) = system.waiting_steps(&payload(60), Load::saturating(window)).await {
                add("the same, of scripts that wait: a commit each", "steps/s", batch.rate() * 10.0);
            }
        }
        "P5" => {
            let load = Load { runs_min: 1, runs_max: 20, ..Load::alone(window) };
            let batch = system.runs(Program::FanOut(1_000), &payload(60), load).await;
            add("1,000 remote activities at once: p50", "ms", percentile(&sorted(batch.latencies_ms), 0.5));
        }
        "P7" => {
            add("signal to result, in memory: p50", "ms", percentile(&sorted(system.signals(window).await), 0.5));
            if first {
                let steps = if plan.quick { 1_000 } else { 10_000 };
                if let Some((steps, cold)) = system.cold_signal(steps).await {
                    add(&format!("signal to result after {steps} steps, cold"), "ms", cold);
                }
            }
        }
        "P8" if first || !plan.quick => {
            let runs = || system.runs(Program::Slow(10, 300), &Value::Null, Load::burst(50));
            let undisturbed = runs().await.seconds;
            let failure = async {
                system.start_second_worker().await;
                tokio::time::sleep(Duration::from_millis(500)).await;
                system.kill_first_worker();
            };
            let (disturbed, ()) = futures_util::join!(runs(), failure);
            add("added by kill -9 of a worker, another alive", "s", disturbed.seconds - undisturbed);
        }
        "P9" if first => {
            let (steps, at) = system.aged(if plan.quick { 2_000 } else { 50_000 }).await;
            let [first, after_a_tenth, before_the_last_tenth, last] = at[..] else { panic!("four times, not {at:?}") };
            let metric = format!("last tenth of {steps} steps against the first");
            add(&metric, "", (last - before_the_last_tenth) / (after_a_tenth - first));
        }
        "P6" if first => {
            let (runs, seconds) = sleepers(system.name(), plan.quick);
            let slept = system.sleepers(runs, seconds).await;
            add(&format!("{runs} sleepers due at once: starting"), "runs/s", f64::from(runs) / slept.starting_seconds);
            add(&format!("{runs} sleepers due at once: last one late by"), "s", slept.late_seconds);
            if let Some(bytes) = slept.store_bytes {
                add("a sleeper in the store's memory", "bytes", bytes);
            }
        }
        "P10" if first => {
            // What many runs leave behind is there before the first measure.
            let runs = parked(system.name());
            let before = system.parked(runs / 5).await;
            add(&format!("worker's memory of one of {runs} waiting runs"), "bytes", (system.parked(runs).await - before) / f64::from(runs));
            if let Some(bytes) = system.evicted().await {
                add("a waiting run, evicted from the worker's cache", "bytes", bytes);
            }
        }
        _ => {}
    }
}

/// How many sleepers, and how many seconds there are to start them: the last one should not be late by more than a minute.
fn sleepers(system: &str, quick: bool) -> (u32, f64) {
    let (runs, seconds) = match system {
        "everloop-redis" | "everloop-embedded" => (100_000, 45.0),
        "restate" => (20_000, 30.0),
        "dbos" => (10_000, 40.0),
        _ => (3_000, 30.0),
    };
    if quick { (runs / 10, seconds / 4.0) } else { (runs, seconds) }
}

/// How many runs that wait.
fn parked(system: &str) -> u32 {
    if matches!(system, "everloop-redis" | "everloop-embedded") { 5_000 } else { 1_000 }
}

pub const STEPS_60: &str = "steps in runs of ten, 256 at once, 60 B";
pub const STEPS_1K: &str = "steps in runs of ten, 256 at once, 1 KB";

/// What Everloop does of what the same Redis does in the same run.
fn against_the_floor(table: &mut Table) {
    for (steps, part) in [(STEPS_60, "part of the bare commits, 60 B"), (STEPS_1K, "part of the bare commits, 1 KB")] {
        let median = |system: &str| {
            let figure = table.figures().find(|f| f.metric == steps)?;
            let (_, samples) = figure.samples.iter().find(|(name, _)| *name == system)?;
            Some(Spread::of(samples).median)
        };
        if let (Some(ours), Some(bare)) = (median("everloop-redis"), median(floor::SYSTEM)) {
            table.add("P4", part, "%", "everloop-redis", 100.0 * ours / bare);
        }
    }
}
