//! Workers that are to be drained through the queue service: they finish what they have, take nothing new, say so to whoever asks for
//! their readiness, and work on when nobody wants it any more.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::fleet::{Fleet, StoreKind, free_port};

const PATIENCE: Duration = Duration::from_mins(1);
const RUNS: usize = 6;
const STEPS: u64 = 30;
const SOURCE: &str = "export default async function steps(input) {\n  let sum = 0;\n  for (let n = 0; n < input.steps; n++) sum += await work(1);\n  return sum;\n}\n";

struct World {
    fleet: Fleet,
    client: reqwest::Client,
}

impl World {
    async fn new(kind: StoreKind, services: usize) -> Self {
        let fleet = Fleet::start(kind, services).await;
        // One that is cut off fails its run: there is no second attempt.
        let script = "export default async (n) => { await new Promise((done) => setTimeout(done, 100)); return n; };";
        fleet.apply("steps", SOURCE, json!({"work": {"script": script, "retry": {"maxAttempts": 1}}})).await;
        Self { fleet, client: reqwest::Client::new() }
    }

    /// A worker with probes; its name and their port.
    fn worker(&mut self, service: usize) -> (String, u16) {
        let port = free_port();
        (self.fleet.add_worker_with(service, &["--probes", &format!("127.0.0.1:{port}")], &[]), port)
    }

    async fn view(&self, service: usize, worker: &str) -> Option<Value> {
        let url = format!("{}/v1/workers?pool=default", self.fleet.server(service));
        let workers: Value = self.client.get(url).send().await.ok()?.json().await.ok()?;
        let begins = format!("{worker}-default-");
        workers["workers"].as_array()?.iter().find(|view| view["session"].as_str().is_some_and(|id| id.starts_with(&begins))).cloned()
    }

    async fn until(&self, what: &str, service: usize, worker: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let view = self.view(service, worker).await;
            if let Some(view) = view.clone().filter(|view| holds(view)) {
                return view;
            }
            assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}; {view:?}\n{}", self.fleet.log_text(worker));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn drain(&self, service: usize, session: &str, ttl: &str) {
        let url = format!("{}/v1/workers/{session}/drain", self.fleet.server(service));
        let answer = self.client.put(url).json(&json!({ "ttl": ttl })).send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
    }

    async fn start(&self, service: usize, prefix: &str) -> Vec<String> {
        let url = format!("{}/v1/namespaces/default/runs", self.fleet.server(service));
        let ids: Vec<String> = (0..RUNS).map(|n| format!("{prefix}-{n}")).collect();
        for id in &ids {
            let start = json!({"workflow": "steps", "id": id, "input": {"steps": STEPS}});
            assert_eq!(self.client.post(&url).json(&start).send().await.expect("an answer").status(), 201);
        }
        ids
    }

    async fn completed(&self, service: usize, ids: &[String]) {
        for id in ids {
            let url = format!("{}/v1/namespaces/default/runs/{id}?wait=55s", self.fleet.server(service));
            let run: Value = self.client.get(url).send().await.expect("an answer").json().await.expect("JSON");
            assert_eq!((&run["status"], &run["result"]), (&json!("Completed"), &json!(STEPS)), "{id}: {run}");
        }
    }
}

/// Answers of `/readyz`, until one is as wanted; its text.
async fn readiness(port: u16, wanted: u16) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Ok(answer) = reqwest::get(format!("http://127.0.0.1:{port}/readyz")).await {
            let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap_or_default());
            if status == wanted {
                return text;
            }
            assert!(Instant::now() < deadline, "/readyz is not {wanted} within {PATIENCE:?}: {status} {text}");
        }
        assert!(Instant::now() < deadline, "/readyz does not answer within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The work goes over to another worker step by step, though the replica that was asked to have it drained is killed.
async fn a_worker_is_drained(kind: StoreKind, services: usize) {
    let mut world = World::new(kind, services).await;
    let (keeps, asked) = (0, services - 1);
    let (leaving, probes) = world.worker(keeps);
    readiness(probes, 200).await;
    let runs = world.start(keeps, "first").await;
    let busy = world.until("it works", keeps, &leaving, |view| view["activities"].as_u64() >= Some(3)).await;
    assert_eq!(busy["draining"], Value::Null);
    let session = busy["session"].as_str().expect("an id").to_owned();
    let (staying, _) = world.worker(keeps);
    world.until("another one is there", keeps, &staying, |_| true).await;

    world.drain(asked, &session, "20s").await;
    if asked != keeps {
        world.fleet.services[asked].take().expect("it runs").kill();
    }
    assert!(readiness(probes, 503).await.contains("draining"));
    world.until("it has finished", keeps, &leaving, |view| view["leases"] == 0).await;
    let other = world.until("the other one goes on", keeps, &staying, |view| view["activities"].as_u64() >= Some(1)).await;
    assert_eq!(other["draining"], Value::Null);
    let view = world.view(keeps, &leaving).await.expect("it is there");
    assert_eq!(
        (&view["leases"], &view["draining"], &view["session"]),
        (&json!(0), &json!(true), &json!(session)),
        "and it takes nothing new"
    );
    world.completed(keeps, &runs).await;

    // Nobody renews the mark: it works on, in the same session.
    readiness(probes, 200).await;
    world.fleet.kill_worker(&staying);
    let runs = world.start(keeps, "second").await;
    world.completed(keeps, &runs).await;
    assert_eq!(world.view(keeps, &leaving).await.expect("it is there")["session"], json!(session));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_drained_through_a_replica_that_is_killed_then() {
    a_worker_is_drained(StoreKind::Redis, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_drained_on_the_embedded_store() {
    a_worker_is_drained(StoreKind::File, 1).await;
}

/// Marked and taken back again and again under load: nothing is lost, nothing stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_drain_that_is_taken_back_in_the_middle_loses_nothing() {
    let mut world = World::new(StoreKind::Redis, 2).await;
    let workers = [world.worker(0), world.worker(1)];
    let mut sessions = Vec::new();
    for (worker, probes) in &workers {
        readiness(*probes, 200).await;
        let view = world.until("it is there", 0, worker, |_| true).await;
        sessions.push(view["session"].as_str().expect("an id").to_owned());
    }
    let runs = world.start(0, "both").await;
    for round in 0..12_usize {
        let at = round % 2;
        world.drain(at, &sessions[round % 3 % 2], "20s").await;
        tokio::time::sleep(Duration::from_millis(60 * (round as u64 % 5))).await;
        let url = format!("{}/v1/workers/{}/drain", world.fleet.server(1 - at), sessions[round % 3 % 2]);
        assert_eq!(world.client.delete(url).send().await.expect("an answer").status(), 204);
    }
    for (_, probes) in &workers {
        readiness(*probes, 200).await;
    }
    world.completed(0, &runs).await;
}
