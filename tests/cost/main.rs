//! What a step and a run cost, in things that do not depend on the machine: operations of the store, exchanges between worker and
//! service, commands and bytes of Redis, allocations. Each has a bound a little above what was measured when it was last set; the
//! figures of this run are printed (`cargo test --test cost -- --nocapture`).
//!
//! Service and worker run in this process, whose allocator counts; Redis is a server of its own.

#![expect(clippy::print_stdout, reason = "the figures are what is looked for when a bound is to be set anew")]

#[path = "../support/redis.rs"]
mod server;

use std::alloc::System;
use std::sync::Arc;
use std::time::{Duration, Instant};

use everloop::store::redis::{RedisConfig, RedisStore};
use everloop::{queue, worker};
use serde_json::{Value, json};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const STEPS: &str =
    "export default async function steps(input) { for (let i = 0; i < input.n; i++) await step(input.payload); return input.n; }";
/// The same with a script that waits, so that it is not done at once.
const WAITING: &str =
    "export default async function waiting(input) { for (let i = 0; i < input.n; i++) await later(input.payload); return input.n; }";
const SLEEPER: &str = "import { sleep } from \"everloop\"; export default async function sleeper() { await sleep(\"1h\"); }";

/// Service, worker and store.
struct World {
    redis: server::RedisServer,
    url: String,
    http: reqwest::Client,
    stop: CancellationToken,
}

/// What has been used so far.
#[derive(Debug, Clone, Copy)]
struct Used {
    operations: f64,
    exchanges: f64,
    scripts: f64,
    commands: f64,
    wire: f64,
    allocations: f64,
    allocated: f64,
}

impl World {
    async fn start() -> Self {
        let redis = server::RedisServer::start(&server::FIT);
        let store = Arc::new(RedisStore::open(RedisConfig::new(redis.url())).await.expect("a fit server"));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let stop = CancellationToken::new();
        // Its loops would use something of their own.
        let config = queue::Config { loops: false, ..queue::Config::default() };
        tokio::spawn(queue::run(listener, store, config, stop.clone()));
        let mut config = worker::Config::new(url.clone(), "default".parse().expect("a name"), "cost");
        config.loops = 1;
        tokio::spawn(worker::run(config, stop.clone()));
        let world = Self { redis, url, http: reqwest::Client::new(), stop };
        for (name, source) in [("steps", STEPS), ("waiting", WAITING), ("sleeper", SLEEPER)] {
            let activities = json!({
                "step": {"script": "export default async (argument) => argument;"},
                "later": {"script": "export default (argument) => new Promise((done) => setTimeout(done, 0, argument));"},
            });
            let body = json!({"name": name, "pool": "default", "definition": {"source": source, "activities": activities}});
            let put = world.http.put(format!("{}/v1/namespaces/default/workflows/{name}", world.url)).json(&body).send().await;
            assert!(put.expect("an answer").status().is_success(), "{name} is taken");
        }
        world
    }

    /// A run of so many steps, from its start to its result.
    async fn run(&self, workflow: &str, steps: u32) {
        let payload = json!({"order": 1, "items": ["pizza", "water"], "note": "60 bytes or so"});
        let body = json!({"workflow": workflow, "input": {"n": steps, "payload": payload}});
        let url = format!("{}/v1/namespaces/default/runs?wait=60s", self.url);
        let view: Value = self.http.post(url).json(&body).send().await.expect("an answer").json().await.expect("JSON");
        assert_eq!(view["result"], steps, "{view:#}");
    }

    async fn used(&self) -> Used {
        let metrics = self.http.get(format!("{}/metrics", self.url)).send().await.expect("an answer").text().await.expect("text");
        let sum = |begin: &str, having: &[&str]| -> f64 {
            let lines = metrics.lines().filter(|line| line.starts_with(begin) && having.iter().any(|part| line.contains(part)));
            lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
        };
        let operations = ["\"start\"", "\"claim\"", "\"commit\"", "\"finish\"", "\"chain\"", "\"release\"", "\"run\""];
        let info: String = redis::cmd("INFO").arg("all").query(&mut self.redis.connection()).expect("INFO");
        let number = |name: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("0");
            line.split(',').next().and_then(|text| text.trim().parse().ok()).unwrap_or(0.0)
        };
        let calls = info.lines().filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(":calls="));
        let calls: f64 = calls.filter_map(|(_, rest)| rest.split(',').next()?.parse::<f64>().ok()).sum();
        let scripts = number("cmdstat_fcall:calls=");
        let heap = ALLOCATOR.stats();
        Used {
            operations: sum("everloop_store_operation_seconds_count", &operations),
            exchanges: sum("everloop_requests_total", &["/v1/worker/poll", "/v1/worker/commit"]),
            scripts,
            commands: calls - scripts,
            wire: number("total_net_input_bytes:") + number("total_net_output_bytes:"),
            #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
            allocations: (heap.allocations + heap.reallocations) as f64,
            #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
            allocated: heap.bytes_allocated as f64,
        }
    }

    /// What so many runs of so many steps use, one after the other.
    async fn runs(&self, workflow: &str, count: u32, steps: u32) -> Used {
        let (before, began) = (self.used().await, Instant::now());
        for _ in 0..count {
            self.run(workflow, steps).await;
        }
        let (after, took) = (self.used().await, began.elapsed());
        // What is looked for from time to time, and the look at all this, is no part of a run: it is counted over an equal time of rest.
        tokio::time::sleep(took).await;
        let idle = self.used().await;
        let per = |of: fn(&Used) -> f64| ((of(&after) - of(&before)) - (of(&idle) - of(&after))) / f64::from(count);
        Used {
            operations: per(|used| used.operations),
            exchanges: per(|used| used.exchanges),
            scripts: per(|used| used.scripts),
            commands: per(|used| used.commands),
            wire: per(|used| used.wire),
            allocations: per(|used| used.allocations),
            allocated: per(|used| used.allocated),
        }
    }
}

