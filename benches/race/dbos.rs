//! DBOS: a library in a Node process, on Postgres.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use crate::load::{Batch, Load, Program};
use crate::peer::{Peer, installed, node};
use crate::postgres::Postgres;
use crate::process::{self, unprivileged};
use crate::system::{Settings, Slept, System};

/// Of one workflow: with these it takes a minute.
const STEPS_MAX: u32 = 20_000;

pub struct Dbos {
    program: Peer,
    _remote: Peer,
    postgres: Postgres,
    _folder: tempfile::TempDir,
}

impl Dbos {
    pub async fn start() -> Self {
        let folder = process::folder();
        let postgres = Postgres::start(folder.path()).await;
        postgres.create("dbos");
        let database = format!("postgres://race@127.0.0.1:{}/dbos", postgres.port);
        let start = async |name, role| {
            let mut command = unprivileged(node(), folder.path());
            command.arg(installed("dbos").join("main.ts")).arg(role).env("RACE_DATABASE", &database).env("NODE_ENV", "production");
            Peer::start(name, command, folder.path()).await
        };
        // One after the other: the first one makes the tables.
        let program = start("dbos", "first").await;
        let remote = start("dbos-remote", "remote").await;
        Self { program, _remote: remote, postgres, _folder: folder }
    }
}

#[async_trait(?Send)]
impl System for Dbos {
    fn name(&self) -> &'static str {
        "dbos"
    }

    fn settings(&self) -> Settings {
        Settings::from([
            ("version", "DBOS TypeScript 5.3.0, Node 24.22.3".into()),
            ("store", self.postgres.settings()),
            (
                "workers",
                "one Node process, pool of 40 connections, NODE_ENV=production; P5: a queue with another process, polled each 10 ms".into(),
            ),
            ("client", "in the same process: DBOS is a library, and calls are its quickest way".into()),
        ])
    }

    fn declines(&self, scenario: &str) -> Option<&'static str> {
        match scenario {
            "P8" => {
                Some("another process takes over only with Conductor, a hosted service; else a process of the same name has to start again")
            }
            "P7 cold" | "P10 evicted" => Some("a workflow that waits stays in memory; a process that starts takes all of them up at once"),
            _ => None,
        }
    }

    async fn runs(&self, program: Program, payload: &Value, load: Load) -> Batch {
        self.program.runs(program, payload, load).await
    }

    async fn signals(&self, window: Duration) -> Vec<f64> {
        self.program.signals(window).await
    }

    async fn cold_signal(&self, _: u32) -> Option<(u32, f64)> {
        None
    }

    async fn aged(&self, steps: u32) -> (u32, Vec<f64>) {
        self.program.aged(steps.min(STEPS_MAX)).await
    }

    async fn sleepers(&self, runs: u32, seconds: f64) -> Slept {
        self.program.sleepers(runs, seconds).await
    }

    async fn parked(&self, runs: u32) -> f64 {
        self.program.parked(runs).await
    }

    async fn start_second_worker(&self) {}

    fn kill_first_worker(&self) {}
}
