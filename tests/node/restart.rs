//! A rolling restart of a whole pool under a steady load: what a caller sees of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use everloop::api::http::StartRun;
use everloop::api::{Json, RunId, RunStatus};
use everloop::client::Client;
use futures_util::future::join_all;

use crate::installation::{Installation, WORKERS, disturbance};
use crate::told::{self, Micros};

const WORKFLOW: &str = "apiVersion: everloop.dev/v1alpha1
kind: WorkerPool
metadata: {name: restarted}
spec: {replicas: 3}
---
apiVersion: everloop.dev/v1alpha1
kind: Workflow
metadata: {name: short}
spec:
  pool: restarted
  source: {inline: 'export default async (n) => (await work(n)) + 1;'}
  activities:
    work: {script: 'export default async (n) => n * 2;', retry: {maxAttempts: 1}}
";
/// From one start to the next, whether or not anything is late.
const EVERY: Duration = Duration::from_millis(25);
const BEFORE: Duration = Duration::from_secs(12);

/// Starts runs at a fixed pace, until it is enough, and tells how long after its time each had its result.
async fn load(client: Client, phase: &'static str, enough: Arc<AtomicBool>) -> Vec<Micros> {
    let (begin, mut under_way) = (Instant::now(), Vec::new());
    for n in 0_u32.. {
        let due = begin + EVERY * n;
        tokio::time::sleep_until(due.into()).await;
        if enough.load(Ordering::Relaxed) {
            break;
        }
        let client = client.clone();
        under_way.push(tokio::spawn(async move {
            let id: RunId = format!("{phase}-{n}").parse().expect("an id");
            let start = StartRun { workflow: "short".parse().expect("a name"), id: Some(id.clone()), input: Json::of(&n), origin: None };
            client.start(&start, id.as_str()).await.expect("it is acknowledged");
            let view = client.wait(&id).await.expect("it ends");
            let took = due.elapsed();
            assert_eq!(view.status, RunStatus::Completed, "{id}: {:?}", view.error);
            assert_eq!(view.result.map(|result| result.get().to_owned()), Some((n * 2 + 1).to_string()), "{id}");
            Micros::try_from(took.as_micros()).expect("a time")
        }));
    }
    let mut took: Vec<Micros> = join_all(under_way).await.into_iter().map(|run| run.expect("no run failed or was lost")).collect();
    took.sort_unstable();
    took
}

/// In milliseconds.
fn quantile(sorted: &[Micros], of_hundred: usize) -> f64 {
    let index = (sorted.len() * of_hundred / 100).min(sorted.len() - 1);
    f64::from(i32::try_from(sorted[index]).expect("not hours")) / 1_000.0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_of_a_whole_pool_under_load_loses_and_fails_nothing() {
    let _only_we = disturbance();
    let installation = Installation::new("restart");
    let namespace = &installation.namespace;
    namespace.apply(WORKFLOW);
    namespace.until_condition("elw/short", "Ready", "True");
    namespace.until_condition("elp/restarted", "Ready", "True");
    let client = installation.client().await;

    let enough = Arc::new(AtomicBool::new(false));
    let loaded = tokio::spawn(load(client.clone(), "before", enough.clone()));
    tokio::time::sleep(BEFORE).await;
    enough.store(true, Ordering::Relaxed);
    let before = loaded.await.expect("no run failed or was lost");

    let pods = namespace.pods(WORKERS);
    assert_eq!(pods.len(), 3);
    let enough = Arc::new(AtomicBool::new(false));
    let loaded = tokio::spawn(load(client, "restart", enough.clone()));
    let (name, begin) = (namespace.0.clone(), Instant::now());
    let restarted = tokio::task::spawn_blocking(move || {
        let kubectl = |arguments: &[&str]| crate::cluster::cluster().kubectl(&[&["--namespace", &name], arguments].concat());
        kubectl(&["rollout", "restart", "deployment/everloop-worker-restarted"]);
        kubectl(&["rollout", "status", "deployment/everloop-worker-restarted", "--timeout=2m"]);
        let gone: Vec<String> = pods.iter().map(|pod| format!("pod/{pod}")).collect();
        let gone: Vec<&str> = gone.iter().map(String::as_str).collect();
        kubectl(&[&["wait", "--for=delete", "--timeout=2m"], &gone[..]].concat());
    });
    restarted.await.expect("it is restarted");
    let took = begin.elapsed();
    enough.store(true, Ordering::Relaxed);
    let during = loaded.await.expect("no run failed or was lost");

    let tell = |phase: &str, sorted: &[Micros]| {
        let (p50, p99) = (quantile(sorted, 50), quantile(sorted, 99));
        println!(
            "{phase}: {} runs, one every {} ms; p50 {p50:.1} ms, p99 {p99:.1} ms, longest {:.1} ms",
            sorted.len(),
            EVERY.as_millis(),
            quantile(sorted, 100)
        );
        p99
    };
    let calm = tell("before", &before);
    let rolled = tell(&format!("while the three pods were replaced, {} ms", took.as_millis()), &during);
    println!("added to the p99: {:.1} ms; all together {}", rolled - calm, told::spread(during));
}
