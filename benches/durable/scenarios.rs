//! The scenarios. Each is measured several times; the table shows the least, the median and the largest.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::report::{Report, percentile, sorted};
use crate::world::World;

/// What all runs get and their steps pass on.
pub fn payload() -> Value {
    json!({"order": 1, "items": ["pizza", "water"], "note": "60 bytes or so"})
}

pub async fn measure(world: &World, report: &mut Report) {
    let rounds = if report.quick { 1 } else { 3 };
    let payload = payload();
    for _ in 0..50 {
        world.start_and_wait("one", &payload).await;
    }
    latency(world, report, rounds, &payload).await;
    steps(world, report, rounds, &payload).await;
    throughput(world, report, rounds, &payload).await;
    signals(world, report, rounds).await;
    growth(world, report).await;
    memory(world, report).await;
    crate::cost::measure(world, report, &payload).await;
    operations(world, report, &payload).await;
}

async fn latency(world: &World, report: &mut Report, rounds: usize, payload: &Value) {
    let (mut p50, mut p99) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let mut samples = Vec::new();
        for _ in 0..500 {
            samples.push(world.start_and_wait("one", payload).await);
        }
        let samples = sorted(samples);
        p50.push(percentile(&samples, 0.5));
        p99.push(percentile(&samples, 0.99));
    }
    report.add("start to result, one step, one at a time", "p50 of 500", "ms", p50);
    report.add("start to result, one step, one at a time", "p99 of 500", "ms", p99);
}

async fn steps(world: &World, report: &mut Report, rounds: usize, payload: &Value) {
    let mut slopes = Vec::new();
    for _ in 0..rounds {
        let (mut one, mut hundred) = (Vec::new(), Vec::new());
        for _ in 0..20 {
            one.push(world.start_and_wait("steps", &json!({"n": 1, "payload": payload})).await);
            hundred.push(world.start_and_wait("steps", &json!({"n": 101, "payload": payload})).await);
        }
        slopes.push((percentile(&sorted(hundred), 0.5) - percentile(&sorted(one), 0.5)) / 100.0);
    }
    report.add("one further sequential step", "slope of 1 to 101", "ms", slopes);
}

/// So many runs, so many at once, until all have ended; the seconds that it took.
pub async fn saturate(world: &World, workflow: &'static str, input: &Value, at_once: usize, total: u32) -> f64 {
    let begin = Instant::now();
    let next = std::sync::atomic::AtomicU32::new(0);
    let clients = (0..at_once).map(|_| async {
        while next.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < total {
            world.start_and_wait(workflow, input).await;
        }
    });
    futures_util::future::join_all(clients).await;
    begin.elapsed().as_secs_f64()
}

async fn throughput(world: &World, report: &mut Report, rounds: usize, payload: &Value) {
    let (mut runs, mut steps) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let total = if report.quick { 3_000 } else { 10_000 };
        runs.push(f64::from(total) / saturate(world, "one", payload, 256, total).await);
        let total = total / 5;
        steps.push(f64::from(total) * 10.0 / saturate(world, "steps", &json!({"n": 10, "payload": payload}), 256, total).await);
    }
    report.add("one-step runs, 256 at once", "rate", "runs/s", runs);
    report.add("runs of 10 steps, 256 at once", "rate", "steps/s", steps);
}

async fn signals(world: &World, report: &mut Report, rounds: usize) {
    let mut p50 = Vec::new();
    for _ in 0..rounds {
        let mut samples = Vec::new();
        for _ in 0..100 {
            let id = world.start_run("signalled", &Value::Null).await;
            let url = format!("/v1/namespaces/default/runs/{id}");
            while world.client.get(&url).await["turns"] != 1 {}
            let begin = Instant::now();
            world.client.post(&format!("{url}/signals/go"), &json!(1)).await;
            let view: Value = world.client.get(&format!("{url}?wait=10s")).await;
            assert_eq!(view["status"], "Completed", "{view}");
            samples.push(begin.elapsed().as_secs_f64() * 1_000.0);
        }
        p50.push(percentile(&sorted(samples), 0.5));
    }
    report.add("signal to result, run in memory", "p50 of 100", "ms", p50);
}

