//! Everloop: the service, one worker with one event loop, and the client of the benchmark over HTTP.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::http::Client;
use crate::load::{Batch, Load, Program, drive};
use crate::peer::numbers;
use crate::port::free_port;
use crate::process::{self, Process, now_ms, resident_bytes, unprivileged};
use crate::redis_server::Redis;
use crate::system::{Settings, Slept, System};

/// Ours, or another build that the caller names.
fn program() -> String {
    std::env::var("EVERLOOP_BENCH_PROGRAM").unwrap_or_else(|_| env!("CARGO_BIN_EXE_everloop").to_owned())
}

/// The word by which this program serves the queue `race` as another process.
pub const QUEUE_ROLE: &str = "serve-queue";

const WORKFLOWS: [(&str, &str); 8] = [
    ("one", "export default async function one(input) { return await step(input); }"),
    ("steps", "export default async function steps({ n, payload }) { for (let i = 0; i < n; i++) await step(payload); return n; }"),
    ("waits", "export default async function waits({ n, payload }) { for (let i = 0; i < n; i++) await later(payload); return n; }"),
    ("slow", "export default async function slow({ n, ms }) { for (let i = 0; i < n; i++) await pause(ms); return n; }"),
    (
        "fanout",
        "export default async function fanout({ n, payload }) { return (await Promise.all(Array.from({ length: n }, () => remote(payload)))).length; }",
    ),
    (
        "waiting",
        "import { signal } from \"everloop\"; export default async function waiting(n) { for (let i = 0; i < n; i++) await step({ order: 1, note: \"60 bytes or so\" }); return await signal(\"go\"); }",
    ),
    (
        "sleeper",
        "import { sleep } from \"everloop\"; export default async function sleeper(until) { await sleep(Math.max(0, until - Date.now())); return 1; }",
    ),
    (
        "aged",
        "export default async function aged(n) { const at = [10, 10 + n / 10, n - n / 10, n].map(Math.floor), times = []; for (let i = 1; i <= n; i++) { const now = await clock(i); if (at.includes(i)) times.push(now); } return times; }",
    ),
];

pub struct Everloop {
    name: &'static str,
    port: u16,
    client: Client,
    workers: RefCell<Vec<Process>>,
    _queue: Process,
    _service: Process,
    redis: Option<Redis>,
    folder: tempfile::TempDir,
}

impl Everloop {
    pub async fn start(on_redis: bool) -> Self {
        let folder = process::folder();
        let redis = if on_redis { Some(Redis::start(folder.path()).await) } else { None };
        let store = match &redis {
            Some(redis) => format!("redis://127.0.0.1:{}/0", redis.port),
            None => format!("file:{}", folder.path().join("everloop.redb").display()),
        };
        let port = free_port();
        let mut command = unprivileged(program(), folder.path());
        command.args(["queue", "--listen", &format!("127.0.0.1:{port}"), "--store", &store, "--durability", "strict"]);
        let mut service = Process::start("everloop-queue", command, folder.path());
        service.listens(port).await;
        let client = Client::new(port);
        client.get("/readyz").await;

        let mut command = unprivileged(std::env::current_exe().expect("this program"), folder.path());
        command.args([QUEUE_ROLE, &port.to_string()]);
        let queue = Process::start("queue-program", command, folder.path());
        let name = if on_redis { "everloop-redis" } else { "everloop-embedded" };
        let everloop = Self { name, port, client, workers: RefCell::default(), _queue: queue, _service: service, redis, folder };
        everloop.start_second_worker().await;
        let activities = json!({
            "step": {"script": "export default async (argument) => argument;"},
            "later": {"script": "export default async (argument) => { await new Promise((done) => setTimeout(done, 0)); return argument; };"},
            "pause": {"script": "export default async (ms) => { await new Promise((done) => setTimeout(done, ms)); return ms; };"},
            "clock": {"script": "export default async () => Date.now();"},
            "remote": {"queue": "race"},
        });
        for (name, source) in WORKFLOWS {
            let used: serde_json::Map<String, Value> = activities.as_object().expect("an object").clone();
            let used: serde_json::Map<String, Value> =
                used.into_iter().filter(|(activity, _)| source.contains(&format!("{activity}("))).collect();
            let body = json!({"name": name, "pool": "default", "definition": {"source": source, "activities": used}});
            everloop.client.put(&format!("/v1/namespaces/default/workflows/{name}"), &body).await;
        }
        everloop
    }

