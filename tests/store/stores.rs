//! The stores under test. Another one is plugged in here: a function that opens it empty, and its name in the macro.

use std::any::Any;
use std::sync::Arc;

use everloop::store::op::Durability;
use everloop::store::redis::{RedisConfig, RedisStore};
use everloop::store::{EmbeddedConfig, EmbeddedStore, Store};

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
    on_server(RedisServer::start(&MEMORY)).await
}

/// On Valkey 9.
pub async fn valkey() -> Opened {
    on_server(RedisServer::start_program(&crate::server::valkey(), &MEMORY)).await
}

/// Makes one test per case and store: `<store>::<case>`. A case is `async fn(World)`.
#[macro_export]
macro_rules! on_every_store {
    ($($case:ident),* $(,)?) => {
        on_every_store!(@on memory: $($case),*);
        on_every_store!(@on file: $($case),*);
        on_every_store!(@on redis: $($case),*);
        on_every_store!(@on valkey: $($case),*);
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
