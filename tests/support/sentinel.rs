//! A primary, two replicas and three Sentinels of a test's own, on ports of 127.0.0.1, killed when they are dropped.

#![allow(dead_code, reason = "not every test group does everything to its servers")]

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::certificates::Authority;
use crate::process::{Process, free_port};

/// The name by which Sentinel knows the primary.
pub const NAME: &str = "main";
/// Of the servers.
pub const PASSWORD: &str = "the-servers-password";
/// Of the Sentinels themselves.
pub const SENTINEL_PASSWORD: &str = "the-sentinels-password";
const SERVERS: usize = 3;
/// How long a server may be silent.
const DOWN_AFTER_MS: u32 = 1_000;

/// What a store that may fail over asks of its servers.
pub const FIT: [&str; 6] = ["--appendonly", "yes", "--appendfsync", "always", "--min-replicas-to-write", "1"];

/// Three servers and three Sentinels, which agree by two.
pub struct Watched {
    pub folder: tempfile::TempDir,
    /// Signs for all of them, when they speak TLS and nothing else.
    pub authority: Option<Authority>,
    servers: Vec<(u16, Option<Process>)>,
    sentinels: Vec<(u16, Process)>,
}

impl Watched {
    /// The first server is the primary. `more` are arguments of both.
    pub fn start(more: &[&str]) -> Self {
        Self::start_with(more, None)
    }

    /// Likewise, all over TLS.
    pub fn start_over_tls(more: &[&str]) -> Self {
        Self::start_with(more, Some(Authority::new()))
    }

    fn start_with(more: &[&str], authority: Option<Authority>) -> Self {
        let mut watched = Self {
            folder: tempfile::tempdir().expect("a folder for the test"),
            authority,
            servers: (0..SERVERS).map(|_| (free_port(), None)).collect(),
            sentinels: Vec::new(),
        };
        let primary = watched.servers[0].0;
        watched.start_server(0, more);
        let replica_of = format!("127.0.0.1 {primary}");
        for server in 1..SERVERS {
            watched.start_server(server, &[more, &["--replicaof", &replica_of]].concat());
        }
        let follows = |server| watched.info(server).is_some_and(|info| info.contains("master_link_status:up"));
        until("the replicas follow", || (1..SERVERS).all(follows));
        for _ in 0..3 {
            watched.start_sentinel(primary);
        }
        until("the Sentinels know the replicas and each other", || {
            watched.sentinels.iter().all(|(port, _)| {
                let known = watched.ask(*port, SENTINEL_PASSWORD, &["INFO", "sentinel"]).unwrap_or_default();
                known.contains("slaves=2,sentinels=3")
            })
        });
        watched
    }

    /// The address of the store.
    pub fn url(&self) -> String {
        let sentinels: Vec<String> = self.sentinels.iter().map(|(port, _)| format!("127.0.0.1:{port}")).collect();
        let scheme = if self.authority.is_some() { "rediss" } else { "redis" };
        format!("{scheme}+sentinel://:{PASSWORD}@{}/{NAME}", sentinels.join(","))
    }

    /// The address of a replica, as if it were all there is.
    pub fn replica_url(&self) -> String {
        format!("redis://:{PASSWORD}@127.0.0.1:{}", self.servers[1].0)
    }

    /// What a server says of its replication, when it answers.
    pub fn info(&self, server: usize) -> Option<String> {
        self.ask(self.servers[server].0, PASSWORD, &["INFO", "replication"])
    }

    /// The server that is the primary, when one is.
    pub fn primary(&self) -> Option<usize> {
        (0..SERVERS).find(|server| self.is_primary(*server))
    }

    /// Waits until the replicas have all that the primary has.
    pub fn wait_for_replicas(&self, primary: usize) {
        let all = format!("{}", SERVERS - 1);
        let mut connection = self.connection(primary);
        let offset = |info: &str, name: &str| info.lines().find_map(|line| line.strip_prefix(name).map(|text| text.trim().to_owned()));
        until("the replicas have it all", || {
            let info: String = redis::cmd("INFO").arg("replication").query(&mut connection).expect("the primary answers");
            let offset = offset(&info, "master_repl_offset:").expect("an offset");
            info.contains(&format!("connected_slaves:{all}")) && info.matches(&format!("offset={offset},")).count() == SERVERS - 1
        });
    }

    /// A plain connection to a server.
    pub fn connection(&self, server: usize) -> redis::Connection {
        self.connect(self.servers[server].0, PASSWORD).expect("the server answers")
    }

