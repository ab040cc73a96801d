//! Trouble while a pool follows its work: the operator that leads dies, and the queue service is away.

use everloop::api::http::StartRun;
use everloop::api::{Json, RunId, RunStatus};
use everloop::client::Client;
use futures_util::future::join_all;
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::{Value, json};

use crate::installation::{Installation, disturbance, everloop};
use crate::told::{Watched, now};

const WORKFLOW: &str = r"apiVersion: everloop.dev/v1alpha1
kind: WorkerPool
metadata: {name: troubled}
spec:
  scaling: {mode: Auto, max: 4, zeroWindow: 3s, fallWindow: 10s}
  slots: {activities: 20}
---
apiVersion: everloop.dev/v1alpha1
kind: Workflow
metadata: {name: waits}
spec:
  pool: troubled
  source:
    inline: |
      export default async function waits(input) {
        const all = await Promise.all(Array.from({length: input.activities}, () => work(input.ms)));
        return all.length;
      }
  activities:
    work:
      script: |
        export default async (ms) => { await new Promise((done) => setTimeout(done, ms)); return ms; };
      retry: {maxAttempts: 1}
";
const DEPLOYMENT: &str = "deployment/everloop-worker-troubled";

/// So many activities of so long, at once.
async fn start(client: &Client, id: &str, activities: u64, ms: u64) -> RunId {
    let input = Json::of(&json!({ "activities": activities, "ms": ms }));
    let start = StartRun { workflow: "waits".parse().expect("a name"), id: Some(id.parse().expect("an id")), input, origin: None };
    client.start(&start, id).await.expect("a run").id
}

async fn end(client: &Client, run: &RunId, activities: u64) {
    let view = client.wait(run).await.expect("an end");
    assert_eq!(view.status, RunStatus::Completed, "{run}: {:?}", view.error);
    assert_eq!(view.result.map(|result| result.get().to_owned()), Some(activities.to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_gets_its_pods_when_the_operator_that_leads_dies_while_it_scales() {
    let _only_we = disturbance();
    let installation = Installation::new("leaderless");
    let namespace = &installation.namespace;
    namespace.apply(WORKFLOW);
    namespace.until_condition("elw/waits", "Ready", "True");
    namespace.until("the pool is at zero", "elp/troubled", |pool| pool["status"]["desiredReplicas"] == 0);
    let client = installation.client().await;
    let led = |lease: &Value| lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned();
    let leads = led(&everloop().get("lease/everloop-operator"));
    let runs = join_all((0..4).map(|n| {
        let client = &client;
        async move { start(client, &format!("waits-{n}"), 20, 2_000).await }
    }))
    .await;
    // Between its first wish and the last pod.
    namespace.until("it begins to scale", DEPLOYMENT, |found| found["spec"]["replicas"] != 0);
    everloop().kubectl(&["delete", "pod", &leads, "--grace-period=0", "--force"]);
    for run in &runs {
        end(&client, run, 20).await;
    }
    everloop().until("another one leads", "lease/everloop-operator", |lease| !["", leads.as_str()].contains(&led(lease).as_str()));
    // And it goes on from where the first one was: up again with work, and down without.
    let more = start(&client, "more", 60, 1_000).await;
    namespace.until("it has more pods", DEPLOYMENT, |found| found["status"]["readyReplicas"].as_i64() > Some(1));
    end(&client, &more, 60).await;
    namespace.until("the pool is at zero again", "elp/troubled", |pool| pool["status"]["desiredReplicas"] == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_keeps_its_pods_while_the_queue_service_is_away() {
    let _only_we = disturbance();
    let installation = Installation::new("deaf");
    let namespace = &installation.namespace;
    namespace.apply(WORKFLOW);
    namespace.until_condition("elw/waits", "Ready", "True");
    let client = installation.client().await;
    let watched = Watched::all::<Deployment>(namespace).await;
    // They end while the service is away.
    let run = start(&client, "waits", 40, 15_000).await;
    let scaled = namespace.until("it has its pods", DEPLOYMENT, |found| {
        found["spec"]["replicas"].as_i64() > Some(1) && found["status"]["readyReplicas"] == found["spec"]["replicas"]
    });
    let away = now();
    everloop().kubectl(&["scale", "deployment/everloop-queue", "--replicas=0"]);
    let pool = namespace.until("it says that it hears nothing", "elp/troubled", |pool| {
        let mut conditions = pool["status"]["conditions"].as_array().into_iter().flatten();
        conditions.any(|of| of["type"] == "Scaling" && of["reason"] == "SignalOld")
    });
    let wanted = scaled["spec"]["replicas"].clone();
    assert_eq!(pool["status"]["desiredReplicas"], wanted, "{}", pool["status"]);
    let other = |object: &Value| {
        Some(object["metadata"]["name"].as_str().unwrap_or_default()) == DEPLOYMENT.strip_prefix("deployment/")
            && object["spec"]["replicas"] != wanted
    };
    assert_eq!(watched.first(away, other), None, "nobody touched its number");
    everloop().kubectl(&["scale", "deployment/everloop-queue", "--replicas=2"]);
    everloop().until_ready("deployment/everloop-queue");
    end(&client, &run, 40).await;
    namespace.until("it follows again", "elp/troubled", |pool| pool["status"]["desiredReplicas"] == 0);
}
