//! The processes that are measured, and the client that measures them.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::http::Client;
use crate::port::free_port;
use crate::servers::{self, Redis};

pub struct World {
    pub client: Client,
    pub folder: tempfile::TempDir,
    pub worker: Child,
    pub service: Child,
    /// One, or the primaries of a cluster.
    pub redis: Vec<Redis>,
}

pub const ONE_STEP: &str = "export default async function one(input) { return await step(input); }";
pub const STEPS: &str =
    "export default async function steps(input) { for (let i = 0; i < input.n; i++) await step(input.payload); return input.n; }";
pub const SIGNALLED: &str =
    "import { signal } from \"everloop\"; export default async function signalled() { return await signal(\"go\"); }";
pub const SLEEPER: &str = "import { sleep } from \"everloop\"; export default async function sleeper() { await sleep(\"24h\"); }";

impl World {
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// On one Redis, with more arguments for the service.
    pub async fn start_with(more: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let redis = Redis::start(folder.path(), &[]).await;
        let store = format!("redis://127.0.0.1:{}/0", redis.port);
        Self::on(folder, vec![redis], &[&["--store", &store, "--durability", "strict"], more].concat()).await
    }

    /// On a cluster of so many primaries with a partition each. All of them sync what they answer; the service promises nothing,
    /// because a cluster without replicas is none that it would promise anything on.
    pub async fn start_on_cluster(primaries: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let redis = servers::cluster(folder.path(), primaries).await;
        let store = format!("redis+cluster://127.0.0.1:{}", redis[0].port);
        let partitions = primaries.to_string();
        Self::on(folder, redis, &["--store", &store, "--durability", "none", "--partitions", &partitions]).await
    }

    async fn on(folder: tempfile::TempDir, redis: Vec<Redis>, more: &[&str]) -> Self {
        let program = &std::env::var("EVERLOOP_BENCH_PROGRAM").unwrap_or_else(|_| env!("CARGO_BIN_EXE_everloop").to_owned());
        let port = free_port();
        let service = Command::new(program)
            .args(["queue", "--listen", &format!("127.0.0.1:{port}")])
            .args(more)
            .stderr(Stdio::null())
            .spawn()
            .expect("the service");
        let server = format!("http://127.0.0.1:{port}");
        let deadline = Instant::now() + Duration::from_secs(30);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "the service does not get ready");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let client = Client::new(port);
        client.get("/readyz").await;
        let worker = Command::new(program)
            .args(["worker", "--pool", "default", "--server", &server, "--name", "bench", "--loops", "1"])
            .stderr(Stdio::null())
            .spawn()
            .expect("the worker");
        let world = Self { client, folder, worker, service, redis };
        let activities = json!({"step": {"script": "export default async (argument) => argument;"}});
        for (name, source) in [("one", ONE_STEP), ("steps", STEPS), ("signalled", SIGNALLED), ("sleeper", SLEEPER)] {
            let body = json!({"name": name, "pool": "default", "definition": {"source": source, "activities": activities}});
            world.client.put(&format!("/v1/namespaces/default/workflows/{name}"), &body).await;
        }
        world
    }

    /// Starts a run and waits for its result: the time from the request to the answer, in milliseconds.
    pub async fn start_and_wait(&self, workflow: &str, input: &Value) -> f64 {
        let begin = Instant::now();
        let view = self.client.post("/v1/namespaces/default/runs?wait=60s", &json!({"workflow": workflow, "input": input})).await;
        assert_eq!(view["status"], "Completed", "{view}");
        begin.elapsed().as_secs_f64() * 1_000.0
    }

    /// Starts a run; its id.
    pub async fn start_run(&self, workflow: &str, input: &Value) -> String {
        let view = self.client.post("/v1/namespaces/default/runs", &json!({"workflow": workflow, "input": input})).await;
        view["id"].as_str().unwrap_or_else(|| panic!("{view}")).to_owned()
    }

    /// Resident memory of a process, in bytes.
    pub fn resident_bytes(pid: u32) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process of ours");
        let line = status.lines().find(|l| l.starts_with("VmRSS:")).expect("VmRSS");
        line.split_whitespace().nth(1).and_then(|kb| kb.parse::<f64>().ok()).expect("a number") * 1_024.0
    }

    /// To the first Redis.
    pub async fn redis(&self) -> redis::aio::MultiplexedConnection {
        self.redis[0].connect().await
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for child in [&mut self.worker, &mut self.service] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