    async fn run(&self, body: &Value) -> Value {
        let mut view = self.client.post("/v1/namespaces/default/runs?wait=60s", body).await;
        // The service lets nobody wait longer than a minute; the race gives a scenario up in the end.
        while view["status"] == "Running" {
            let url = format!("/v1/namespaces/default/runs/{}?wait=60s", view["id"].as_str().expect("an id"));
            view = self.client.get(&url).await;
        }
        assert_eq!(view["status"], "Completed", "{view}");
        view
    }

    async fn redis_bytes(&self) -> Option<f64> {
        let text = self.redis.as_ref()?.info("memory", "used_memory").await;
        Some(text.parse().expect("a number"))
    }

    /// How many runs of a workflow are open.
    async fn open(&self, workflow: &str) -> u64 {
        let answer = self.client.get("/v1/operator/open-runs").await;
        let versions = answer["versions"].as_array().expect("a list").iter();
        versions.filter(|version| version["workflow"] == workflow).map(|version| version["runs"].as_u64().expect("a number")).sum()
    }

    /// Starts a run that waits for a signal after so many steps, and waits until it does; `meanwhile`; then from the signal to its result.
    async fn signalled(&self, steps: u32, meanwhile: impl AsyncFn()) -> f64 {
        let id = self.client.post("/v1/namespaces/default/runs", &json!({"workflow": "waiting", "input": steps})).await["id"].clone();
        let url = format!("/v1/namespaces/default/runs/{}", id.as_str().expect("an id"));
        let deadline = Instant::now() + Duration::from_mins(5);
        while self.client.get(&url).await["turns"].as_u64() < Some(u64::from(steps) + 1) {
            assert!(Instant::now() < deadline, "{steps} steps do not end");
            tokio::time::sleep(Duration::from_millis(if steps == 0 { 1 } else { 100 })).await;
        }
        meanwhile().await;
        let wait = format!("{url}?wait=60s");
        let result = async {
            let view = self.client.get(&wait).await;
            assert_eq!(view["status"], "Completed", "{view}");
            Instant::now()
        };
        let signal = async {
            tokio::time::sleep(Duration::from_millis(2)).await;
            let begin = Instant::now();
            self.client.post(&format!("{url}/signals/go"), &json!(1)).await;
            begin
        };
        let (end, begin) = futures_util::join!(result, signal);
        (end - begin).as_secs_f64() * 1_000.0
    }

    async fn start_worker(&self, more: &[&str]) {
        let mut command = unprivileged(program(), self.folder.path());
        let (server, name) = (format!("http://127.0.0.1:{}", self.port), format!("{}-{}", self.name, free_port()));
        command.args(["worker", "--pool", "default", "--server", &server, "--loops", "1", "--name", &name]).args(more);
        let mut worker = Process::start("everloop-worker", command, self.folder.path());
        let deadline = Instant::now() + process::READY_WITHIN;
        while !self.client.get("/v1/workers").await.to_string().contains(&name) {
            worker.must_live();
            assert!(Instant::now() < deadline, "{name} does not connect: {}", worker.last_words());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.workers.borrow_mut().push(worker);
    }
}

#[async_trait(?Send)]
impl System for Everloop {
    fn name(&self) -> &'static str {
        self.name
    }

    fn settings(&self) -> Settings {
        let store = self.redis.as_ref().map_or_else(|| "embedded file (redb)".into(), Redis::settings);
        Settings::from([
            ("version", format!("Everloop {}", env!("CARGO_PKG_VERSION"))),
            ("store", format!("{store}; service --durability strict")),
            ("workers", "one process, --loops 1; activities are scripts, which settle at once but for those of P8 and go up to 32 to a commit; those of P5 a queue that a Rust program serves over HTTP".into()),
            ("client", "the race's, over HTTP".into()),
        ])
    }

