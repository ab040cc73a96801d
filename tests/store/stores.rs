//! The stores under test. Another one is plugged in here: a function that opens it empty, and its name in the macro.

use std::any::Any;
use std::sync::Arc;

use everloop::store::op::Durability;
use everloop::store::redis::{RedisAccess, RedisConfig, RedisStore};
use everloop::store::{EmbeddedConfig, EmbeddedStore, Store};

use crate::certificates::Authority;
use crate::cluster::Cluster;
use crate::process::free_port;
use crate::server::{MEMORY, RedisServer};

/// Partitions of every store under test.
pub const PARTITIONS: u16 = 2;

/// An empty store, and what must live as long as it does (a folder, a server).
pub struct Opened {
    pub store: Arc<dyn Store>,
    pub keep: Box<dyn Any + Send + Sync>,
}

/// In memory.
pub async fn memory() -> Opened {
    let store = EmbeddedStore::memory(PARTITIONS).expect("a store in memory");
    Opened { store: Arc::new(store), keep: Box::new(()) }
}

/// In a file, without waiting for the disk: the kill test does that.
pub async fn file() -> Opened {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = EmbeddedConfig { durability: Durability::None, partitions: PARTITIONS, ..EmbeddedConfig::default() };
    let store = EmbeddedStore::open(folder.path().join("store.redb"), config).expect("a store in a file");
    Opened { store: Arc::new(store), keep: Box::new(folder) }
}

/// On a server of its own, which keeps nothing: the crash tests are about what is kept.
async fn on_server(server: RedisServer) -> Opened {
    let config = RedisConfig { durability: Durability::None, partitions: PARTITIONS, ..RedisConfig::new(server.url()) };
    let store = RedisStore::open(config).await.expect("a store on a fresh server");
    Opened { store: Arc::new(store), keep: Box::new(server) }
}

/// On Debian's Redis 7.0.
pub async fn redis() -> Opened {
    let opened = on_server(RedisServer::start(&MEMORY)).await;
    let kind = opened.store.info().kind;
    assert!(kind.starts_with("redis 7.0."), "the suite is for Redis 7.0, the oldest that is supported, not {kind}");
    opened
}

/// On Valkey 9.
pub async fn valkey() -> Opened {
    let opened = on_server(RedisServer::start_program(&crate::server::valkey(), &MEMORY)).await;
    let kind = opened.store.info().kind;
    assert!(kind.starts_with("valkey 9."), "the suite is for Valkey 9, not {kind}");
    opened
}

