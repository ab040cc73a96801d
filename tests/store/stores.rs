//! The stores under test. Another one is plugged in here: a function that opens it empty, and its name in the macro.

use std::any::Any;
use std::sync::Arc;

use everloop::store::op::Durability;
use everloop::store::{EmbeddedConfig, EmbeddedStore, Store};

/// Partitions of every store under test.
pub const PARTITIONS: u16 = 2;

/// An empty store, and what must live as long as it does (a folder, a server).
pub struct Opened {
    pub store: Arc<dyn Store>,
    pub keep: Box<dyn Any + Send + Sync>,
    /// What its answers may differ in from the embedded store's.
    pub leeway: Leeway,
}

/// Differences that the port allows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Leeway {
    /// What belongs to closed runs leaves queues and due things only when it is met: counts may be higher, dues earlier.
    pub lazy: bool,
}

/// In memory.
pub async fn memory() -> Opened {
    let store = EmbeddedStore::memory(PARTITIONS).expect("a store in memory");
    Opened { store: Arc::new(store), keep: Box::new(()), leeway: Leeway::default() }
}

/// In a file, without waiting for the disk: the kill test does that.
pub async fn file() -> Opened {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = EmbeddedConfig { durability: Durability::None, partitions: PARTITIONS, ..EmbeddedConfig::default() };
    let store = EmbeddedStore::open(folder.path().join("store.redb"), config).expect("a store in a file");
    Opened { store: Arc::new(store), keep: Box::new(folder), leeway: Leeway::default() }
}

/// Makes one test per case and store: `<store>::<case>`. A case is `async fn(World)`.
#[macro_export]
macro_rules! on_every_store {
    ($($case:ident),* $(,)?) => {
        on_every_store!(@on memory: $($case),*);
        on_every_store!(@on file: $($case),*);
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