    fn declines(&self, _: &str) -> Option<&'static str> {
        None
    }

    async fn runs(&self, program: Program, payload: &Value, load: Load) -> Batch {
        let body = json!({"workflow": program.name(), "input": program.input(payload)});
        drive(load, async || {
            self.run(&body).await;
        })
        .await
    }

    async fn waiting_steps(&self, payload: &Value, load: Load) -> Option<Batch> {
        let body = json!({"workflow": "waits", "input": Program::Steps(10).input(payload)});
        let batch = drive(load, async || {
            self.run(&body).await;
        });
        Some(batch.await)
    }

    async fn signals(&self, window: Duration) -> Vec<f64> {
        let (begin, mut samples) = (Instant::now(), Vec::new());
        while begin.elapsed() < window {
            samples.push(self.signalled(0, async || {}).await);
        }
        samples
    }

    async fn cold_signal(&self, steps: u32) -> Option<(u32, f64)> {
        let restart = async || {
            self.kill_first_worker();
            self.start_second_worker().await;
            // Its first run is another one: what is measured is not its start.
            self.run(&json!({"workflow": "one", "input": 1})).await;
        };
        Some((steps, self.signalled(steps, restart).await))
    }

    async fn aged(&self, steps: u32) -> (u32, Vec<f64>) {
        (steps, numbers(&self.run(&json!({"workflow": "aged", "input": steps})).await["result"]))
    }

    async fn sleepers(&self, runs: u32, seconds: f64) -> Slept {
        let before = self.redis_bytes().await;
        let until = now_ms() + seconds * 1_000.0;
        let body = json!({"workflow": "sleeper", "input": until});
        let load = Load { at_once: 64, ..Load::burst(runs) };
        let started = drive(load, async || {
            self.client.post("/v1/namespaces/default/runs", &body).await;
        });
        let starting_seconds = started.await.seconds;
        assert!(now_ms() < until, "{runs} starts took {starting_seconds} s");
        let store_bytes = self.redis_bytes().await.zip(before).map(|(after, before)| (after - before) / f64::from(runs));
        tokio::time::sleep(Duration::from_secs_f64((until - now_ms()).max(0.0) / 1_000.0)).await;
        while self.open("sleeper").await > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Slept { starting_seconds, late_seconds: (now_ms() - until) / 1_000.0, store_bytes }
    }

    async fn parked(&self, runs: u32) -> f64 {
        let urls = RefCell::new(Vec::new());
        let load = Load { at_once: 64, ..Load::burst(runs) };
        let body = json!({"workflow": "waiting", "input": 0});
        drive(load, async || {
            let view = self.client.post("/v1/namespaces/default/runs", &body).await;
            urls.borrow_mut().push(format!("/v1/namespaces/default/runs/{}", view["id"].as_str().expect("an id")));
        })
        .await;
        for url in urls.into_inner() {
            while self.client.get(&url).await["turns"] != 1 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        resident_bytes(self.workers.borrow()[0].child.id())
    }

    async fn evicted(&self) -> Option<f64> {
        self.kill_first_worker();
        self.start_worker(&["--cache-mb", "1"]).await;
        // These fill the cache, and the room that the engine lets grow before it collects what is gone.
        let before = self.parked(10_000).await;
        let runs = 20_000;
        Some((self.parked(runs).await - before) / f64::from(runs))
    }

    async fn start_second_worker(&self) {
        self.start_worker(&[]).await;
    }

    fn kill_first_worker(&self) {
        self.workers.borrow_mut().remove(0).kill();
    }
}

/// Serves the queue `race`: takes what waits, and answers each task with its argument. While some are answered others are taken.
pub async fn serve_queue(port: u16) {
    let client = Client::new(port);
    let serve = async || loop {
        let tasks = client.post("/v1/namespaces/default/queues/race/poll", &json!({"max": 100, "wait": "20s"})).await;
        let tasks = tasks["tasks"].as_array().expect("a list");
        if tasks.is_empty() {
            continue;
        }
        let settled: Vec<_> = tasks.iter().map(|task| json!({"token": task["token"], "result": task["argument"]})).collect();
        client.post("/v1/activities/settle", &json!({"tasks": settled})).await;
    };
    futures_util::future::join_all((0..4).map(|_| serve())).await;
}