/// A Redis that is a cluster of one, where a call must stay within one slot. It takes seconds to begin, so cases share it.
pub fn cluster() -> RedisServer {
    // The bus of a cluster wants a port of its own, by default 10000 higher, which may be none.
    let (port, bus) = (free_port().to_string(), free_port().to_string());
    let server =
        RedisServer::start(&["--save", "", "--cluster-enabled", "yes", "--bind", "127.0.0.1", "--port", &port, "--cluster-port", &bus]);
    let mut connection = server.connection();
    ::redis::cmd("CLUSTER").arg(&["ADDSLOTSRANGE", "0", "16383"]).exec(&mut connection).expect("the slots are its own");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !::redis::cmd("CLUSTER").arg("INFO").query::<String>(&mut connection).expect("its state").contains("cluster_state:ok") {
        assert!(std::time::Instant::now() < deadline, "the cluster does not begin");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    server
}

/// A Redis that speaks TLS, asks for a password, and is shared by cases.
pub struct TlsServer {
    pub server: RedisServer,
    pub authority: Authority,
    pub port: u16,
}

/// Its password.
pub const PASSWORD: &str = "s3cret/of@the#test";

/// Starts one whose certificate is for these names; `more` are arguments of the server.
pub fn tls(hosts: &[&str], more: &[&str]) -> TlsServer {
    let (authority, port) = (Authority::new(), free_port());
    let certificate = authority.sign("server", hosts);
    let path = |path: &std::path::Path| path.display().to_string();
    let arguments = [
        ("--bind", "127.0.0.1".to_owned()),
        ("--tls-port", port.to_string()),
        ("--tls-cert-file", path(&certificate.certificate)),
        ("--tls-key-file", path(&certificate.key)),
        ("--tls-ca-cert-file", path(&authority.file())),
        ("--tls-auth-clients", "no".to_owned()),
        ("--save", String::new()),
    ];
    let arguments = arguments.iter().flat_map(|(name, value)| [*name, value]).chain(more.iter().copied()).collect::<Vec<_>>();
    let server = RedisServer::start(&arguments);
    // By its socket, where the test itself is known without a password: a user of its own has one.
    let rules = ["SETUSER", "everloop", "on", &format!(">{PASSWORD}"), "~*", "&*", "+@all"];
    ::redis::cmd("ACL").arg(&rules).exec(&mut server.connection()).expect("a user");
    TlsServer { server, authority, port }
}

impl TlsServer {
    /// How a store reaches it.
    pub fn config(&self) -> RedisConfig {
        let access = RedisAccess {
            password: Some(PASSWORD.to_owned()),
            ca: Some(std::fs::read(self.authority.file()).expect("the authority")),
            ..RedisAccess::default()
        };
        let url = format!("rediss://everloop@127.0.0.1:{}", self.port);
        RedisConfig { durability: Durability::None, partitions: PARTITIONS, access, ..RedisConfig::new(url) }
    }
}

/// An empty store in a cluster that others have used before.
pub async fn emptied_cluster(cluster: &Cluster) -> Opened {
    cluster.empty();
    let config = RedisConfig { durability: Durability::None, partitions: PARTITIONS, ..RedisConfig::new(cluster.url()) };
    let store = RedisStore::open(config).await.expect("a store in an empty cluster");
    Opened { store: Arc::new(store), keep: Box::new(()) }
}

/// An empty store on a server that others have used before.
pub async fn emptied(server: &RedisServer) -> Opened {
    let config = RedisConfig { durability: Durability::None, partitions: PARTITIONS, ..RedisConfig::new(server.url()) };
    emptied_with(server, config).await
}

/// Likewise, reached in some way.
pub async fn emptied_with(server: &RedisServer, config: RedisConfig) -> Opened {
    ::redis::cmd("FLUSHALL").exec(&mut server.connection()).expect("an empty server");
    let store = RedisStore::open(config).await.expect("a store on an empty server");
    Opened { store: Arc::new(store), keep: Box::new(()) }
}

/// Makes one test per case and store: `<store>::<case>`. A case is `async fn(World)`.
#[macro_export]
macro_rules! on_every_store {
    ($($case:ident),* $(,)?) => {
        on_every_store!(@on memory: $($case),*);
        on_every_store!(@on file: $($case),*);
        on_every_store!(@on redis: $($case),*);
        on_every_store!(@on valkey: $($case),*);
        mod tls {
            #[tokio::test(flavor = "multi_thread")]
            async fn all_of_it_holds_over_tls() {
                let tls = $crate::stores::tls(&["127.0.0.1"], &[]);
                $(super::$case($crate::world::World::on($crate::stores::emptied_with(&tls.server, tls.config()).await).await).await;)*
            }
        }
        mod cluster_of_three {
            #[tokio::test(flavor = "multi_thread")]
            async fn all_of_it_holds_in_a_cluster() {
                let cluster = $crate::cluster::Cluster::start(0, &[]);
                $(super::$case($crate::world::World::on($crate::stores::emptied_cluster(&cluster).await).await).await;)*
            }
        }
        mod cluster {
            #[tokio::test(flavor = "multi_thread")]
            async fn rule_20_each_call_stays_within_one_slot() {
                let server = $crate::stores::cluster();
                $(super::$case($crate::world::World::on($crate::stores::emptied(&server).await).await).await;)*
            }
        }
    };
    (@on $store:ident: $($case:ident),*) => {
        mod $store {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                super::$case($crate::world::World::on($crate::stores::$store().await).await).await;
            })*
        }
    };
}
