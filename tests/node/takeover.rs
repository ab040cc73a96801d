//! A worker is lost without a goodbye, on a node: its container is killed, or it hangs. Another one does what it had.

use std::time::{Duration, Instant};

use everloop::api::http::StartRun;
use everloop::api::worker::Leases;
use everloop::api::{Event, Json, RunId, RunStatus};
use everloop::client::Client;
use futures_util::future::join_all;

use crate::cluster::{PATIENCE, answer, cluster};
use crate::installation::{Installation, NAMESPACE, QUEUE, WORKERS, disturbance, everloop};
use crate::namespace::Namespace;
use crate::told::{self, Micros, now};

const WORKFLOW: &str = "apiVersion: everloop.dev/v1alpha1
kind: WorkerPool
metadata: {name: two}
spec: {replicas: 2}
---
apiVersion: everloop.dev/v1alpha1
kind: Workflow
metadata: {name: slow}
spec:
  pool: two
  source: {inline: 'export default async (n) => work(n);'}
  activities:
    work:
      script: 'export default async (n) => { await new Promise((done) => setTimeout(done, 3000)); return n; };'
      retry: {maxAttempts: 1}
";
const ACTIVITY_MS: Micros = 3_000;
const RUNS: usize = 24;

/// Two workers in the middle of activities, one of which is to be lost.
struct Scene {
    installation: Installation,
    client: Client,
    runs: Vec<RunId>,
    /// The pod that is to be lost, its session, and what it has.
    pod: String,
    session: String,
    had: Leases,
}

fn session_of(namespace: &Namespace, pod: &str) -> Option<String> {
    let opened = told::log(namespace, pod).into_iter().rfind(|line| line.says("session opened"))?;
    Some(opened.field("session").to_owned())
}

impl Scene {
    async fn set(name: &str) -> Self {
        let installation = Installation::new(name);
        let namespace = &installation.namespace;
        namespace.apply(WORKFLOW);
        namespace.until_condition("elw/slow", "Ready", "True");
        namespace.until_condition("elp/two", "Ready", "True");
        let client = installation.client().await;
        let server = cluster().reach(NAMESPACE, "everloop-queue", 7400).await;
        let pod = namespace.pods(WORKERS).first().expect("two pods").clone();
        let session = session_of(namespace, &pod).expect("a session");
        let start = async |n: usize| {
            let id: RunId = format!("slow-{n}").parse().expect("an id");
            let start = StartRun { workflow: "slow".parse().expect("a name"), id: Some(id.clone()), input: Json::of(&n), origin: None };
            client.start(&start, id.as_str()).await.expect("a run").id
        };
        let runs = join_all((0..RUNS).map(start)).await;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let had: Leases = serde_json::from_str(&answer(&format!("{server}/v1/worker/session/{session}/leases")).await).expect("leases");
            if !had.activities.is_empty() {
                return Self { installation, client, runs, pod, session, had };
            }
            assert!(Instant::now() < deadline, "it never has work: {had:?}");
        }
    }

    /// All runs end right, each by one attempt whose outcome counted, and those of the lost one were taken over.
    async fn all_end(&self, lost: Micros) {
        let mut added = Vec::new();
        for (n, run) in self.runs.iter().enumerate() {
            let view = self.client.wait(run).await.expect("an end");
            assert_eq!(view.status, RunStatus::Completed, "{run}: {:?}", view.error);
            assert_eq!(view.result.map(|result| result.get().to_owned()), Some(n.to_string()));
            let journal = self.client.journal(run).await.expect("a journal");
            let completed = journal.iter().flat_map(|entry| &entry.events).filter(|event| matches!(event, Event::ActivityCompleted { .. }));
            assert_eq!(completed.count(), 1, "{run}");
            if self.had.activities.iter().any(|lease| lease.run.id == *run) {
                let closed = Micros::try_from(view.closed_at.expect("it is closed").0).expect("a time");
                added.push(closed * 1_000 - lost - ACTIVITY_MS * 1_000);
            }
        }
        println!("{}: what a lost worker had, {} activities, was begun anew after {}", self.pod, added.len(), told::spread(added));
    }

    /// Why the lost session ended, as the queue service says it.
    async fn end(&self) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = told::logs(everloop(), QUEUE);
            if let Some(end) = said.iter().find(|line| line.says("session ended") && line.field("session") == self.session) {
                assert!(end.fields["attempts"].as_u64() >= Some(1), "what it had went back then: {end:?}");
                return end.field("reason").to_owned();
            }
            assert!(Instant::now() < deadline, "nobody tells of the end of {}: {said:#?}", self.session);
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_container_had_is_taken_over_because_its_connection_broke() {
    let _only_we = disturbance();
    let scene = Scene::set("killed").await;
    let lost = now();
    cluster().kill_container(&scene.installation.namespace.0, &scene.pod);
    scene.all_end(lost).await;
    assert_eq!(scene.end().await, "stream broke");
}

/// Outcomes that came too late, at all replicas.
fn refused() -> u64 {
    let of = |pod: &String| -> u64 {
        let metrics = cluster().kubectl(&["get", "--raw", &format!("/api/v1/namespaces/{NAMESPACE}/pods/{pod}:7400/proxy/metrics")]);
        let line = metrics.lines().find_map(|line| line.strip_prefix("everloop_commits_refused_total{reason=\"AttemptLost\"} "));
        line.map_or(0, |count| count.trim().parse().expect("a number"))
    };
    everloop().pods(QUEUE).iter().map(of).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_hung_worker_had_is_taken_over_when_its_session_expires_and_its_late_outcomes_are_refused() {
    if !cluster().is_ours() {
        println!("not shown here: a process of somebody else's node cannot be stopped");
        return;
    }
    let _only_we = disturbance();
    let scene = Scene::set("hung").await;
    let namespace = &scene.installation.namespace;
    let before = refused();
    let lost = now();
    cluster().signal_container(&namespace.0, &scene.pod, "SIGSTOP");
    assert_eq!(scene.end().await, "expired");
    assert_eq!(session_of(namespace, &scene.pod).as_ref(), Some(&scene.session), "it hangs");
    assert_eq!(refused(), before);

    // The other one is about it by now.
    cluster().signal_container(&namespace.0, &scene.pod, "SIGCONT");
    let deadline = Instant::now() + PATIENCE;
    let goes_on = || session_of(namespace, &scene.pod).as_ref() != Some(&scene.session);
    while !goes_on() {
        assert!(Instant::now() < deadline, "it has no other session\n{}", namespace.report());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // What it learns first: that an outcome came too late, or that its session is lost, and then it sends none.
    println!("{} of its {} outcomes came late, and were refused", refused() - before, scene.had.activities.len());
    scene.all_end(lost).await;
}
