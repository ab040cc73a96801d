//! Restate: its server from npm, services of its TypeScript SDK, and the client of the benchmark at its HTTP ingress.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::http::Client;
use crate::load::{Batch, Load, Program, drive};
use crate::peer::{installed, node, numbers};
use crate::port::free_port;
use crate::process::{self, Process, now_ms, resident_bytes, unprivileged};
use crate::system::{Settings, Slept, System};

/// The server's settings that are not its defaults.
const SETTINGS: &str = "disable-telemetry = true\nlisten-mode = \"tcp\"\nbind-ip = \"127.0.0.1\"\ndefault-num-partitions = 4\n\
                        [default-retry-policy]\ninitial-interval = \"50ms\"\n";

pub struct Restate {
    ingress: Client,
    service_port: u16,
    waiting: Cell<u32>,
    workers: RefCell<Vec<Process>>,
    _remote: Process,
    _server: Process,
    folder: tempfile::TempDir,
}

fn service(folder: &Path, port: u16, role: &str) -> Process {
    let mut command = unprivileged(node(), folder);
    // It logs two lines a call otherwise.
    command.env("RESTATE_LOGGING", "ERROR").env("NODE_ENV", "production");
    command.arg(installed("restate").join("service.ts")).args([&port.to_string(), role]);
    Process::start("restate-service", command, folder)
}

impl Restate {
    pub async fn start() -> Self {
        let folder = process::folder();
        let (ingress, admin, internal) = (free_port(), free_port(), free_port());
        let config = folder.path().join("restate.toml");
        let ports = format!("[ingress]\nbind-port = {ingress}\n[admin]\nbind-port = {admin}\n");
        std::fs::write(&config, format!("bind-port = {internal}\n{SETTINGS}{ports}")).expect("a file");
        let binary = format!("node_modules/@restatedev/restate-server-linux-{}/bin/restate-server", node_arch());
        let mut command = unprivileged(installed("restate").join(binary), folder.path());
        command.arg("--config-file").arg(&config).arg("--base-dir").arg(folder.path().join("data")).arg("--no-logo");
        let mut server = Process::start("restate-server", command, folder.path());

        let (service_port, remote_port) = (free_port(), free_port());
        let mut worker = service(folder.path(), service_port, "first");
        let mut remote = service(folder.path(), remote_port, "remote");
        worker.listens(service_port).await;
        remote.listens(remote_port).await;
        server.listens(admin).await;
        server.listens(ingress).await;
        let registry = Client::new(admin);
        for port in [remote_port, service_port] {
            registry.post("/deployments", &json!({"uri": format!("http://127.0.0.1:{port}")})).await;
        }
        let workers = RefCell::new(vec![worker]);
        Self { ingress: Client::new(ingress), service_port, waiting: Cell::new(0), workers, _remote: remote, _server: server, folder }
    }

    /// Starts a workflow that waits for a signal after so many steps, and waits until it does; `meanwhile`; then from the signal to its result.
    async fn signalled(&self, service: &str, steps: u32, meanwhile: impl AsyncFn()) -> f64 {
        let url = format!("/{service}/{}", self.waiting.replace(self.waiting.get() + 1));
        let run = format!("{url}/run");
        let result = async {
            self.ingress.post(&run, &json!(steps)).await;
            Instant::now()
        };
        let signal = async {
            let deadline = Instant::now() + Duration::from_mins(5);
            tokio::time::sleep(Duration::from_millis(10)).await;
            while self.ingress.post(&format!("{url}/waits"), &Value::Null).await != true {
                assert!(Instant::now() < deadline, "{steps} steps do not end");
                tokio::time::sleep(Duration::from_millis(if steps == 0 { 1 } else { 100 })).await;
            }
            meanwhile().await;
            let begin = Instant::now();
            self.ingress.post(&format!("{url}/go"), &json!(1)).await;
            begin
        };
        let (end, begin) = futures_util::join!(result, signal);
        (end - begin).as_secs_f64() * 1_000.0
    }
}

fn node_arch() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" }
}

#[async_trait(?Send)]
impl System for Restate {
    fn name(&self) -> &'static str {
        "restate"
    }

    fn settings(&self) -> Settings {
        Settings::from([
            ("version", "restate-server 1.7.12, TypeScript SDK 1.17.2, Node 24.22.3".into()),
            ("store", "replicated loglet of one node, fsync of its log on (the default); 4 partitions".into()),
            ("workers", "one Node process, HTTP/2, NODE_ENV=production; steps are ctx.run, those of P5 durable calls of a service in another process".into()),
            ("client", "the race's, over HTTP at the ingress".into()),
        ])
    }

    fn declines(&self, scenario: &str) -> Option<&'static str> {
        (scenario == "P10 evicted")
            .then_some("what is suspended leaves Node's heap when that is collected, which does not show from outside")
    }

    async fn runs(&self, program: Program, payload: &Value, load: Load) -> Batch {
        let (url, input) = (format!("/race/{}", program.name()), program.input(payload));
        drive(load, async || {
            self.ingress.post(&url, &input).await;
        })
        .await
    }

    async fn signals(&self, window: Duration) -> Vec<f64> {
        let (begin, mut samples) = (Instant::now(), Vec::new());
        while begin.elapsed() < window {
            samples.push(self.signalled("waiting", 0, async || {}).await);
        }
        samples
    }

    async fn cold_signal(&self, steps: u32) -> Option<(u32, f64)> {
        // It is suspended a second after it began to wait.
        Some((steps, self.signalled("cold", steps, async || tokio::time::sleep(Duration::from_secs(4)).await).await))
    }

    async fn aged(&self, steps: u32) -> (u32, Vec<f64>) {
        (steps, numbers(&self.ingress.post("/race/aged", &json!(steps)).await))
    }

    async fn sleepers(&self, runs: u32, seconds: f64) -> Slept {
        let until = now_ms() + seconds * 1_000.0;
        let input = json!(until);
        let load = Load { at_once: 64, ..Load::burst(runs) };
        let started = drive(load, async || {
            self.ingress.post("/timers/sleeper/send", &input).await;
        });
        let starting_seconds = started.await.seconds;
        assert!(now_ms() < until, "{runs} starts took {starting_seconds} s");
        tokio::time::sleep(Duration::from_secs_f64((until - now_ms()).max(0.0) / 1_000.0)).await;
        while self.ingress.post("/timers/woken", &Value::Null).await.as_u64() < Some(u64::from(runs)) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Slept { starting_seconds, late_seconds: (now_ms() - until) / 1_000.0, store_bytes: None }
    }

    async fn parked(&self, runs: u32) -> f64 {
        let load = Load { at_once: 64, ..Load::burst(runs) };
        drive(load, async || {
            let url = format!("/waiting/{}", self.waiting.replace(self.waiting.get() + 1));
            self.ingress.post(&format!("{url}/run/send"), &json!(0)).await;
            while self.ingress.post(&format!("{url}/waits"), &Value::Null).await != true {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        resident_bytes(self.workers.borrow()[0].child.id())
    }

    async fn start_second_worker(&self) {
        let worker = service(self.folder.path(), self.service_port, "second");
        // It shares the port of the first, so that nothing tells from outside when it listens.
        tokio::time::sleep(Duration::from_secs(1)).await;
        self.workers.borrow_mut().push(worker);
    }

    fn kill_first_worker(&self) {
        self.workers.borrow_mut().remove(0).kill();
    }
}
