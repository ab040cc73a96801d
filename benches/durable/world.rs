//! The processes that are measured, and the client that measures them.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::http::Client;

pub struct World {
    pub redis_port: u16,
    pub client: Client,
    pub folder: tempfile::TempDir,
    pub worker: Child,
    service: Child,
    redis: Child,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port()
}

pub const ONE_STEP: &str = "export default async function one(input) { return await step(input); }";
pub const STEPS: &str =
    "export default async function steps(input) { for (let i = 0; i < input.n; i++) await step(input.payload); return input.n; }";
pub const SIGNALLED: &str =
    "import { signal } from \"everloop\"; export default async function signalled() { return await signal(\"go\"); }";
pub const SLEEPER: &str = "import { sleep } from \"everloop\"; export default async function sleeper() { await sleep(\"1h\"); }";

impl World {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (redis_port, port) = (free_port(), free_port());
        let redis = Command::new("redis-server")
            .args([
                "--port",
                &redis_port.to_string(),
                "--bind",
                "127.0.0.1",
                "--appendonly",
                "yes",
                "--appendfsync",
                "always",
                "--save",
                "",
            ])
            .arg("--dir")
            .arg(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server does not start: apt-get install redis-server");
        let program = &std::env::var("EVERLOOP_BENCH_PROGRAM").unwrap_or_else(|_| env!("CARGO_BIN_EXE_everloop").to_owned());
        while std::net::TcpStream::connect(("127.0.0.1", redis_port)).is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let service = Command::new(program)
            .args([
                "queue",
                "--listen",
                &format!("127.0.0.1:{port}"),
                "--store",
                &format!("redis://127.0.0.1:{redis_port}/0"),
                "--durability",
                "strict",
            ])
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
        let world = Self { redis_port, client, folder, worker, service, redis };
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

    /// The service, Redis and the worker, by number.
    pub fn processes(&self) -> [u32; 3] {
        [self.service.id(), self.redis.id(), self.worker.id()]
    }

    /// Resident memory of a process, in bytes.
    pub fn resident_bytes(pid: u32) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process of ours");
        let line = status.lines().find(|l| l.starts_with("VmRSS:")).expect("VmRSS");
        line.split_whitespace().nth(1).and_then(|kb| kb.parse::<f64>().ok()).expect("a number") * 1_024.0
    }

    pub async fn redis(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}/0", self.redis_port)).expect("an address");
        client.get_multiplexed_async_connection().await.expect("redis answers")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for child in [&mut self.worker, &mut self.service, &mut self.redis] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
