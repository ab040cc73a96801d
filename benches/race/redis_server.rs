//! A Redis that has written and synced what it answers.

use std::path::Path;

use crate::port::free_port;
use crate::process::{Process, unprivileged};

pub struct Redis {
    pub port: u16,
    pub version: String,
    _process: Process,
}

impl Redis {
    pub async fn start(folder: &Path) -> Self {
        let port = free_port();
        let mut command = unprivileged("redis-server", folder);
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--appendonly", "yes", "--appendfsync", "always", "--save", ""]);
        command.arg("--dir").arg(folder);
        let mut process = Process::start("redis-server", command, folder);
        process.listens(port).await;
        let mut redis = Self { port, version: String::new(), _process: process };
        redis.version = redis.info("server", "redis_version").await;
        redis
    }

    pub async fn connect(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}/0", self.port)).expect("an address");
        client.get_multiplexed_async_connection().await.expect("redis answers")
    }

    /// One field of INFO.
    pub async fn info(&self, section: &str, field: &str) -> String {
        let info: String = redis::cmd("INFO").arg(section).query_async(&mut self.connect().await).await.expect("INFO");
        info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).expect("a field of INFO").trim().to_owned()
    }

    pub fn settings(&self) -> String {
        format!("Redis {}, appendonly yes, appendfsync always", self.version)
    }
}
