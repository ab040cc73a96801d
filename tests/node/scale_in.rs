//! Pools that become smaller under load: nothing that a pod has is lost, and only those pods go that were chosen.

use std::time::Duration;

use everloop::api::http::StartRun;
use everloop::api::{Event, Json, RunId, RunStatus};
use everloop::client::Client;
use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::cluster::cluster;
use crate::installation::{Installation, NAMESPACE, OPERATOR, disturbance, everloop};
use crate::namespace::Namespace;

/// A pool of small pods, and a workflow on it that works step by step until it is told to stop. An attempt that is cut off is the end of
/// its run: there is no second one.
const POOL: &str = r#"apiVersion: everloop.dev/v1alpha1
kind: WorkerPool
metadata: {name: NAME}
spec:
  replicas: 1
  terminationGracePeriodSeconds: 20
  resources: {requests: {cpu: 10m, memory: 32Mi}}
---
apiVersion: everloop.dev/v1alpha1
kind: Workflow
metadata: {name: NAME}
spec:
  pool: NAME
  source:
    inline: |
      import { onSignal } from "everloop";
      export default async function main() {
        let stopped = false;
        onSignal("stop", () => { stopped = true; });
        let steps = 0;
        while (!stopped) {
          steps += (await Promise.all([work(40), work(300)])).length;
        }
        return steps;
      }
  activities:
    work:
      script: |
        export default async (ms) => { await new Promise((done) => setTimeout(done, ms)); return ms; };
      retry: {maxAttempts: 1}
---
"#;
const POOLS: [&str; 4] = ["north", "east", "south", "west"];
const RUNS: usize = 4;
/// Of each pool.
const SCALE_INS: usize = 13;
const MOST: u32 = 5;

struct Runs {
    client: Client,
    ids: Vec<RunId>,
}

impl Runs {
    async fn begin(client: &Client, pool: &str) -> Self {
        let start = |n: usize| {
            let (workflow, id) = (pool.parse().expect("a name"), format!("{pool}-{n}"));
            let start = StartRun { workflow, id: Some(id.parse().expect("an id")), input: Json::default(), origin: None };
            async move { client.start(&start, &id).await.expect("a run").id }
        };
        Self { client: client.clone(), ids: join_all((0..RUNS).map(start)).await }
    }

    /// Stops them; how many activities they had done. None failed, none was done twice, and no turn is missing.
    async fn end(&self) -> usize {
        let mut all = 0;
        for run in &self.ids {
            self.client.signal(run, "stop", &Json::default()).await.expect("it is open");
            let view = self.client.wait(run).await.expect("it ends");
            assert_eq!(view.status, RunStatus::Completed, "{run}: {:?}", view.error);
            let journal = self.client.journal(run).await.expect("a journal");
            assert!(journal.iter().zip(0..).all(|(entry, turn)| entry.turn == turn), "{run} has all of its turns");
            let mut done = Vec::new();
            for event in journal.iter().flat_map(|entry| &entry.events) {
                if let Event::ActivityCompleted { command, attempt, .. } = event {
                    assert_eq!(*attempt, 1, "{run}: no attempt was used up");
                    done.push(*command);
                }
            }
            let steps = done.len();
            done.sort_unstable();
            done.dedup();
            assert_eq!((done.len(), view.result.map(|result| result.get().to_owned())), (steps, Some(steps.to_string())), "{run}");
            all += steps;
        }
        all
    }
}

