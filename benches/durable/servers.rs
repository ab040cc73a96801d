//! Redis that has written and synced what it answers: one, or several as a Redis Cluster without replicas.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::port::free_port;

/// Longest wait for a server that starts, or for servers that meet.
const READY_WITHIN: Duration = Duration::from_secs(40);
const SLOTS: u16 = 16_384;

pub struct Redis {
    pub port: u16,
    pub child: Child,
}

impl Redis {
    pub async fn start(folder: &Path, more: &[&str]) -> Self {
        Self::start_on(free_port(), folder, more).await
    }

    /// With its data in a folder, which may have some already.
    pub async fn start_on(port: u16, folder: &Path, more: &[&str]) -> Self {
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
        command.args(["--appendonly", "yes", "--appendfsync", "always", "--dir"]).arg(folder).args(more);
        let child = command.stdout(Stdio::null()).spawn().expect("redis-server does not start: apt-get install redis-server");
        let mut redis = Self { port, child };
        let deadline = Instant::now() + READY_WITHIN;
        while !redis.answers().await {
            assert!(Instant::now() < deadline, "Redis does not answer");
            assert!(redis.child.try_wait().expect("a child").is_none(), "Redis has ended");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        redis
    }

    /// Whether it has loaded what it has.
    async fn answers(&self) -> bool {
        let Ok(mut connection) = self.client().get_multiplexed_async_connection().await else { return false };
        redis::cmd("PING").query_async::<String>(&mut connection).await.is_ok()
    }

    fn client(&self) -> redis::Client {
        redis::Client::open(format!("redis://127.0.0.1:{}/0", self.port)).expect("an address")
    }

    pub async fn connect(&self) -> redis::aio::MultiplexedConnection {
        self.client().get_multiplexed_async_connection().await.expect("redis answers")
    }

    pub async fn info(&self, section: &str) -> String {
        redis::cmd("INFO").arg(section).query_async(&mut self.connect().await).await.expect("INFO")
    }

    async fn tell<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        redis::cmd("CLUSTER")
            .arg(command)
            .query_async(&mut self.connect().await)
            .await
            .unwrap_or_else(|e| panic!("CLUSTER {command:?}: {e}"))
    }

    /// How many messages it has sent to other servers because somebody published one; 0 without a cluster.
    pub async fn passed_on(&self) -> f64 {
        let info: redis::RedisResult<String> = redis::cmd("CLUSTER").arg("INFO").query_async(&mut self.connect().await).await;
        field(&info.unwrap_or_default(), "cluster_stats_messages_publish_sent:")
    }

    /// Ends it with everything in its files.
    pub async fn stop(&mut self) {
        let _: redis::RedisResult<()> = redis::cmd("SHUTDOWN").query_async(&mut self.connect().await).await;
        self.child.wait().expect("a child");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A number of INFO; 0 where there is none.
pub fn field(info: &str, name: &str) -> f64 {
    info.lines().find_map(|line| line.strip_prefix(name)).and_then(|text| text.trim().parse().ok()).unwrap_or(0.0)
}

/// So many primaries for as many partitions: each has one of them.
pub async fn cluster(folder: &Path, primaries: usize) -> Vec<Redis> {
    let mut servers = Vec::new();
    for n in 0..primaries {
        let (data, bus) = (folder.join(format!("primary-{n}")), free_port());
        std::fs::create_dir(&data).expect("a folder");
        servers.push(
            Redis::start(&data, &["--cluster-enabled", "yes", "--cluster-port", &bus.to_string(), "--auto-aof-rewrite-percentage", "0"])
                .await,
        );
    }
    // In the midst between the slots of two partitions the part of the next server begins.
    let mut slots = Vec::new();
    for n in 0..primaries {
        slots.push(servers[0].tell::<u16>(&["KEYSLOT", &format!("{{e{n}}}")]).await);
    }
    slots.sort_unstable();
    let begins: Vec<u16> = std::iter::once(0).chain(slots.windows(2).map(|pair| pair[0].midpoint(pair[1]) + 1)).chain([SLOTS]).collect();
    for (server, range) in servers.iter().zip(begins.windows(2)) {
        server.tell::<()>(&["ADDSLOTSRANGE", &range[0].to_string(), &(range[1] - 1).to_string()]).await;
    }
    for other in &servers[1..] {
        let bus: Vec<String> =
            redis::cmd("CONFIG").arg(&["GET", "cluster-port"]).query_async(&mut other.connect().await).await.expect("its port");
        servers[0].tell::<()>(&["MEET", "127.0.0.1", &other.port.to_string(), &bus[1]]).await;
    }
    let deadline = Instant::now() + READY_WITHIN;
    for server in &servers {
        loop {
            let state: String = server.tell(&["INFO"]).await;
            if state.contains("cluster_state:ok") && state.contains(&format!("cluster_known_nodes:{primaries}\r")) {
                break;
            }
            assert!(Instant::now() < deadline, "they do not become a cluster: {state}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    servers
}
