//! A long time with many open runs: whether memory and the latency of a short run stay as they are, while Redis writes its file
//! anew, and what happens at its end when the disk is full. What is found is printed; nothing is asserted of times and sizes.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::{self, FuturesUnordered};
use serde_json::{Value, json};

use crate::full_disk;
use crate::report::{Report, percentile, sorted};
use crate::scenarios::payload;
use crate::servers::field;
use crate::world::World;

pub const MINUTES: u32 = 30;
pub const RUNS: u32 = 200_000;

/// Starts under way at once while the open runs are made.
const STARTS_AT_ONCE: usize = 64;
/// Longest wait until all of them have taken their first turn.
const SETTLED_WITHIN: Duration = Duration::from_mins(10);
/// Between two short runs: 20 in a second, whatever becomes of the others.
const EVERY: Duration = Duration::from_millis(50);
const SAMPLE_EVERY: Duration = Duration::from_secs(10);
/// When Redis is told to write its file anew, as parts of the time. It does so by itself, too, when the file has doubled.
const REWRITES: [f64; 2] = [0.25, 0.75];
/// Ended runs go after this, so that their number does not grow: as many go as come when the load has gone on for `STEADY_AFTER`.
const RETENTION: &str = "1m";
const STEADY_AFTER: Duration = Duration::from_secs(130);
/// Of the runs that waited all the time, so many are woken at the end.
const WOKEN: usize = 100;

const MIB: f64 = 1_048_576.0;

/// One figure of a sample: its name, its unit, and up to which ratio of the last fifth to the first it counts as flat.
const FIGURES: [(&str, &str, f64); 6] = [
    ("memory of the service", "MiB", 1.1),
    ("memory of the worker", "MiB", 1.1),
    ("memory of Redis", "MiB", 1.1),
    ("used_memory of Redis", "MiB", 1.1),
    ("a short run, p50", "ms", 1.5),
    ("a short run, p99", "ms", 1.5),
];

struct Sample {
    seconds: f64,
    figures: [f64; FIGURES.len()],
    runs: usize,
    /// The append-only file, and how often it was written anew.
    file_mib: f64,
    rewrites: f64,
    rewriting: bool,
}

pub async fn measure(report: &mut Report, minutes: u32, runs: u32) {
    let world = World::start_with(&["--retention", RETENTION]).await;
    crate::floor::measure(&world, report).await;
    report
        .settings
        .insert("soak", format!("{minutes} min, {runs} open runs, {} short runs/s, --retention {RETENTION}", 1_000 / EVERY.as_millis()));
    let waiting = open(&world, report, runs).await;
    eprintln!("{STEADY_AFTER:?} until as many runs go as come");
    soak(&world, STEADY_AFTER, &[]).await;
    let samples = soak(&world, Duration::from_secs(60 * u64::from(minutes)), &REWRITES).await;
    tell(&samples, report);

    let (waiting, more) = waiting.split_at(WOKEN.min(waiting.len() / 2));
    report.add("a run that waited all the time", "signal to result", "ms", wake(&world, waiting).await);
    full_disk::measure(world, report, more).await;
    write(&samples);
}

