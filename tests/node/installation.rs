//! Everloop in a namespace of a test: Redis with a volume, two queue services, two operators, three workers, and the shop of the food
//! order, whose ledger tells what was done how often.

use std::time::Duration;

use everloop::api::Name;
use everloop::client::{Client, ClientConfig, Patience};

use crate::cluster::{EVERLOOP, PATIENCE, REDIS, cluster};
use crate::namespace::Namespace;

/// Labels of the pods.
pub const QUEUE: &str = "app=queue";
pub const WORKERS: &str = "app.kubernetes.io/component=worker";
pub const OPERATOR: &str = "app=operator";

pub struct Installation {
    pub namespace: Namespace,
}

impl Installation {
    /// Everything ready.
    pub fn new(name: &str) -> Self {
        let namespace = Namespace::new(name);
        let manifest =
            include_str!("installation.yaml").replace("NAMESPACE", name).replace("EVERLOOP-IMAGE", EVERLOOP).replace("REDIS-IMAGE", REDIS);
        namespace.apply(&manifest);
        namespace.apply(&include_str!("../../examples/order-status.yaml").replace("http://127.0.0.1:7411", "http://shop:7411"));
        for ready in ["statefulset/redis", "deployment/queue", "deployment/operator", "deployment/shop"] {
            namespace.until_ready(ready);
        }
        namespace.until_condition("elp/default", "Ready", "True");
        namespace.until_condition("elw/order-status", "Ready", "True");
        Self { namespace }
    }

    /// Over the queue's service, patient enough for each fault of these tests.
    pub async fn client(&self) -> Client {
        Client::new(ClientConfig {
            server: cluster().reach(&self.namespace.0, "queue", 7400).await,
            namespace: self.namespace.0.parse::<Name>().expect("a name"),
            token: None,
            patience: Patience { unreachable: PATIENCE, unanswered: Duration::from_mins(1) },
        })
        .expect("a client")
    }
}
