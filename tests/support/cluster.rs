//! A Redis Cluster of a test's own: three primaries, each with a replica when it is wanted, on ports of 127.0.0.1.

#![allow(dead_code, reason = "not every test group does everything to its servers")]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::process::{Process, free_port};

/// What a store that may fail over asks of its servers.
pub const FIT: [&str; 6] = ["--appendonly", "yes", "--appendfsync", "always", "--min-replicas-to-write", "1"];

const PRIMARIES: usize = 3;
/// Where the slots of each begin: so that the store's own keys (15363), partition 0 (652) and partition 1 (4781) are on three servers.
const BEGINS: [usize; PRIMARIES + 1] = [0, 2_048, 10_923, 16_384];

struct Server {
    port: u16,
    bus: u16,
    process: Option<Process>,
}

pub struct Cluster {
    folder: tempfile::TempDir,
    arguments: Vec<String>,
    servers: Vec<Server>,
}

impl Cluster {
    /// `replicas` of each primary; `arguments` of each server.
    pub fn start(replicas: usize, arguments: &[&str]) -> Self {
        let number = PRIMARIES * (1 + replicas);
        let mut cluster = Self {
            folder: tempfile::tempdir().expect("a folder for the test"),
            arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
            servers: (0..number).map(|_| Server { port: free_port(), bus: free_port(), process: None }).collect(),
        };
        for server in 0..number {
            cluster.start_server(server);
        }
        for primary in 0..PRIMARIES {
            let (first, end) = (BEGINS[primary], BEGINS[primary + 1]);
            cluster.tell::<()>(primary, &["ADDSLOTSRANGE", &first.to_string(), &(end - 1).to_string()]);
        }
        for other in &cluster.servers[1..] {
            cluster.tell::<()>(0, &["MEET", "127.0.0.1", &other.port.to_string(), &other.bus.to_string()]);
        }
        let all = format!("cluster_known_nodes:{number}");
        until("they have met", || (0..number).all(|server| cluster.state(server).is_some_and(|state| state.contains(&all))));
        for replica in PRIMARIES..number {
            let primary: String = cluster.tell(replica % PRIMARIES, &["MYID"]);
            until("a replica knows its primary", || cluster.try_tell::<redis::Value>(replica, &["REPLICATE", &primary]).is_ok());
        }
        until("the cluster begins", || {
            (0..number).all(|server| cluster.state(server).is_some_and(|state| state.contains("cluster_state:ok")))
        });
        for replica in PRIMARIES..number {
            until("a replica follows", || cluster.replication(replica).is_some_and(|info| info.contains("master_link_status:up")));
        }
        cluster
    }

    /// The address of the store, by the first and the last server.
    pub fn url(&self) -> String {
        format!("redis+cluster://127.0.0.1:{},127.0.0.1:{}", self.servers[0].port, self.servers[self.servers.len() - 1].port)
    }

    /// The address of one server, as if it were all there is.
    pub fn url_of(&self, server: usize) -> String {
        format!("redis://127.0.0.1:{}", self.servers[server].port)
    }

    /// A plain connection to a server.
    pub fn connection(&self, server: usize) -> redis::Connection {
        self.try_connection(server).expect("the server answers")
    }

    /// Takes all data away, and no slots.
    pub fn empty(&self) {
        for primary in 0..PRIMARIES {
            redis::cmd("FLUSHALL").exec(&mut self.connection(primary)).expect("an empty server");
        }
    }

    /// How many keys a server has.
    pub fn keys(&self, server: usize) -> usize {
        redis::cmd("DBSIZE").query(&mut self.connection(server)).expect("the server answers")
    }

    /// The primary that has the slot of a key.
    pub fn primary_of(&self, key: &str) -> usize {
        let slot: usize = self.tell(0, &["KEYSLOT", key]);
        (0..PRIMARIES).rfind(|primary| BEGINS[*primary] <= slot).expect("the first begins at 0")
    }

    /// Its replica.
    pub fn replica_of(&self, primary: usize) -> usize {
        let replica = primary + PRIMARIES;
        assert!(replica < self.servers.len(), "the cluster has no replicas");
        replica
    }

    pub fn is_primary(&self, server: usize) -> bool {
        self.replication(server).is_some_and(|info| info.contains("role:master"))
    }

    /// Whether a server follows another one and is in time.
    pub fn follows(&self, server: usize) -> bool {
        self.replication(server).is_some_and(|info| info.contains("role:slave") && info.contains("master_link_status:up"))
    }

    /// Waits until the replica of a primary has all that it has.
    pub fn wait_for_replica(&self, primary: usize) {
        until("the replica has it all", || {
            let info = self.replication(primary).expect("the primary answers");
            let offset = info.lines().find_map(|line| line.strip_prefix("master_repl_offset:")).expect("an offset");
            info.contains(&format!("offset={},", offset.trim()))
        });
    }

    /// `kill -9`.
    pub fn kill_server(&mut self, server: usize) {
        self.servers[server].process.take().expect("it runs").kill();
    }

    pub fn start_server(&mut self, server: usize) {
        let Server { port, bus, .. } = self.servers[server];
        let folder = self.folder.path().join(server.to_string());
        std::fs::create_dir_all(&folder).expect("a folder");
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--cluster-port", &bus.to_string()]);
        command.args(["--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-replica-validity-factor", "0"]);
        command.args(["--save", "", "--repl-diskless-sync-delay", "0", "--dir"]).arg(folder).args(&self.arguments);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.unwrap_or_else(|e| panic!("redis-server does not start ({e}): apt-get install redis-server"));
        self.servers[server].process = Some(Process::of("redis-server", child));
        until("a server answers", || {
            let process = self.servers[server].process.as_mut().expect("it was started");
            assert!(process.is_alive(), "redis-server on 127.0.0.1:{port} and {bus} has ended");
            self.state(server).is_some()
        });
    }

    /// Sends a server a `CLUSTER` command.
    pub fn tell<T: redis::FromRedisValue>(&self, server: usize, command: &[&str]) -> T {
        self.try_tell(server, command).unwrap_or_else(|error| panic!("CLUSTER {command:?}: {error}"))
    }

    fn try_tell<T: redis::FromRedisValue>(&self, server: usize, command: &[&str]) -> redis::RedisResult<T> {
        redis::cmd("CLUSTER").arg(command).query(&mut self.try_connection(server)?)
    }

    fn try_connection(&self, server: usize) -> redis::RedisResult<redis::Connection> {
        redis::Client::open(self.url_of(server))?.get_connection_with_timeout(Duration::from_secs(2))
    }

    fn state(&self, server: usize) -> Option<String> {
        self.try_tell(server, &["INFO"]).ok()
    }

    fn replication(&self, server: usize) -> Option<String> {
        redis::cmd("INFO").arg("replication").query(&mut self.try_connection(server).ok()?).ok()
    }
}

pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(40);
    while !holds() {
        assert!(Instant::now() < deadline, "not within 40 s: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
