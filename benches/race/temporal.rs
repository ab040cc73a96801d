//! Temporal: its four services in one process, on Postgres; a worker and client of its Go SDK. Tuned and as it comes.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::load::{Batch, Load, Program};
use crate::peer::{Peer, installed};
use crate::port::free_port;
use crate::postgres::{Postgres, done};
use crate::process::{self, Process, give, unprivileged};
use crate::system::{Settings, Slept, System};

/// A workflow of more steps meets the limit of 51,200 events.
const STEPS_MAX: u32 = 8_000;

/// With these a workflow shows how it ages in half of a minute or a little more.
const AGED_STEPS: u32 = 4_000;

const VERSION: &str = "v1.31.2";

pub fn server() -> PathBuf {
    installed("bin").join(format!("temporal-server-{VERSION}"))
}

/// The program of the race.
pub fn program() -> PathBuf {
    installed("bin").join("temporal-race")
}

pub struct Temporal {
    tuned: bool,
    address: String,
    program: Peer,
    /// Those of the workflow that loses its worker.
    workers: RefCell<Vec<Peer>>,
    _remote: Peer,
    _server: Process,
    postgres: Postgres,
    folder: TempDir,
}

impl Temporal {
    /// Starts it on a copy of the databases with its tables, which the first one makes.
    pub async fn start(tuned: bool, tables: &RefCell<Option<TempDir>>) -> Self {
        if tables.borrow().is_none() {
            let made = databases().await;
            *tables.borrow_mut() = Some(made);
        }
        let folder = process::folder();
        let mut copy = unprivileged("cp", folder.path());
        copy.arg("-a").arg(tables.borrow().as_ref().expect("made above").path().join("postgres")).arg(folder.path());
        done(copy);
        let postgres = Postgres::start(folder.path()).await;
        let (mut server, address) = start_server(folder.path(), postgres.port, tuned);
        server.listens(address).await;
        let address = format!("127.0.0.1:{address}");
        let program = start_program(folder.path(), &address, tuned, "both").await;
        server.must_live();
        let remote = start_program(folder.path(), &address, tuned, "remote").await;
        let temporal = Self { tuned, address, program, workers: RefCell::default(), _remote: remote, _server: server, postgres, folder };
        temporal.start_second_worker().await;
        temporal
    }
}

/// Postgres' data with Temporal's tables in it.
async fn databases() -> TempDir {
    let folder = process::folder();
    let postgres = Postgres::start(folder.path()).await;
    for (database, schema) in [("temporal", "temporal"), ("temporal_visibility", "visibility")] {
        postgres.create(database);
        make_tables(folder.path(), postgres.port, database, schema);
    }
    postgres.stop();
    folder
}

fn make_tables(folder: &Path, port: u16, database: &str, schema: &str) {
    let run = |arguments: &[&str]| {
        let mut command = unprivileged(installed("bin").join(format!("temporal-sql-{VERSION}")), folder);
        command.args(["--plugin", "postgres12", "--endpoint", "127.0.0.1", "--port", &port.to_string(), "--user", "race"]);
        command.args(["--password", "race", "--database", database]).args(arguments);
        done(command);
    };
    run(&["setup-schema", "-v", "0.0"]);
    run(&["update-schema", "--schema-name", &format!("postgresql/v12/{schema}")]);
}

/// The server, and the port of its frontend.
fn start_server(folder: &Path, postgres: u16, tuned: bool) -> (Process, u16) {
    let dynamic = folder.join("dynamic.yaml");
    std::fs::write(&dynamic, if tuned { include_str!("temporal/tuned.yaml") } else { include_str!("temporal/stock.yaml") })
        .expect("a file");
    let (plugin, shards, connections, visibility) = if tuned { ("postgres12_pgx", 128, 60, 20) } else { ("postgres12", 4, 20, 2) };
    let mut config = include_str!("temporal/server.yaml")
        .replace("{plugin}", plugin)
        .replace("{shards}", &shards.to_string())
        .replace("{connections}", &connections.to_string())
        .replace("{visibility}", &visibility.to_string())
        .replace("{postgres}", &postgres.to_string())
        .replace("{dynamic}", &dynamic.display().to_string());
    let mut frontend = 0;
    for n in 1..=9 {
        let port = free_port();
        config = config.replace(&format!("{{p{n}}}"), &port.to_string());
        if n == 1 {
            frontend = port;
        }
    }
    let file = folder.join("server.yaml");
    std::fs::write(&file, config).expect("a file");
    give(&file);
    let mut command = unprivileged(server(), folder);
    command.arg("--config-file").arg(&file).args(["--allow-no-auth", "start"]);
    if tuned {
        command.env("GOGC", "400");
    }
    (Process::start("temporal-server", command, folder), frontend)
}

async fn start_program(folder: &Path, address: &str, tuned: bool, role: &str) -> Peer {
    let mut command = unprivileged(program(), folder);
    command.args(["-address", address, "-role", role, &format!("-tuned={tuned}")]);
    if tuned {
        command.env("GOGC", "400");
    }
    Peer::start("temporal-program", command, folder).await
}

#[async_trait(?Send)]
impl System for Temporal {
    fn name(&self) -> &'static str {
        if self.tuned { "temporal" } else { "temporal-stock" }
    }

    fn settings(&self) -> Settings {
        let server = if self.tuned {
            "128 shards, plugin postgres12_pgx, 60 + 20 connections, GOGC=400, benches/race/temporal/tuned.yaml (eager activities, one partition for each task queue, limits raised)"
        } else {
            "as it comes: 4 shards, plugin postgres12, 20 + 2 connections, no dynamic configuration"
        };
        let workers = if self.tuned { "32 pollers of each kind, eager workflow start, GOGC=400" } else { "the SDK's defaults" };
        Settings::from([
            ("version", format!("Temporal {VERSION}, Go SDK v1.51.0")),
            ("store", self.postgres.settings()),
            ("server", server.into()),
            ("workers", format!("one Go process, {workers}; P5: activities in another process; P8: a heartbeat time-out of 1 s")),
            ("client", "in the worker's process, which eager starts need".into()),
        ])
    }

    fn declines(&self, scenario: &str) -> Option<&'static str> {
        match scenario {
            "P10 evicted" => Some("its worker's cache has no bound in bytes, and Go gives memory back late"),
            "P1" | "P2" | "P3" => None,
            _ => (!self.tuned).then_some("its stock settings are shown for the first three; all are measured tuned"),
        }
    }

    async fn runs(&self, program: Program, payload: &Value, load: Load) -> Batch {
        self.program.runs(program, payload, load).await
    }

    async fn signals(&self, window: Duration) -> Vec<f64> {
        self.program.signals(window).await
    }

    async fn cold_signal(&self, steps: u32) -> Option<(u32, f64)> {
        let steps = steps.min(STEPS_MAX);
        let answer = self.program.ask(json!({"ask": "cold", "steps": steps})).await;
        Some((steps, answer["ms"].as_f64().expect("a time")))
    }

    async fn aged(&self, steps: u32) -> (u32, Vec<f64>) {
        self.program.aged(steps.min(AGED_STEPS)).await
    }

    async fn sleepers(&self, runs: u32, seconds: f64) -> Slept {
        self.program.sleepers(runs, seconds).await
    }

    async fn parked(&self, runs: u32) -> f64 {
        self.program.parked(runs).await
    }

    async fn start_second_worker(&self) {
        let worker = start_program(self.folder.path(), &self.address, self.tuned, "slow").await;
        self.workers.borrow_mut().push(worker);
    }

    fn kill_first_worker(&self) {
        self.workers.borrow_mut().remove(0).process.kill();
    }
}
