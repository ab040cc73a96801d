//! Parts die while orders go on.

use std::time::Duration;

use crate::cluster::cluster;
use crate::installation::{Installation, OPERATOR, QUEUE, WORKERS};
use crate::orders::Orders;

#[tokio::test(flavor = "multi_thread")]
async fn orders_end_right_and_are_charged_once_whatever_dies_and_however_it_is_scaled() {
    let installation = Installation::new("faults");
    let namespace = &installation.namespace;
    let orders = Orders::start(&installation, 300, Duration::from_secs(30)).await;

    let kill = |label: &str| {
        let victim = namespace.pods(label).first().unwrap_or_else(|| panic!("no pod of {label}")).clone();
        namespace.kubectl(&["delete", "pod", &victim, "--grace-period=0", "--force"]);
    };
    // A worker, with the runs in its memory.
    kill(WORKERS);
    // One of two queue services.
    kill(QUEUE);
    namespace.until_ready("deployment/queue");
    // Redis, whose volume stays; it comes back as it was.
    cluster().kill_container(&namespace.0, "redis-0");
    namespace.until("Redis is started again", "pod/redis-0", |pod| {
        let container = &pod["status"]["containerStatuses"][0];
        container["restartCount"].as_u64() > Some(0) && container["ready"] == true || container["ready"] == true && cluster_is_foreign()
    });
    kill(OPERATOR);
    namespace.until_ready("deployment/operator");
    for replicas in [1, 4] {
        namespace.kubectl(&["scale", "elp/default", &format!("--replicas={replicas}")]);
        namespace.until("the pool is scaled", "elp/default", |pool| pool["status"]["readyReplicas"] == replicas);
        namespace.until_condition("elp/default", "Ready", "True");
    }
    orders.end_right(&installation, 0).await;
}

fn cluster_is_foreign() -> bool {
    std::env::var_os("EVERLOOP_TEST_KUBECONFIG").is_some()
}
