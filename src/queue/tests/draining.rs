//! Workers that are to be drained.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::harness::{Answer, Probe, Server, Worker, complete, config, schedule, serve, server};
use crate::api::worker::{ItemResult, Work};

async fn drain(server: &Server, session: &str, ttl: &str) -> Answer {
    server.put(&format!("/v1/workers/{session}/drain"), &json!({"ttl": ttl})).await
}

impl Server {
    /// Waits until so many polls do.
    async fn until_polls(&self, count: u32) {
        let line = format!("everloop_polls_waiting{{pool=\"default\"}} {count}");
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.get("/metrics").await.text.lines().any(|found| found == line) {
            assert!(Instant::now() < deadline, "{count} polls do not wait within 20 s");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn works_on(server: &Server, session: &str) -> u16 {
    server.send("delete", &format!("/v1/workers/{session}/drain"), "k", &Value::Null).await.status
}

async fn view(server: &Server, session: &str) -> Value {
    let workers = server.get("/v1/workers?pool=default").await.body;
    let mut all = workers["workers"].as_array().unwrap().iter();
    all.find(|worker| worker["session"] == session).cloned().unwrap_or_default()
}

/// Lines of a session's stream.
struct Lines(reqwest::Response);

impl Lines {
    async fn open(server: &Server, session: &str) -> Self {
        let stream = server.http.get(format!("{}/v1/worker/session/{session}/stream", server.url)).send().await.unwrap();
        assert_eq!(stream.status(), 200);
        Self(stream)
    }

    /// Reads until a line says so; how many lines that took.
    async fn until(&mut self, draining: bool) -> usize {
        for lines in 1..100 {
            let chunk = self.0.chunk().await.unwrap().expect("the stream goes on");
            let line: Value = serde_json::from_slice(chunk.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
            if (line["draining"] == true) == draining {
                return lines;
            }
        }
        panic!("no line says draining: {draining}");
    }
}

#[tokio::test]
async fn a_worker_that_is_to_be_drained_is_told_and_granted_nothing_new() {
    let server = server().await;
    server.apply().await;
    server.start("a").await;
    let worker = Worker::open(&server).await;
    let mut lines = Lines::open(&server, &worker.session).await;
    assert_eq!(lines.until(false).await, 1);
    let turn = worker.turn().await;
    assert_eq!(drain(&server, &worker.session, "30s").await.status, 200);
    assert_eq!(lines.until(true).await, 1, "at once");
    let view = view(&server, &worker.session).await;
    assert_eq!(
        (&view["pool"], &view["turns"], &view["activities"], &view["draining"]),
        (&json!("default"), &json!(1), &json!(0), &json!(true))
    );

    // Neither by its poll, nor for what its commit offers.
    server.start("b").await;
    let answer = worker.poll_as(worker.seq(), false, 200).await;
    assert_eq!((&answer.body["turns"], &answer.body["activities"]), (&json!([]), &json!([])));
    let committed = worker.took(&turn, json!([schedule("work")])).await;
    assert!(committed.activities.is_empty() && committed.turns.is_empty(), "{committed:?}");

    // It goes to another one.
    let other = Worker::open(&server).await;
    let mut work = Work::default();
    while work.turns.is_empty() || work.activities.is_empty() {
        let more = other.poll().await;
        work.turns.extend(more.turns);
        work.activities.extend(more.activities);
    }
    assert_eq!((work.turns[0].run.id.as_str(), work.activities[0].run.id.as_str()), ("b", "a"));
}

/// A poll that waits when the mark comes, and still when it goes, as a worker's does that knows nothing of marks.
#[tokio::test]
async fn a_poll_that_waits_takes_nothing_while_its_worker_is_to_be_drained() {
    let server = server().await;
    server.apply().await;
    let worker = Worker::open(&server).await;
    let seq = worker.seq();
    let poll = worker.poll_as(seq, false, 30_000);
    let meanwhile = async {
        // It waits: its slots are offered.
        server.until_polls(1).await;
        assert_eq!(drain(&server, &worker.session, "30s").await.status, 200);
        server.start("a").await;
        let pool = server.get("/v1/pools/default").await.body;
        assert_eq!((&pool["turns"]["backlog"], &pool["turns"]["busy"]), (&json!(1), &json!(0)), "{pool}");
        assert_eq!(works_on(&server, &worker.session).await, 204);
    };
    let (answer, ()) = tokio::join!(poll, meanwhile);
    assert_eq!(answer.body["turns"][0]["run"]["id"], "a", "{}", answer.body);
}

#[tokio::test]
async fn a_mark_is_known_to_all_replicas_outlives_one_and_lapses() {
    let store = Probe::new(2);
    let (one, other) = (serve(store.clone(), config()).await, serve(store, config()).await);
    one.apply().await;
    let worker = Worker::open(&other).await;
    let mut lines = Lines::open(&other, &worker.session).await;
    lines.until(false).await;
    assert_eq!(drain(&one, &worker.session, "3s").await.status, 200);
    lines.until(true).await;
    one.shutdown.cancel();
    other.start("a").await;
    let answer = worker.poll_as(worker.seq(), false, 100).await;
    assert_eq!(answer.body["turns"], json!([]));
    // Nobody renews it.
    lines.until(false).await;
    let turn = worker.turn().await;
    assert_eq!(worker.took(&turn, json!([complete(&json!(1))])).await.results, [ItemResult::Accepted]);
}

/// The first line at another replica must not contradict the last one before.
#[tokio::test]
async fn a_stream_that_is_opened_anew_says_at_once_what_was_said_elsewhere() {
    let store = Probe::new(2);
    let (one, other) = (serve(store.clone(), config()).await, serve(store, config()).await);
    let worker = Worker::open(&one).await;
    for _ in 0..20 {
        assert_eq!(drain(&one, &worker.session, "30s").await.status, 200);
        assert_eq!(Lines::open(&other, &worker.session).await.until(true).await, 1);
        assert_eq!(works_on(&one, &worker.session).await, 204);
        assert_eq!(Lines::open(&other, &worker.session).await.until(false).await, 1);
    }
}

#[tokio::test]
async fn marks_of_sessions_that_have_ended_without_measure_or_of_an_old_term_are_refused() {
    let server = server().await;
    let worker = Worker::open(&server).await;
    for ttl in ["0s", "61s", "soon"] {
        assert_eq!(drain(&server, &worker.session, ttl).await.status, 400, "{ttl}");
    }
    assert_eq!(drain(&server, "nobody", "10s").await.status, 400);
    let term = server.post("/v1/operator/term", &json!({})).await.body["term"].as_u64().unwrap();
    server.post("/v1/operator/term", &json!({})).await;
    let late = server.http.put(format!("{}/v1/workers/{}/drain", server.url, worker.session)).header("everloop-term", term);
    let late = late.json(&json!({"ttl": "10s"})).send().await.unwrap();
    assert_eq!((late.status().as_u16(), late.json::<Value>().await.unwrap()["code"].clone()), (409, json!("OldTerm")));
    assert_eq!(view(&server, &worker.session).await["draining"], Value::Null);
    server.http.delete(format!("{}/v1/worker/session/{}", server.url, worker.session)).send().await.unwrap();
    let gone = drain(&server, &worker.session, "10s").await;
    assert_eq!((gone.status, &gone.body["code"]), (410, &json!("SessionLost")));
    assert_eq!(works_on(&server, &worker.session).await, 410);
}

/// What was known counts while the store is away, until it lapses.
#[tokio::test]
async fn a_store_that_is_away_takes_no_mark_back() {
    let server = server().await;
    let worker = Worker::open(&server).await;
    let mut lines = Lines::open(&server, &worker.session).await;
    let begin = Instant::now();
    assert_eq!(drain(&server, &worker.session, "3s").await.status, 200);
    lines.until(true).await;
    server.store.away.store(true, std::sync::atomic::Ordering::SeqCst);
    lines.until(false).await;
    // Three, less what the clocks of a busy machine may be off.
    assert!(begin.elapsed() >= Duration::from_secs(1), "{:?}", begin.elapsed());
}
