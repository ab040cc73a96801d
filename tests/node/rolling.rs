//! A pool is rolled to another image and scaled while runs work: no activity fails, and for how long a run stood still is told.

use std::time::Duration;

use everloop::api::http::StartRun;
use everloop::api::{Json, RunId, RunStatus};
use everloop::client::Client;
use futures_util::future::join_all;

use crate::cluster::cluster;
use crate::installation::{Installation, WORKERS, disturbance, everloop};

/// Works, step by step, until it is told to stop. An attempt that fails is the end of the run: there is no second one.
const WORKING: &str = r#"apiVersion: everloop.dev/v1alpha1
kind: Workflow
metadata: {name: working}
spec:
  source:
    inline: |
      import { onSignal } from "everloop";
      export default async function working() {
        let stopped = false;
        onSignal("stop", () => { stopped = true; });
        let steps = 0;
        while (!stopped) {
          await work(steps);
          steps += 1;
        }
        return steps;
      }
  activities:
    work:
      script: |
        export default async (step) => { await new Promise((done) => setTimeout(done, 50)); return step; };
      retry: {maxAttempts: 1}
"#;
const RUNS: usize = 12;

/// The longest time between two turns of a run, and the middle one.
async fn standstill(client: &Client, run: &RunId) -> (u64, u64) {
    let journal = client.journal(run).await.expect("a journal");
    let mut gaps: Vec<u64> = journal.windows(2).map(|turns| turns[1].at.since(turns[0].at).0).collect();
    assert!(gaps.len() > 50, "{run} works: {} turns", journal.len());
    gaps.sort_unstable();
    (gaps[gaps.len() - 1], gaps[gaps.len() / 2])
}

#[tokio::test(flavor = "multi_thread")]
async fn no_activity_fails_while_a_pool_is_rolled_to_another_image_and_scaled() {
    let _only_we = disturbance();
    let installation = Installation::new("rolling");
    let everloop = everloop();
    installation.namespace.apply(WORKING);
    installation.namespace.until_condition("elw/working", "Ready", "True");
    let client = installation.client().await;
    let begin = async |phase: &str| {
        join_all((0..RUNS).map(|n| {
            let start = StartRun {
                workflow: "working".parse().expect("a name"),
                id: Some(format!("{phase}-{n}").parse().expect("an id")),
                input: Json::default(),
                origin: None,
            };
            let client = &client;
            async move { client.start(&start, start.id.as_ref().expect("an id").as_str()).await.expect("a run").id }
        }))
        .await
    };
    let end = async |phase: &str, runs: Vec<RunId>| {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (mut longest, mut middle) = (Vec::new(), Vec::new());
        for run in &runs {
            client.signal(run, "stop", &Json::default()).await.expect("it is open");
            let view = client.wait(run).await.expect("it ends");
            assert_eq!(view.status, RunStatus::Completed, "an activity of {run} failed while the pool was {phase}: {:?}", view.error);
            let (max, median) = standstill(&client, run).await;
            longest.push(max);
            middle.push(median);
        }
        longest.sort_unstable();
        middle.sort_unstable();
        let (median, max) = (longest[RUNS / 2], longest[RUNS - 1]);
        println!(
            "{phase}: {RUNS} runs stood still for {median} ms (median of the longest of each), {max} ms (the longest of all); a step takes {} ms",
            middle[RUNS / 2]
        );
    };

    let before = everloop.pods(WORKERS);
    let runs = begin("rolled").await;
    let image = format!(
        r#"{{"spec": {{"image": "{}", "template": {{"metadata": {{"annotations": {{"example.com/rolled": "image"}}}}}}}}}}"#,
        cluster().another_image()
    );
    everloop.kubectl(&["patch", "elp/default", "--type=merge", "--patch", &image]);
    everloop.until("the workers are rolled", "elp/default", |pool| {
        let ready = pool["status"]["conditions"].as_array().into_iter().flatten().any(|of| of["type"] == "Ready" && of["status"] == "True");
        pool["status"]["observedGeneration"] == pool["metadata"]["generation"]
            && ready
            && !everloop.pods(WORKERS).iter().any(|pod| before.contains(pod))
    });
    end("rolled", runs).await;

    let runs = begin("scaled").await;
    for replicas in [1, 4, 3] {
        everloop.kubectl(&["scale", "elp/default", &format!("--replicas={replicas}")]);
        everloop.until("the pool is scaled", "elp/default", |pool| {
            pool["status"]["readyReplicas"] == replicas && everloop.pods(WORKERS).len() == replicas
        });
    }
    end("scaled", runs).await;
}