/// Starts the runs, half of them asleep and half waiting for a signal, and waits until all do. The ids of the latter.
async fn open(world: &World, report: &mut Report, runs: u32) -> Vec<String> {
    let begin = Instant::now();
    let kinds = |n: u32| if n.is_multiple_of(2) { "signalled" } else { "sleeper" };
    let starts = (0..runs).map(|n| async move { (kinds(n), world.start_run(kinds(n), &Value::Null).await) });
    let started: Vec<(&str, String)> = stream::iter(starts).buffer_unordered(STARTS_AT_ONCE).collect().await;
    let deadline = Instant::now() + SETTLED_WITHIN;
    loop {
        let pool = world.client.get("/v1/pools/default").await;
        if pool["turns"]["backlog"] == 0 && pool["turns"]["busy"] == 0 {
            break;
        }
        assert!(Instant::now() < deadline, "the runs do not come to rest: {pool}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    report.add("open runs", "until they wait", "runs/s", vec![f64::from(runs) / begin.elapsed().as_secs_f64()]);
    started.into_iter().filter(|(kind, _)| *kind == "signalled").map(|(_, id)| id).collect()
}

/// The load, and beside it the samples.
async fn soak(world: &World, length: Duration, rewrites: &[f64]) -> Vec<Sample> {
    let (latencies, begin) = (RefCell::new(Vec::new()), Instant::now());
    let load = async {
        let (input, mut under_way) = (payload(), FuturesUnordered::new());
        let mut ticks = tokio::time::interval(EVERY);
        while begin.elapsed() < length || !under_way.is_empty() {
            tokio::select! {
                at = ticks.tick() => if begin.elapsed() < length {
                    let (at, input) = (at.into_std(), &input);
                    under_way.push(async move {
                        world.start_and_wait("one", input).await;
                        at.elapsed().as_secs_f64() * 1_000.0
                    });
                },
                Some(ms) = under_way.next() => latencies.borrow_mut().push(ms),
            }
        }
    };
    let samples = async {
        let (mut samples, mut rewrites) = (Vec::new(), rewrites.iter().peekable());
        let mut at = SAMPLE_EVERY;
        while at <= length {
            tokio::time::sleep_until((begin + at).into()).await;
            if rewrites.next_if(|part| at >= length.mul_f64(**part)).is_some() {
                rewrite(world).await;
            }
            let sample = sample(world, at.as_secs_f64(), latencies.take()).await;
            eprintln!("{sample:?}");
            samples.push(sample);
            at += SAMPLE_EVERY;
        }
        samples
    };
    futures_util::join!(load, samples).1
}

/// Unless it does so already.
async fn rewrite(world: &World) {
    let said: redis::RedisResult<String> = redis::cmd("BGREWRITEAOF").query_async(&mut world.redis().await).await;
    if let Err(error) = said {
        eprintln!("BGREWRITEAOF: {error}");
    }
}

async fn sample(world: &World, seconds: f64, latencies: Vec<f64>) -> Sample {
    let redis = &world.redis[0];
    let (memory, persistence) = (redis.info("memory").await, redis.info("persistence").await);
    let [service, worker, redis] = [&world.service, &world.worker, &redis.child].map(|child| World::resident_bytes(child.id()) / MIB);
    let latencies = sorted(latencies);
    let [p50, p99] = [0.5, 0.99].map(|p| percentile(&latencies, p));
    Sample {
        seconds,
        figures: [service, worker, redis, field(&memory, "used_memory:") / MIB, p50, p99],
        runs: latencies.len(),
        file_mib: field(&persistence, "aof_current_size:") / MIB,
        rewrites: field(&persistence, "aof_rewrites:"),
        rewriting: field(&persistence, "aof_rewrite_in_progress:") > 0.0,
    }
}

/// The first fifth against the last.
fn tell(samples: &[Sample], report: &mut Report) {
    let (fifth, mut verdicts) = (samples.len().div_ceil(5), Vec::new());
    let (first, last) = (&samples[..fifth], &samples[samples.len() - fifth..]);
    for (n, (name, unit, flat)) in FIGURES.into_iter().enumerate() {
        let of = |samples: &[Sample]| samples.iter().map(|sample| sample.figures[n]).collect::<Vec<_>>();
        let median = |samples| percentile(&sorted(of(samples)), 0.5);
        let ratio = median(last) / median(first);
        let verdict = if ratio <= flat { "flat" } else { "GROWS" };
        verdicts.push(format!("{name} {:.2} -> {:.2} {unit} ({ratio:.2}) {verdict}", median(first), median(last)));
        report.add(name, "first fifth", unit, of(first));
        report.add(name, "last fifth", unit, of(last));
        report.add(name, "all the time", unit, of(samples));
    }
    let rewrites = samples.last().map_or(0.0, |last| last.rewrites) - samples.first().map_or(0.0, |first| first.rewrites);
    verdicts.push(format!("{rewrites} times Redis wrote its file anew"));
    report.settings.insert("verdict", verdicts.join("; "));
}

/// Each is woken by its signal, and ends; milliseconds each.
pub async fn wake(world: &World, ids: &[String]) -> Vec<f64> {
    let mut samples = Vec::new();
    for id in ids {
        let (url, begin) = (format!("/v1/namespaces/default/runs/{id}"), Instant::now());
        world.client.post(&format!("{url}/signals/go"), &json!(1)).await;
        let view = world.client.get(&format!("{url}?wait=60s")).await;
        assert_eq!(view["status"], "Completed", "{view}");
        samples.push(begin.elapsed().as_secs_f64() * 1_000.0);
    }
    samples
}

impl std::fmt::Debug for Sample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:>5.0} s:", self.seconds)?;
        for ((name, unit, _), value) in FIGURES.iter().zip(self.figures) {
            write!(f, " {name} {value:.2} {unit},")?;
        }
        let (runs, file, rewrites) = (self.runs, self.file_mib, self.rewrites);
        write!(f, " {runs} runs, file {file:.1} MiB, written anew {rewrites}{}", if self.rewriting { " and now" } else { "" })
    }
}

/// Every sample into `target/bench/soak-samples.json`.
fn write(samples: &[Sample]) {
    let rows: Vec<Value> = samples
        .iter()
        .map(|sample| {
            let mut row = json!({"seconds": sample.seconds, "runs": sample.runs, "append-only file, MiB": sample.file_mib,
                                 "rewrites": sample.rewrites, "rewriting": sample.rewriting});
            for ((name, unit, _), value) in FIGURES.iter().zip(sample.figures) {
                row[format!("{name}, {unit}")] = json!(value);
            }
            row
        })
        .collect();
    std::fs::create_dir_all("target/bench").expect("target/bench");
    let text = serde_json::to_string_pretty(&rows).expect("plain data");
    std::fs::write("target/bench/soak-samples.json", text).expect("a file in target/bench");
}