/// The cost of a late step against an early one, from the times that the journal has of its turns.
async fn growth(world: &World, report: &mut Report) {
    let n: u64 = if report.quick { 2_000 } else { 10_000 };
    let id = world.start_run("steps", &json!({"n": n, "payload": 1})).await;
    let url = format!("/v1/namespaces/default/runs/{id}");
    let deadline = Instant::now() + Duration::from_mins(3);
    loop {
        let view: Value = world.client.get(&format!("{url}?wait=30s")).await;
        if view["status"] == "Completed" {
            break;
        }
        assert!(Instant::now() < deadline, "{n} steps do not end: {view}");
    }
    let at = |turn: u64| {
        let url = format!("{url}/journal?from={turn}");
        async move { world.client.get(&url).await["entries"][0]["at"].as_f64().expect("a time") }
    };
    let slice = n / 10;
    let first = at(slice + 10).await - at(10).await;
    let last = at(n - 1).await - at(n - 1 - slice).await;
    report.add("last tenth of the steps of a long run against the first", "ratio", "", vec![last / first]);
    report.settings.insert("steps of the long run", n.to_string());
}

async fn used_memory(world: &World) -> f64 {
    let mut connection = world.redis().await;
    let info: String = redis::cmd("INFO").arg("memory").query_async(&mut connection).await.expect("INFO");
    info.lines().find_map(|l| l.strip_prefix("used_memory:")).and_then(|n| n.trim().parse().ok()).expect("used_memory")
}

/// What runs take that wait: after a thousand of their kind, so that what many runs leave behind is there before.
pub async fn memory(world: &World, report: &mut Report) {
    for (workflow, what) in [("sleeper", "a sleeping run"), ("signalled", "a run that waits for a signal")] {
        wait(world, workflow, 1_000).await;
        waiting(world, report, workflow, what).await;
    }
}

async fn waiting(world: &World, report: &mut Report, workflow: &'static str, what: &'static str) {
    let n: u32 = if report.quick { 2_000 } else { 10_000 };
    let worker = world.worker.id();
    let (redis_before, worker_before) = (used_memory(world).await, World::resident_bytes(worker));
    wait(world, workflow, n).await;
    report.add(what, "in Redis", "bytes", vec![(used_memory(world).await - redis_before) / f64::from(n)]);
    report.add(what, "in the worker, cached", "bytes", vec![(World::resident_bytes(worker) - worker_before) / f64::from(n)]);
}

/// So many runs that have taken their first turn, and wait.
async fn wait(world: &World, workflow: &'static str, n: u32) {
    let ids = futures_util::stream::StreamExt::collect::<Vec<_>>(futures_util::stream::StreamExt::buffer_unordered(
        futures_util::stream::iter((0..n).map(|_| world.start_run(workflow, &Value::Null))),
        64,
    ))
    .await;
    for id in &ids {
        let url = format!("/v1/namespaces/default/runs/{id}");
        while world.client.get(&url).await["turns"] != 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Store operations of a one-step run and of a further step, counted by Redis itself.
async fn operations(world: &World, report: &mut Report, payload: &Value) {
    async fn scripts(world: &World) -> f64 {
        let mut connection = world.redis().await;
        let info: String = redis::cmd("INFO").arg("commandstats").query_async(&mut connection).await.expect("INFO");
        let calls = |name: &str| {
            let line = info.lines().find_map(|l| l.strip_prefix(&format!("cmdstat_{name}:calls=")).and_then(|l| l.split(',').next()));
            line.and_then(|n| n.parse::<f64>().ok()).unwrap_or_default()
        };
        calls("fcall")
    }
    let mut samples = (Vec::new(), Vec::new());
    for _ in 0..5 {
        // The loops of the service make calls of their own: count over many runs, against an equal time of rest.
        let count = |workflow: &'static str, input: Value, runs: u32| async move {
            let (before, begin) = (scripts(world).await, Instant::now());
            for _ in 0..runs {
                world.start_and_wait(workflow, &input).await;
            }
            let (after, took) = (scripts(world).await, begin.elapsed());
            tokio::time::sleep(took).await;
            let rest = scripts(world).await - after;
            (after - before - rest) / f64::from(runs)
        };
        let one = count("one", payload.clone(), 200).await;
        let many = count("steps", json!({"n": 101, "payload": payload}), 10).await;
        samples.0.push(one);
        samples.1.push((many - one) / 100.0);
    }
    report.add("store operations of a one-step run", "count", "", samples.0);
    report.add("store operations of a further step", "count", "", samples.1);
}