    fn is_primary(&self, server: usize) -> bool {
        self.info(server).is_some_and(|info| info.contains("role:master"))
    }

    /// `kill -9`.
    pub fn kill_server(&mut self, server: usize) {
        self.servers[server].1.take().expect("it runs").kill();
    }

    /// On what it has on its disk; Sentinel makes a replica of it when there is another primary.
    pub fn start_server(&mut self, server: usize, more: &[&str]) {
        let port = self.servers[server].0.to_string();
        let folder = self.make_folder(&format!("server-{server}"));
        let mut command = Command::new("redis-server");
        command.args(self.listening(&port).iter().flat_map(|(name, value)| [format!("--{name}"), value.clone()]));
        command.args(["--bind", "127.0.0.1", "--requirepass", PASSWORD, "--masterauth", PASSWORD]);
        command.args(["--save", "", "--repl-diskless-sync-delay", "0", "--dir"]).arg(folder).args(more);
        let process = spawn("redis-server", &mut command);
        self.servers[server].1 = Some(process);
        until("a server answers", || {
            let process = self.servers[server].1.as_mut().expect("it was started");
            assert!(process.is_alive(), "redis-server on 127.0.0.1:{port} has ended");
            self.info(server).is_some()
        });
    }

    fn start_sentinel(&mut self, primary: u16) {
        let port = free_port();
        let file = self.make_folder(&format!("sentinel-{}", self.sentinels.len())).join("sentinel.conf");
        let listening: String = self.listening(&port.to_string()).iter().map(|(name, value)| format!("{name} {value}\n")).collect();
        let text = format!(
            "{listening}bind 127.0.0.1\nrequirepass {SENTINEL_PASSWORD}\nsentinel sentinel-pass {SENTINEL_PASSWORD}\n\
             sentinel monitor {NAME} 127.0.0.1 {primary} 2\nsentinel auth-pass {NAME} {PASSWORD}\n\
             sentinel down-after-milliseconds {NAME} {DOWN_AFTER_MS}\nsentinel failover-timeout {NAME} 5000\n"
        );
        // It writes what it learns into its own file.
        std::fs::write(&file, text).expect("a file");
        let process = spawn("sentinel", Command::new("redis-server").arg(&file).arg("--sentinel"));
        self.sentinels.push((port, process));
        until("a Sentinel answers", || self.ask(port, SENTINEL_PASSWORD, &["INFO", "sentinel"]).is_some());
    }

    /// Where a process listens, as settings.
    fn listening(&self, port: &str) -> Vec<(&'static str, String)> {
        let Some(authority) = &self.authority else { return vec![("port", port.to_owned())] };
        let certificate = authority.sign("server", &["127.0.0.1"]);
        let path = |path: &std::path::Path| path.display().to_string();
        vec![
            ("port", "0".to_owned()),
            ("tls-port", port.to_owned()),
            ("tls-cert-file", path(&certificate.certificate)),
            ("tls-key-file", path(&certificate.key)),
            ("tls-ca-cert-file", path(&authority.file())),
            ("tls-replication", "yes".to_owned()),
            ("tls-auth-clients", "optional".to_owned()),
        ]
    }

    fn connect(&self, port: u16, password: &str) -> redis::RedisResult<redis::Connection> {
        let client = match &self.authority {
            None => redis::Client::open(format!("redis://:{password}@127.0.0.1:{port}"))?,
            Some(authority) => {
                let root_cert = Some(std::fs::read(authority.file()).expect("the authority"));
                let certificates = redis::TlsCertificates { root_cert, client_tls: None };
                redis::Client::build_with_tls(format!("rediss://:{password}@127.0.0.1:{port}"), certificates)?
            }
        };
        client.get_connection_with_timeout(Duration::from_secs(2))
    }

    fn ask(&self, port: u16, password: &str, command: &[&str]) -> Option<String> {
        let mut connection = self.connect(port, password).ok()?;
        redis::cmd(command[0]).arg(&command[1..]).query(&mut connection).ok()
    }

    fn make_folder(&self, name: &str) -> PathBuf {
        let folder = self.folder.path().join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        folder
    }
}

fn spawn(name: &str, command: &mut Command) -> Process {
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    Process::of(name, child.unwrap_or_else(|e| panic!("redis-server does not start ({e}): apt-get install redis-server")))
}

pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(40);
    while !holds() {
        assert!(Instant::now() < deadline, "not within 40 s: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