impl Used {
    fn less(self, other: Self) -> Self {
        Self {
            operations: self.operations - other.operations,
            exchanges: self.exchanges - other.exchanges,
            scripts: self.scripts - other.scripts,
            commands: self.commands - other.commands,
            wire: self.wire - other.wire,
            allocations: self.allocations - other.allocations,
            allocated: self.allocated - other.allocated,
        }
    }

    fn over(self, steps: f64) -> Self {
        Self {
            operations: self.operations / steps,
            exchanges: self.exchanges / steps,
            scripts: self.scripts / steps,
            commands: self.commands / steps,
            wire: self.wire / steps,
            allocations: self.allocations / steps,
            allocated: self.allocated / steps,
        }
    }

    /// Prints the figures beside their bounds; the names of those that are over it.
    fn beyond(self, what: &str, bounds: Used) -> Vec<String> {
        let rows = [
            ("operations of the store", self.operations, bounds.operations),
            ("exchanges between worker and service", self.exchanges, bounds.exchanges),
            ("scripts in Redis", self.scripts, bounds.scripts),
            ("commands in Redis", self.commands, bounds.commands),
            ("bytes to Redis and back", self.wire, bounds.wire),
            ("allocations", self.allocations, bounds.allocations),
            ("bytes allocated", self.allocated, bounds.allocated),
        ];
        let mut beyond = Vec::new();
        for (name, value, bound) in rows {
            println!("{what}: {name} {value:.2}, at most {bound}");
            if value > bound {
                beyond.push(format!("{what}: {name} {value:.2}, at most {bound}"));
            }
        }
        beyond
    }
}

/// A tenth above what was measured; what polls look up by themselves, from time to time, has more room, and so have the tables of a
/// server, which grow by doubling. How many steps go together depends on time when the machine is slow: those have twice the room.
const STEP: Used =
    Used { operations: 1.3, exchanges: 1.1, scripts: 1.3, commands: 10.0, wire: 1_680.0, allocations: 292.0, allocated: 89_000.0 };
const STEP_AT_ONCE: Used =
    Used { operations: 0.2, exchanges: 0.2, scripts: 0.2, commands: 1.8, wire: 650.0, allocations: 110.0, allocated: 30_000.0 };
const RUN: Used =
    Used { operations: 2.3, exchanges: 2.2, scripts: 2.3, commands: 25.0, wire: 3_380.0, allocations: 700.0, allocated: 193_000.0 };
const SLEEPER_BYTES: f64 = 1_024.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_and_a_run_cost_no_more_than_they_did() {
    let world = World::start().await;
    // Connections, caches, realms.
    for _ in 0..20 {
        world.run("steps", 3).await;
        world.run("waiting", 3).await;
    }
    let run = world.runs("steps", 100, 1).await;
    let long = world.runs("steps", 10, 101).await;
    let mut beyond = run.beyond("a run of one step", RUN);
    beyond.extend(long.less(run).over(100.0).beyond("a further step, done at once", STEP_AT_ONCE));
    let run = world.runs("waiting", 20, 1).await;
    let long = world.runs("waiting", 5, 101).await;
    beyond.extend(long.less(run).over(100.0).beyond("a further step", STEP));

    let memory = |world: &World| -> f64 {
        let info: String = redis::cmd("INFO").arg("memory").query(&mut world.redis.connection()).expect("INFO");
        info.lines().find_map(|line| line.strip_prefix("used_memory:")?.trim().parse().ok()).expect("used_memory")
    };
    let before = memory(&world);
    let sleepers = 500_u32;
    for _ in 0..sleepers {
        let url = format!("{}/v1/namespaces/default/runs", world.url);
        let view: Value =
            world.http.post(url).json(&json!({"workflow": "sleeper"})).send().await.expect("an answer").json().await.expect("JSON");
        let url = format!("{}/v1/namespaces/default/runs/{}", world.url, view["id"].as_str().expect("an id"));
        loop {
            let view: Value = world.http.get(&url).send().await.expect("an answer").json().await.expect("JSON");
            if view["turns"] == 1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let each = (memory(&world) - before) / f64::from(sleepers);
    println!("a sleeping run: bytes in Redis {each:.0}, at most {SLEEPER_BYTES}");
    if each > SLEEPER_BYTES {
        beyond.push(format!("a sleeping run: bytes in Redis {each:.0}, at most {SLEEPER_BYTES}"));
    }
    world.stop.cancel();
    assert!(beyond.is_empty(), "more than it was:\n{}", beyond.join("\n"));
}
