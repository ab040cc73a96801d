//! Parts die while orders go on.

use crate::cluster::cluster;
use crate::installation::{Installation, OPERATOR, QUEUE, WORKERS};
use crate::orders::{Orders, all_ended_right};

#[tokio::test(flavor = "multi_thread")]
async fn orders_end_right_and_are_charged_once_whatever_dies_and_however_the_pool_is_scaled() {
    let installation = Installation::new("faults");
    let namespace = &installation.namespace;
    let orders = Orders::go_on(&installation).await;
    // Without a chance to hand anything back.
    let kill = |label: &str| {
        let victim = namespace.pods(label).first().unwrap_or_else(|| panic!("no pod of {label}")).clone();
        namespace.kubectl(&["delete", "pod", &victim, "--grace-period=0", "--force"]);
    };

    kill(WORKERS);
    namespace.until_condition("elp/default", "Ready", "True");

    kill(QUEUE);
    namespace.until_ready("deployment/queue");

    // Its volume stays.
    cluster().kill_container(&namespace.0, "redis-0");
    namespace.until_restarted("pod/redis-0");

    // The one that leads, and the one that stands by.
    namespace.kubectl(&["delete", "pods", "--selector", OPERATOR, "--grace-period=0", "--force"]);
    namespace.until_ready("deployment/operator");

    for replicas in [1, 4] {
        namespace.kubectl(&["scale", "elp/default", &format!("--replicas={replicas}")]);
        namespace.until("the pool is scaled", "elp/default", |pool| pool["status"]["readyReplicas"] == replicas);
        namespace.until_condition("elp/default", "Ready", "True");
    }

    let ends = orders.ends(&installation).await;
    all_ended_right(&ends, &installation).await;
}
