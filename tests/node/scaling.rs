//! A pool that follows its work, with pods: from zero to the first result, through a burst, and back to zero.

use std::time::Instant;

use everloop::api::http::StartRun;
use everloop::api::{Json, RunStatus};
use futures_util::future::join_all;

use crate::installation::{Installation, disturbance};

const FOLLOWS: &str = r"apiVersion: everloop.dev/v1alpha1
kind: WorkerPool
metadata: {name: follows}
spec:
  scaling: {mode: Auto, max: 4, zeroWindow: 3s, fallWindow: 10s}
  slots: {activities: 20}
---
apiVersion: everloop.dev/v1alpha1
kind: Workflow
metadata: {name: burst}
spec:
  pool: follows
  source:
    inline: |
      export default async function burst(input) {
        const all = await Promise.all(Array.from({length: input.activities}, (_, n) => work(n)));
        return all.length;
      }
  activities:
    work:
      script: |
        export default async (n) => { await new Promise((done) => setTimeout(done, 100)); return n; };
      retry: {maxAttempts: 1}
";
const RUNS: usize = 10;
const ACTIVITIES: usize = 200;

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_comes_from_zero_grows_with_a_burst_and_goes_back_without_a_failed_activity() {
    // The time to the first result is told: nobody kills the queue service meanwhile.
    let _only_we = disturbance();
    let installation = Installation::new("bursts");
    let namespace = &installation.namespace;
    namespace.apply(FOLLOWS);
    namespace.until_condition("elw/burst", "Ready", "True");
    namespace.until("the pool is at zero", "elp/follows", |pool| pool["status"]["desiredReplicas"] == 0);
    let client = installation.client().await;
    let run = async |id: String, activities: usize| {
        let input = Json::of(&serde_json::json!({ "activities": activities }));
        let start = StartRun { workflow: "burst".parse().expect("a name"), id: Some(id.parse().expect("an id")), input, origin: None };
        let run = client.start(&start, &id).await.expect("a run").id;
        let view = client.wait(&run).await.expect("an end");
        assert_eq!(view.status, RunStatus::Completed, "{run}: {:?}", view.error);
        assert_eq!(view.result.map(|result| result.get().to_owned()), Some(activities.to_string()));
    };

    let begin = Instant::now();
    run("first".to_owned(), 1).await;
    println!("from zero to the first result: {} ms", begin.elapsed().as_millis());
    let first = namespace.get("elp/follows")["status"]["decisions"].clone();
    assert_eq!(first[0]["to"], 1, "{first}");

    let begin = Instant::now();
    join_all((0..RUNS).map(|n| run(format!("burst-{n}"), ACTIVITIES))).await;
    println!("a burst of {} activities of 100 ms, 20 at a time in a pod: {} ms", RUNS * ACTIVITIES, begin.elapsed().as_millis());
    let most =
        |pool: &serde_json::Value| pool["status"]["decisions"].as_array().into_iter().flatten().filter_map(|of| of["to"].as_i64()).max();
    let grown = namespace.until("the pool grew", "elp/follows", |pool| most(pool) > Some(1));
    println!("decisions: {:#}", grown["status"]["decisions"]);

    namespace.until("the pool is at zero again", "elp/follows", |pool| pool["status"]["desiredReplicas"] == 0);
    namespace.until("its pods are gone", "deployment/everloop-worker-follows", |found| found["status"]["replicas"].is_null());
    run("again".to_owned(), 1).await;
}