/// Waits without holding up the others.
async fn until(what: &str, namespace: &Namespace, object: &str, holds: impl Fn(&serde_json::Value) -> bool) {
    let deadline = std::time::Instant::now() + crate::cluster::PATIENCE;
    while !holds(&namespace.get(object)) {
        let found = namespace.get(object);
        assert!(std::time::Instant::now() < deadline, "{what}: {:#}\n{}", found["status"], namespace.report());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn scale(namespace: &Namespace, pool: &str, replicas: u32) {
    namespace.kubectl(&["scale", &format!("elp/{pool}"), &format!("--replicas={replicas}")]);
    until(&format!("{pool} has {replicas}"), namespace, &format!("elp/{pool}"), |found| {
        let status = &found["status"];
        let number = |field: &str| status[field].as_u64().unwrap_or(0);
        status["observedGeneration"] == found["metadata"]["generation"]
            && (number("desiredReplicas"), number("replicas"), number("readyReplicas"))
                == (replicas.into(), replicas.into(), replicas.into())
    })
    .await;
}

/// How often pods became something, as all operators have counted it.
fn counted(outcome: &str) -> u64 {
    let line = format!("everloop_operator_victims_total{{outcome=\"{outcome}\"}} ");
    let of_pod = |pod: &String| {
        let metrics = cluster().kubectl(&["get", "--raw", &format!("/api/v1/namespaces/{NAMESPACE}/pods/{pod}:7401/proxy/metrics")]);
        metrics.lines().find_map(|found| found.strip_prefix(&line)).map_or(0, |count| count.trim().parse::<u64>().expect("a number"))
    };
    everloop().pods(OPERATOR).iter().map(of_pod).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_scale_ins_under_load_fail_no_activity_lose_no_turn_and_take_only_those_that_were_chosen() {
    // Nobody else scales, and no operator is replaced.
    let _only_we = disturbance();
    let installation = Installation::new("scale-ins");
    let namespace = &installation.namespace;
    for pool in POOLS {
        namespace.apply(&POOL.replace("NAME", pool));
    }
    for pool in POOLS {
        namespace.until_condition(&format!("elw/{pool}"), "Ready", "True");
    }
    let client = installation.client().await;
    let before = ["gone", "unplanned", "past_limit", "taken_back"].map(counted);
    let seed = 20_261_130;
    println!("seed {seed}");
    let began = std::time::Instant::now();
    let play = |number: usize, pool: &'static str| {
        let client = &client;
        async move {
            let mut chance = StdRng::seed_from_u64(seed + number as u64);
            let runs = Runs::begin(client, pool).await;
            let (mut now, mut scale_ins, mut removed) = (1, 0, 0);
            while scale_ins < SCALE_INS {
                if now == 1 {
                    now = chance.random_range(3..=MOST);
                    scale(namespace, pool, now).await;
                }
                let fewer = chance.random_range(1..now);
                scale(namespace, pool, fewer).await;
                removed += u64::from(now - fewer);
                now = fewer;
                scale_ins += 1;
            }
            let activities = runs.end().await;
            (removed, activities)
        }
    };
    let played = join_all(POOLS.iter().enumerate().map(|(number, pool)| play(number, pool))).await;
    let (removed, activities): (Vec<u64>, Vec<usize>) = played.into_iter().unzip();
    let removed: u64 = removed.iter().sum();
    println!(
        "{} scale-ins of {removed} pods in {} s, {} activities meanwhile",
        SCALE_INS * POOLS.len(),
        began.elapsed().as_secs(),
        activities.iter().sum::<usize>()
    );
    let after = ["gone", "unplanned", "past_limit", "taken_back"].map(counted);
    let counts: Vec<u64> = after.iter().zip(before).map(|(after, before)| after - before).collect();
    assert_eq!(counts[..3], [removed, 0, 0], "gone, unplanned, past the limit");
}

/// What a node drain and a spot reclaim do: SIGTERM is a drain too.
#[tokio::test(flavor = "multi_thread")]
async fn a_busy_pod_that_is_evicted_finishes_what_it_has() {
    let _only_we = disturbance();
    let installation = Installation::new("evicted");
    let namespace = &installation.namespace;
    namespace.apply(&POOL.replace("NAME", "evicted"));
    namespace.until_condition("elw/evicted", "Ready", "True");
    let client = installation.client().await;
    let runs = Runs::begin(&client, "evicted").await;
    scale(namespace, "evicted", 2).await;
    for _ in 0..4 {
        let busy = || async {
            let workers = client.workers().await.expect("an answer").workers;
            let busy = workers.into_iter().filter(|view| view.activities > 0 && view.session.contains("evicted"));
            busy.max_by_key(|view| view.activities).map(|view| view.session)
        };
        let session = loop {
            if let Some(session) = busy().await {
                break session;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let pods = namespace.pods("everloop.dev/pool=evicted");
        let pod = pods.iter().find(|pod| session.contains(&pod[pod.len() - 12..])).expect("its pod").clone();
        let eviction = serde_json::json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}});
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), eviction.to_string()).expect("a file");
        let path = format!("/api/v1/namespaces/{}/pods/{pod}/eviction", namespace.0);
        namespace.kubectl(&["create", "--raw", &path, "-f", &file.path().display().to_string()]);
        until("it is gone", namespace, &format!("pod/{pod}"), serde_json::Value::is_null).await;
        scale(namespace, "evicted", 2).await;
    }
    let activities = runs.end().await;
    println!("4 busy pods evicted, {activities} activities meanwhile");
}
