//! What a cluster is told of a process: a worker is alive from the start, ready with a session, and not ready any more from SIGTERM on;
//! a queue service that waits for its store is alive, and ready when it has it.

use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use crate::fleet::{Fleet, Process, StoreKind, free_port};

async fn status(port: u16, path: &str) -> Option<u16> {
    reqwest::get(format!("http://127.0.0.1:{port}{path}")).await.ok().map(|answer| answer.status().as_u16())
}

async fn until(port: u16, path: &str, wanted: u16) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while status(port, path).await != Some(wanted) {
        assert!(Instant::now() < deadline, "{path} is not {wanted} within 20 s");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_ready_while_it_takes_on_work() {
    let mut fleet = Fleet::start(StoreKind::File, 1).await;
    fleet.services[0] = None;
    let port = free_port();
    let mut command = Command::new(env!("CARGO_BIN_EXE_everloop"));
    command
        .args(["worker", "--probes", &format!("127.0.0.1:{port}"), "--drain", "20s", "--allow-local"])
        .env("EVERLOOP_SERVER", fleet.server(0));
    let mut worker = Process::spawn("worker", &mut command);
    until(port, "/healthz", 200).await;
    assert_eq!(status(port, "/readyz").await, Some(503), "alive, and without a session");
    fleet.start_service(0, &[]);
    until(port, "/readyz", 200).await;

    // It drains as long as its activity goes on, which is until we answer.
    let slow = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let source = "export default async function main() { return await slow(null); }";
    let url = format!("http://{}/", slow.local_addr().expect("bound"));
    fleet.apply("slow", source, json!({"slow": {"http": {"url": url}}})).await;
    let (client, runs) = (reqwest::Client::new(), format!("{}/v1/namespaces/default/runs", fleet.server(0)));
    let started = client.post(&runs).json(&json!({"workflow": "slow", "id": "one"})).send().await.expect("an answer");
    assert_eq!(started.status(), 201);
    let begun = tokio::time::timeout(Duration::from_secs(30), slow.accept()).await.expect("the activity begins within 30 s");
    let (mut request, _) = begun.expect("a connection");
    worker.signal(Signal::TERM);
    until(port, "/readyz", 503).await;
    assert_eq!(status(port, "/healthz").await, Some(200), "it is not killed for draining");
    request.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1\r\n\r\n1").await.expect("it waits");
    assert_eq!(worker.wait(Duration::from_secs(30)), Some(0));
}

/// So that a new installation is seen to go on with what an earlier one has left, or to begin with nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_tells_which_store_it_found_and_how_many_runs_are_open_in_it() {
    for kind in [StoreKind::File, StoreKind::Redis] {
        let mut fleet = Fleet::start(kind, 1).await;
        fleet.apply("waits", "export default async function main() { await new Promise(() => {}); }", json!({})).await;
        let (client, server) = (reqwest::Client::new(), fleet.server(0));
        for id in ["one", "two", "three"] {
            let start = json!({"workflow": "waits", "id": id});
            let started = client.post(format!("{server}/v1/namespaces/default/runs")).json(&start).send().await.expect("an answer");
            assert_eq!(started.status(), 201);
        }
        let ended = client.post(format!("{server}/v1/namespaces/default/runs/three/terminate")).json(&json!({})).send().await;
        assert!(ended.expect("an answer").status().is_success());
        let ready: Value = reqwest::get(format!("{server}/readyz")).await.expect("an answer").json().await.expect("JSON");
        fleet.restart_service(0).await;
        let log = fleet.log_text("queue-0");
        let told: Vec<_> = log.lines().filter(|line| line.contains("queue service listens")).collect();
        let id = ready["store_id"].as_str().expect("an id");
        assert!(told.len() == 2 && told.iter().all(|line| line.contains(id)), "{kind:?}: {log}");
        assert!(told[0].contains("open_runs=0") && told[1].contains("open_runs=2"), "{kind:?}: {told:#?}");
    }
}

/// Readiness does not cascade at once; after half a minute without the service there is no work to be expected. It is never killed for that.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_service_is_away_for_long_is_alive_and_not_ready() {
    let mut fleet = Fleet::start(StoreKind::File, 1).await;
    let port = free_port();
    let mut command = Command::new(env!("CARGO_BIN_EXE_everloop"));
    command.args(["worker", "--probes", &format!("127.0.0.1:{port}")]).env("EVERLOOP_SERVER", fleet.server(0));
    let _worker = Process::spawn("worker", &mut command);
    until(port, "/readyz", 200).await;
    fleet.services[0] = None;
    let deadline = Instant::now() + Duration::from_mins(2);
    let mut ready = 0;
    while status(port, "/readyz").await != Some(503) {
        ready += 1;
        assert_eq!(status(port, "/healthz").await, Some(200), "alive throughout");
        assert!(Instant::now() < deadline, "still ready two minutes after the service went");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(ready > 1, "a service that went a moment ago changes nothing");
    assert_eq!(status(port, "/healthz").await, Some(200));
    fleet.start_service(0, &[]);
    until(port, "/readyz", 200).await;
}

/// In a cluster both start at once: the service is alive and not ready until Redis has come.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_waits_for_its_store_is_alive_and_not_ready() {
    let mut fleet = Fleet::start(StoreKind::Redis, 1).await;
    fleet.redis.as_mut().expect("it runs").kill();
    let port = free_port();
    let mut command = Command::new(env!("CARGO_BIN_EXE_everloop"));
    command.args(["queue", "--wait-for-store", "--listen", &format!("127.0.0.1:{port}"), "--store", &fleet.store_url]);
    let mut queue = Process::spawn("queue", &mut command);
    until(port, "/healthz", 200).await;
    assert_eq!(status(port, "/readyz").await, Some(503));
    assert_eq!(status(port, "/v1/workers").await, Some(404), "nothing else is served yet");
    fleet.start_redis();
    until(port, "/readyz", 200).await;
    assert_eq!(status(port, "/v1/workers").await, Some(200));
    queue.signal(Signal::TERM);
    assert_eq!(queue.wait(Duration::from_secs(20)), Some(0));

    // One that does not come is not waited for longer than the process is wanted.
    fleet.redis.as_mut().expect("it runs").kill();
    let mut queue = Process::spawn("queue", &mut command);
    until(port, "/healthz", 200).await;
    queue.signal(Signal::TERM);
    assert_eq!(queue.wait(Duration::from_secs(20)), Some(0));
}
