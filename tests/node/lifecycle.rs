//! The life of an installation: upgrade, rollback and uninstall by Helm, with runs in flight.

use everloop::api::{RunId, RunStatus};
use serde_json::Value;

use crate::cluster::{PATIENCE, cluster};
use crate::installation::{Installation, NAMESPACE, alone, client, disturbance, everloop, install, until_ready};
use crate::namespace::Namespace;
use crate::orders::{Orders, all_ended_right};

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/everloop");

/// Queue service and operator are rolled by the upgrade and by the rollback, the workers by a change of their pool.
#[tokio::test(flavor = "multi_thread")]
async fn orders_outlive_an_upgrade_a_rolled_pool_and_a_rollback() {
    let _only_we = disturbance();
    let installation = Installation::new("upgrades");
    let everloop = everloop();
    let orders = Orders::go_on(&installation).await;
    cluster().helm(&["test", "everloop", "--namespace", NAMESPACE]);
    let log_level = || {
        let queue = everloop.get("deployment/everloop-queue");
        let env = queue["spec"]["template"]["spec"]["containers"][0]["env"].as_array().cloned().unwrap_or_default();
        env.iter().find(|env| env["name"] == "EVERLOOP_LOG").and_then(|env| env["value"].as_str()).unwrap_or_default().to_owned()
    };
    cluster().helm(&["upgrade", "everloop", CHART, "--namespace", NAMESPACE, "--reset-then-reuse-values", "--set", "logLevel=warn"]);
    assert_eq!(log_level(), "warn");
    until_ready(everloop);
    let before = everloop.pods("app.kubernetes.io/component=worker");
    let rolled = r#"{"spec": {"template": {"metadata": {"annotations": {"example.com/rolled": "once"}}}}}"#;
    everloop.kubectl(&["patch", "elp/default", "--type=merge", "--patch", rolled]);
    everloop.until("the workers are rolled", "elp/default", |pool| {
        let ready = pool["status"]["conditions"].as_array().into_iter().flatten().any(|of| of["type"] == "Ready" && of["status"] == "True");
        let stays = everloop.pods("app.kubernetes.io/component=worker").iter().any(|pod| before.contains(pod));
        pool["status"]["observedGeneration"] == pool["metadata"]["generation"] && ready && !stays
    });
    cluster().helm(&["rollback", "everloop", "--namespace", NAMESPACE]);
    assert_eq!(log_level(), "info");
    until_ready(everloop);
    let ends = orders.ends(&installation).await;
    all_ended_right(&ends, &installation).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_cannot_be_pulled_is_told_by_the_pool() {
    let installation = Installation::new("no-image");
    let namespace = &installation.namespace;
    namespace
        .apply("apiVersion: everloop.dev/v1alpha1\nkind: WorkerPool\nmetadata: {name: broken}\nspec: {image: 'localhost:1/nowhere:1'}\n");
    let pool = namespace.until_condition("elp/broken", "Stalled", "True");
    let stalled =
        pool["status"]["conditions"].as_array().into_iter().flatten().find(|of| of["type"] == "Stalled").cloned().unwrap_or_default();
    let message = stalled["message"].as_str().unwrap_or_default();
    assert_eq!(stalled["reason"], "ImagePullBackOff");
    assert!(message.contains("localhost:1/nowhere:1 cannot be pulled"), "{message}");
}

/// What stays: the definitions, the objects, the volume, the password, and with them all runs. A new installation goes on with them, but
/// for the run whose object was deleted meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn runs_outlive_the_installation_and_hold_nothing_while_it_is_away() {
    let _alone = alone();
    let everloop = everloop();
    let namespace = Namespace::new("uninstalled");
    namespace.apply(WAITS);
    namespace.apply(UNWANTED);
    let [waits, unwanted] = ["elr/waits", "elr/unwanted"].map(|object| {
        let run = namespace.until("the run is accepted", object, |run| run["status"]["acceptedAt"].is_string());
        assert!(is_held(&run), "{object} waits for the cancel of its run when it is deleted");
        run["status"]["runId"].as_str().expect("an id").parse::<RunId>().expect("an id")
    });

    cluster().helm(&["uninstall", "everloop", "--namespace", NAMESPACE]);
    for gone in ["deployment/everloop-operator", "deployment/everloop-queue", "statefulset/everloop-redis"] {
        everloop.until(&format!("{gone} is gone"), gone, Value::is_null);
    }
    for object in ["elr/waits", "elr/unwanted"] {
        assert!(!is_held(&namespace.get(object)), "{object} holds nothing that nobody would let go");
    }
    for stays in ["persistentvolumeclaim/data-everloop-redis-0", "elp/default"] {
        assert!(!everloop.get(stays).is_null(), "{stays} stays");
    }
    namespace.kubectl(&["delete", "elr/unwanted", "--timeout=20s"]);

    install(everloop);
    let client = client(&namespace.0).await;
    let ended = tokio::time::timeout(PATIENCE, client.wait(&unwanted)).await.expect("it ends").expect("the run is known");
    assert_eq!(ended.status, RunStatus::Cancelled, "nobody owns it");
    namespace.until("the object is followed again", "elr/waits", is_held);
    namespace.apply(&WAITS.replace("1h", "10ms").replace("name: waits", "name: short").replace("workflow: waits", "workflow: short"));
    namespace.until_condition("elr/short", "Closed", "True");
    assert_eq!(client.run(&waits).await.expect("the run is known").status, RunStatus::Running);
}

fn is_held(object: &Value) -> bool {
    object["metadata"]["finalizers"].as_array().is_some_and(|finalizers| finalizers.iter().any(|name| name == "everloop.dev/cancel"))
}

const WAITS: &str = r#"apiVersion: everloop.dev/v1alpha1
kind: Workflow
metadata: {name: waits}
spec:
  source:
    inline: |
      import { sleep } from "everloop";
      export default async () => { await sleep("1h"); };
---
apiVersion: everloop.dev/v1alpha1
kind: WorkflowRun
metadata: {name: waits}
spec: {workflow: waits}
"#;

const UNWANTED: &str = "apiVersion: everloop.dev/v1alpha1
kind: WorkflowRun
metadata: {name: unwanted}
spec: {workflow: waits}
";
