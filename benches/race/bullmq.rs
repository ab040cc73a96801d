//! BullMQ: a queue without history on the same Redis, as an upper reference.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use crate::load::{Batch, Load, Program};
use crate::peer::{Peer, installed, node};
use crate::process::{self, unprivileged};
use crate::redis_server::Redis;
use crate::system::{Settings, Slept, System};

pub struct BullMq {
    client: Peer,
    _worker: Peer,
    redis: Redis,
    _folder: tempfile::TempDir,
}

impl BullMq {
    pub async fn start() -> Self {
        let folder = process::folder();
        let redis = Redis::start(folder.path()).await;
        let start = async |name, role| {
            let mut command = unprivileged(node(), folder.path());
            command
                .arg(installed("bullmq").join("main.ts"))
                .arg(role)
                .env("RACE_REDIS", redis.port.to_string())
                .env("NODE_ENV", "production");
            Peer::start(name, command, folder.path()).await
        };
        let worker = start("bullmq-worker", "worker").await;
        let client = start("bullmq-client", "client").await;
        Self { client, _worker: worker, redis, _folder: folder }
    }
}

#[async_trait(?Send)]
impl System for BullMq {
    fn name(&self) -> &'static str {
        "bullmq"
    }

    fn settings(&self) -> Settings {
        Settings::from([
            ("version", "BullMQ 6.7.0, ioredis 6.0.0, Node 24.22.3".into()),
            ("store", self.redis.settings()),
            ("workers", "one Node process, concurrency 256, removeOnComplete 1000, NODE_ENV=production".into()),
            ("client", "a Node process of its own: Queue.add and waitUntilFinished; P5: a flow of a job and its children".into()),
        ])
    }

    fn declines(&self, scenario: &str) -> Option<&'static str> {
        (!matches!(scenario, "P1" | "P3" | "P5")).then_some("a queue has no history: no further steps, no signals, nothing to replay")
    }

    async fn runs(&self, program: Program, payload: &Value, load: Load) -> Batch {
        self.client.runs(program, payload, load).await
    }

    async fn signals(&self, _: Duration) -> Vec<f64> {
        Vec::new()
    }

    async fn cold_signal(&self, _: u32) -> Option<(u32, f64)> {
        None
    }

    async fn aged(&self, steps: u32) -> (u32, Vec<f64>) {
        self.client.aged(steps).await
    }

    async fn sleepers(&self, runs: u32, seconds: f64) -> Slept {
        self.client.sleepers(runs, seconds).await
    }

    async fn parked(&self, runs: u32) -> f64 {
        self.client.parked(runs).await
    }

    async fn start_second_worker(&self) {}

    fn kill_first_worker(&self) {}
}
