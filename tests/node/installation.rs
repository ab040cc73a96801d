//! Everloop as its chart installs it, once for all tests of this program, and for each test a namespace with the food order and the
//! shop that it calls, whose ledger tells what was done how often.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use everloop::api::Name;
use everloop::client::{Client, ClientConfig, Patience};

use crate::cluster::{EVERLOOP, PATIENCE, cluster};
use crate::namespace::Namespace;

/// Where the chart is installed.
pub const NAMESPACE: &str = "everloop";
/// Images of the tests (scripts/build-image), and what a small machine has room for.
const VALUES: [&str; 4] = [
    "image.repository=localhost/everloop,image.tag=test",
    "redis.image.repository=localhost/redis,redis.image.tag=test",
    "redis.storage.size=1Gi",
    "defaultPool.spec.replicas=3",
];

/// Labels of the pods.
pub const QUEUE: &str = "app.kubernetes.io/component=queue";
pub const WORKERS: &str = "app.kubernetes.io/component=worker";
pub const OPERATOR: &str = "app.kubernetes.io/component=operator";

/// What the chart has installed, ready. Tests share it: whatever one does to it, the others must bear.
pub fn everloop() -> &'static Namespace {
    static RELEASE: OnceLock<Namespace> = OnceLock::new();
    RELEASE.get_or_init(|| {
        let namespace = Namespace::new(NAMESPACE);
        install(&namespace);
        namespace
    })
}

/// By Helm, and waits until all of it is ready.
pub fn install(namespace: &Namespace) {
    let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/everloop");
    let values = VALUES.iter().flat_map(|value| ["--set", value]);
    let install = ["install", "everloop", chart, "--namespace", NAMESPACE, "--wait", "--timeout", "5m"];
    let arguments: Vec<&str> = install.into_iter().chain(values).collect();
    cluster().helm(&arguments);
    until_ready(namespace);
}

/// Waits until all that the chart brings is ready, and the pool that the operator makes.
pub fn until_ready(namespace: &Namespace) {
    for ready in ["statefulset/everloop-redis", "deployment/everloop-queue", "deployment/everloop-operator"] {
        namespace.until_ready(ready);
    }
    namespace.until_condition("elp/default", "Ready", "True");
}

static DISTURBED: Mutex<()> = Mutex::new(());

/// As long as this lives nobody else kills or replaces parts of the release. To be taken before an installation.
pub struct Disturbance {
    _guard: MutexGuard<'static, ()>,
}

pub fn disturbance() -> Disturbance {
    Disturbance { _guard: DISTURBED.lock().unwrap_or_else(PoisonError::into_inner) }
}

static IN_USE: RwLock<()> = RwLock::new(());

/// As long as this lives nobody else uses the release, which may be taken away.
pub struct Alone {
    _guard: RwLockWriteGuard<'static, ()>,
}

pub fn alone() -> Alone {
    Alone { _guard: IN_USE.write().unwrap_or_else(PoisonError::into_inner) }
}

/// Over the queue's service, patient enough for each fault of these tests.
pub async fn client(namespace: &str) -> Client {
    Client::new(ClientConfig {
        server: cluster().reach(NAMESPACE, "everloop-queue", 7400).await,
        namespace: namespace.parse::<Name>().expect("a name"),
        token: None,
        patience: Patience { unreachable: PATIENCE, unanswered: Duration::from_mins(1) },
    })
    .expect("a client")
}

pub struct Installation {
    /// The test's.
    pub namespace: Namespace,
    _in_use: RwLockReadGuard<'static, ()>,
}

impl Installation {
    /// Everything ready, with the food order in a namespace of this name.
    pub fn new(name: &str) -> Self {
        let in_use = IN_USE.read().unwrap_or_else(PoisonError::into_inner);
        everloop();
        let namespace = Namespace::new(name);
        namespace.apply(&include_str!("shop.yaml").replace("EVERLOOP-IMAGE", EVERLOOP));
        let shop = format!("http://shop.{name}:7411");
        namespace.apply(&include_str!("../../examples/order-status.yaml").replace("http://127.0.0.1:7411", &shop));
        namespace.until_ready("deployment/shop");
        namespace.until_condition("elw/order-status", "Ready", "True");
        Self { namespace, _in_use: in_use }
    }

    pub async fn client(&self) -> Client {
        client(&self.namespace.0).await
    }
}
