//! A fleet of real processes: a store, one or more queue services on fixed ports, workers. All end when it is dropped.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

pub use crate::process::{Process, free_port};

/// Where the runs live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    File,
    Redis,
    Valkey,
    /// Servers that are not the fleet's.
    Elsewhere,
}

pub struct Fleet {
    pub kind: StoreKind,
    pub folder: tempfile::TempDir,
    pub store_url: String,
    redis_port: u16,
    pub redis: Option<Process>,
    pub services: Vec<Option<Process>>,
    pub ports: Vec<u16>,
    pub workers: BTreeMap<String, Process>,
    /// Variables of every service.
    variables: Vec<(&'static str, String)>,
    started: u32,
}

impl Fleet {
    /// A store and `services` replicas of the queue service.
    pub async fn start(kind: StoreKind, services: usize) -> Self {
        Self::start_with(kind, services, Vec::new()).await
    }

    fn url(kind: StoreKind, folder: &tempfile::TempDir, redis_port: u16) -> String {
        match kind {
            StoreKind::File => format!("file:{}", folder.path().join("store.redb").display()),
            StoreKind::Redis | StoreKind::Valkey => format!("redis://127.0.0.1:{redis_port}/0"),
            StoreKind::Elsewhere => panic!("its address is given"),
        }
    }

    /// Likewise, with these variables of every service.
    pub async fn start_with(kind: StoreKind, services: usize, variables: Vec<(&'static str, String)>) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let redis_port = free_port();
        let store_url = Self::url(kind, &folder, redis_port);
        Self::start_in(kind, folder, store_url, redis_port, services, variables).await
    }

    /// A store that is there, and `services` replicas of the queue service with these variables.
    pub async fn on(store_url: String, services: usize, variables: Vec<(&'static str, String)>) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the test");
        Self::start_in(StoreKind::Elsewhere, folder, store_url, 0, services, variables).await
    }

    async fn start_in(
        kind: StoreKind,
        folder: tempfile::TempDir,
        store_url: String,
        redis_port: u16,
        services: usize,
        variables: Vec<(&'static str, String)>,
    ) -> Self {
        let mut fleet = Self {
            kind,
            folder,
            store_url,
            redis_port,
            redis: None,
            services: Vec::new(),
            ports: Vec::new(),
            workers: BTreeMap::new(),
            variables,
            started: 0,
        };
        fleet.start_redis();
        for _ in 0..services {
            fleet.ports.push(free_port());
            fleet.services.push(None);
        }
        for i in 0..services {
            fleet.start_service(i, &[]);
            fleet.ready(i).await;
        }
        fleet
    }

    pub fn start_redis(&mut self) {
        let program = match self.kind {
            StoreKind::File | StoreKind::Elsewhere => return,
            StoreKind::Redis => PathBuf::from("redis-server"),
            StoreKind::Valkey => PathBuf::from(
                std::env::var("EVERLOOP_TEST_VALKEY")
                    .expect("EVERLOOP_TEST_VALKEY is not set: run the tests by `make test`, which installs valkey-server"),
            ),
        };
        let mut command = Command::new(program);
        command.args([
            "--port",
            &self.redis_port.to_string(),
            "--bind",
            "127.0.0.1",
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
            "--save",
            "",
        ]);
        command.arg("--dir").arg(self.folder.path()).args(["--maxmemory-policy", "noeviction"]).stdout(Stdio::null());
        match command.spawn() {
            Ok(child) => {
                drop(self.redis.replace(Process::of("redis", child)));
            }
            Err(e) => panic!("redis-server does not start ({e}): apt-get install redis-server"),
        }
        let deadline = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", self.redis_port)).is_err() {
            assert!(Instant::now() < deadline, "redis does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn log(&self, name: &str) -> Stdio {
        let path = self.folder.path().join(format!("{name}.log"));
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path).expect("a log file");
        Stdio::from(file)
    }

    /// What a process wrote to its log.
    pub fn log_text(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(format!("{name}.log"))).unwrap_or_default()
    }

    pub fn start_service(&mut self, i: usize, env: &[(&str, &str)]) {
        let name = format!("queue-{i}");
        let mut command = Command::new(env!("CARGO_BIN_EXE_everloop"));
        command.args(["queue", "--listen", &format!("127.0.0.1:{}", self.ports[i]), "--store", &self.store_url]);
        command
            .env("EVERLOOP_SESSION_TTL", "2s")
            .envs(self.variables.iter().cloned())
            .envs(env.iter().copied())
            .stdout(Stdio::null())
            .stderr(self.log(&name));
        self.services[i] = Some(Process::spawn(&name, &mut command));
    }

    pub async fn ready(&mut self, i: usize) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Ok(answer) = reqwest::get(format!("{}/readyz", self.server(i))).await
                && answer.status().is_success()
            {
                return;
            }
            let alive = self.services[i].as_mut().is_some_and(Process::is_alive);
            assert!(alive, "queue-{i} has ended:\n{}", self.log_text(&format!("queue-{i}")));
            assert!(Instant::now() < deadline, "queue-{i} is not ready:\n{}", self.log_text(&format!("queue-{i}")));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn restart_service(&mut self, i: usize) {
        if let Some(mut service) = self.services[i].take() {
            service.kill();
        }
        self.start_service(i, &[]);
        self.ready(i).await;
    }

    pub fn server(&self, i: usize) -> String {
        format!("http://127.0.0.1:{}", self.ports[i])
    }

    pub fn add_worker(&mut self) -> String {
        self.add_worker_with(0, &[], &[])
    }

    pub fn add_worker_with(&mut self, service: usize, args: &[&str], env: &[(&str, &str)]) -> String {
        self.started += 1;
        let name = format!("w{}", self.started);
        let mut command = Command::new(env!("CARGO_BIN_EXE_everloop"));
        command.args(["worker", "--pool", "default", "--name", &name, "--allow-local"]).args(args);
        // One loop shares the hub's thread, two do not: both ways are taken. An argument, where there is one, counts more.
        let loops = if self.started % 2 == 1 { "1" } else { "2" };
        command.env("EVERLOOP_LOOPS", loops).env("EVERLOOP_SERVER", self.server(service)).envs(env.iter().copied());
        command.stdout(Stdio::null()).stderr(self.log(&name));
        self.workers.insert(name.clone(), Process::spawn(&name, &mut command));
        name
    }

    pub fn kill_worker(&mut self, name: &str) {
        self.workers.remove(name).unwrap_or_else(|| panic!("no worker {name}")).kill();
    }

    pub async fn apply(&self, workflow: &str, source: &str, activities: Value) {
        let body = serde_json::json!({"name": workflow, "pool": "default", "definition": {"source": source, "activities": activities}});
        let url = format!("{}/v1/namespaces/default/workflows/{workflow}", self.server(0));
        let answer = reqwest::Client::new().put(url).json(&body).send().await.expect("the service answers");
        let status = answer.status();
        assert!(status.is_success(), "{status}: {}", answer.text().await.unwrap_or_default());
    }
}
