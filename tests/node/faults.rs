//! Parts die while orders go on.

use crate::cluster::cluster;
use crate::installation::{Installation, OPERATOR, QUEUE, WORKERS, disturbance, everloop};
use crate::orders::{Orders, all_ended_right};

#[tokio::test(flavor = "multi_thread")]
async fn orders_end_right_and_are_charged_once_whatever_dies_and_however_the_pool_is_scaled() {
    let _only_we = disturbance();
    let installation = Installation::new("faults");
    let everloop = everloop();
    let orders = Orders::go_on(&installation).await;
    // Without a chance to hand anything back.
    let kill = |label: &str| {
        let victim = everloop.pods(label).first().unwrap_or_else(|| panic!("no pod of {label}")).clone();
        everloop.kubectl(&["delete", "pod", &victim, "--grace-period=0", "--force"]);
    };

    kill(WORKERS);
    everloop.until_condition("elp/default", "Ready", "True");

    kill(QUEUE);
    everloop.until_ready("deployment/everloop-queue");

    // Its volume stays.
    cluster().kill_container(&everloop.0, "everloop-redis-0");
    everloop.until_restarted("pod/everloop-redis-0");

    // The one that leads, and the one that stands by.
    everloop.kubectl(&["delete", "pods", "--selector", OPERATOR, "--grace-period=0", "--force"]);
    everloop.until_ready("deployment/everloop-operator");

    for replicas in [1, 4] {
        everloop.kubectl(&["scale", "elp/default", &format!("--replicas={replicas}")]);
        everloop.until("the pool is scaled", "elp/default", |pool| pool["status"]["readyReplicas"] == replicas);
        everloop.until_condition("elp/default", "Ready", "True");
    }

    let ends = orders.ends(&installation).await;
    all_ended_right(&ends, &installation).await;
}
