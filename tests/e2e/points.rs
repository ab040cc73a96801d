//! Processes die at every named point of an operation; what was acknowledged holds.

use std::time::{Duration, Instant};

use everloop::telemetry::crash::{OPERATIONS, TRANSACTION, WORKER};
use rand::RngExt;
use rand::rngs::StdRng;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::checker;
use crate::crash::{LIMIT, acknowledged, rng};
use crate::fleet::{Fleet, StoreKind};
use crate::shop::Shop;
use crate::workload::{Log, apply_all, drive, post, slow_run};

/// Runs that are started while one point is waited for.
const RUNS: usize = 12;
/// A point that is not passed for so long is not reached at all: then the test says nothing.
const PASSED_WITHIN: Duration = Duration::from_secs(30);

const ASKING: &str = r"
export default async function asking() { return (await Promise.all([1, 2, 3, 4, 5].map((n) => ask(n)))).join(''); }
";

/// The operations of which a round has few: their first one is the one.
const RARE: [&str; 10] = ["chain", "settle", "define", "retire", "control", "open_session", "end_session", "release", "extend", "sweep"];

async fn world(kind: StoreKind) -> (Fleet, Shop, Log) {
    let shop = Shop::open().await;
    let fleet = Fleet::start(kind, 1).await;
    apply_all(&fleet, &shop).await;
    fleet.apply("asking", ASKING, json!({"ask": {"queue": "people", "timeout": "2s"}})).await;
    (fleet, shop, Log::default())
}

/// One of the first times that the point is passed.
fn some_time(rng: &mut StdRng, point: &str) -> String {
    let rare = RARE.iter().any(|operation| point.starts_with(operation));
    format!("{point}:{}", if rare { 1 } else { rng.random_range(1..6) })
}

async fn until_dead(what: &str, mut is_alive: impl FnMut() -> bool) {
    let deadline = Instant::now() + PASSED_WITHIN;
    while is_alive() {
        assert!(Instant::now() < deadline, "no process passes the point {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What only people and programs do: definitions, a pause and a resume, tasks of an external queue with heartbeats, answered together.
async fn people(server: String, round: usize) {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).build().expect("a client");
    let servers = [server.clone()];
    let definition = json!({"name": "other", "pool": "default", "definition": {"source": format!("export default async () => {round};")}});
    let other = format!("{server}/v1/namespaces/default/workflows/other");
    let asked = async |request: reqwest::RequestBuilder| {
        let deadline = Instant::now() + PASSED_WITHIN;
        loop {
            match request.try_clone().expect("a request that can be sent again").send().await {
                Ok(answer) if answer.status() != 503 => {
                    assert!(answer.status().is_success(), "{:?}", answer.text().await);
                    return answer.json::<Value>().await.expect("a workflow");
                }
                _ => assert!(Instant::now() < deadline, "a definition is not answered"),
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    };
    asked(client.put(&other).json(&definition)).await;
    let retired = asked(client.delete(&other)).await;
    assert_eq!(asked(client.get(&other)).await["retired"], true, "{retired}");
    let id = format!("asking-{round}");
    let run = format!("/v1/namespaces/default/runs/{id}");
    let start = json!({"workflow": "asking", "id": id});
    let answered = async |path: String, body: Value| {
        let (status, answer) = post(&client, &servers, &path, &format!("{path}-{round}"), &body).await;
        assert!((200..300).contains(&status), "POST {path}: {status} {answer}");
        answer
    };
    answered("/v1/namespaces/default/runs".to_owned(), start).await;
    answered(format!("{run}/pause"), json!({})).await;
    answered(format!("{run}/resume"), json!({})).await;
    // A task whose answer was lost comes back after its time-out.
    let deadline = Instant::now() + PASSED_WITHIN;
    loop {
        let poll = answered("/v1/namespaces/default/queues/people/poll".to_owned(), json!({"wait": "500ms", "max": 5})).await;
        let tasks = poll["tasks"].as_array().cloned().unwrap_or_default();
        for task in &tasks {
            let token = task["token"].as_str().expect("a token");
            let (beat, _) = post(&client, &servers, &format!("/v1/activities/{token}/heartbeat"), token, &json!({})).await;
            assert!(beat == 200 || beat == 409, "a heartbeat: {beat}");
        }
        if let Some(first) = tasks.first() {
            let outcomes: Vec<_> = tasks.iter().map(|task| json!({"token": task["token"], "result": task["argument"]})).collect();
            let key = first["token"].as_str().expect("a token");
            let (status, answer) = post(&client, &servers, "/v1/activities/settle", key, &json!({"tasks": outcomes})).await;
            assert_eq!(status, 200, "{answer}");
        }
        let view = client.get(format!("{server}{run}")).send().await;
        if let Ok(view) = view
            && let Ok(view) = view.json::<Value>().await
            && !view["closedAt"].is_null()
        {
            assert_eq!(view["result"], "12345", "{view:#?}");
            return;
        }
        assert!(Instant::now() < deadline, "{id} does not end");
    }
}

/// What makes a service do each of its operations: runs, people, and a worker that comes while another one goes, with what it can
/// hand back or without a word.
async fn under_load(fleet: &mut Fleet, log: &Log, round: usize, point: &str) -> (JoinHandle<()>, JoinHandle<()>) {
    let runs = tokio::spawn(drive(vec![fleet.server(0)], log.clone(), format!("r{round}"), RUNS));
    let others = tokio::spawn(people(fleet.server(0), round));
    let leaving = fleet.workers.keys().next().cloned().expect("a worker");
    fleet.add_worker_with(0, &["--drain", "50ms"], &[]);
    tokio::time::sleep(Duration::from_millis(300)).await;
    if point.starts_with("release") {
        // Attempts that take longer than the worker may take to stop.
        let slow: Vec<_> = (0..6).map(|n| slow_run(fleet.server(0), log.clone(), format!("slow{round}-{n}"), 2, 700)).collect();
        futures_util::future::join_all(slow).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        fleet.workers.values().for_each(|worker| worker.signal(Signal::TERM));
    } else {
        fleet.kill_worker(&leaving);
    }
    (runs, others)
}

/// All workers were asked to stop where a release was waited for.
fn replace_released(fleet: &mut Fleet, point: &str) {
    if point.starts_with("release") {
        fleet.workers.clear();
        fleet.add_worker_with(0, &["--drain", "50ms"], &[]);
    }
}

async fn services_die_at(kind: StoreKind, points: Vec<String>) {
    let mut rng = rng("services_die_at");
    let (mut fleet, shop, log) = world(kind).await;
    fleet.add_worker_with(0, &["--drain", "50ms"], &[]);
    for (round, point) in points.iter().enumerate() {
        let at = some_time(&mut rng, point);
        drop(fleet.services[0].take());
        fleet.start_service(0, &[("EVERLOOP_CRASH_AT", &at)]);
        let (runs, others) = under_load(&mut fleet, &log, round, point).await;
        until_dead(&at, || fleet.services[0].as_mut().is_some_and(crate::fleet::Process::is_alive)).await;
        fleet.restart_service(0).await;
        replace_released(&mut fleet, point);
        runs.await.expect("the client");
        others.await.expect("the people");
    }
    checker::check(&fleet.server(0), &shop, &acknowledged(&log), LIMIT).await;
}

/// The store's server dies right before and right after each operation, under a service that lives.
async fn the_store_dies_at(kind: StoreKind, points: Vec<String>) {
    let mut rng = rng("the_store_dies_at");
    let (mut fleet, shop, log) = world(kind).await;
    fleet.add_worker_with(0, &["--drain", "50ms"], &[]);
    for (round, point) in points.iter().enumerate() {
        let at = some_time(&mut rng, point);
        let victim = fleet.redis.as_ref().expect("it runs").id().to_string();
        drop(fleet.services[0].take());
        fleet.start_service(0, &[("EVERLOOP_CRASH_AT", &at), ("EVERLOOP_CRASH_VICTIM", &victim)]);
        let (runs, others) = under_load(&mut fleet, &log, round, point).await;
        until_dead(&at, || fleet.redis.as_mut().is_some_and(crate::fleet::Process::is_alive)).await;
        fleet.start_redis();
        replace_released(&mut fleet, point);
        runs.await.expect("the client");
        others.await.expect("the people");
        assert!(fleet.services[0].as_mut().is_some_and(crate::fleet::Process::is_alive), "the service outlives its store");
    }
    checker::check(&fleet.server(0), &shop, &acknowledged(&log), LIMIT).await;
}

async fn workers_die_at_every_point(kind: StoreKind) {
    let mut rng = rng("workers_die_at_every_point");
    let (mut fleet, shop, log) = world(kind).await;
    fleet.add_worker();
    for (round, point) in WORKER.iter().enumerate() {
        let at = format!("{point}:{}", rng.random_range(1..8));
        let victim = fleet.add_worker_with(0, &[], &[("EVERLOOP_CRASH_AT", &at)]);
        let (server, log) = (fleet.server(0), log.clone());
        let runs = tokio::spawn(async move {
            for batch in 0.. {
                drive(vec![server.clone()], log.clone(), format!("w{round}-{batch}"), RUNS).await;
            }
        });
        until_dead(&at, || fleet.workers.get_mut(&victim).is_some_and(crate::fleet::Process::is_alive)).await;
        // A start that is cut off here was acknowledged to nobody.
        runs.abort();
    }
    checker::check(&fleet.server(0), &shop, &acknowledged(&log), LIMIT).await;
}

fn operations() -> Vec<String> {
    OPERATIONS.iter().flat_map(|operation| [format!("{operation}.before"), format!("{operation}.after")]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn g3_services_die_at_every_point_on_the_embedded_store() {
    let transaction = TRANSACTION.iter().map(|point| (*point).to_owned());
    services_die_at(StoreKind::File, operations().into_iter().chain(transaction).collect()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g3_services_die_at_every_point_on_redis() {
    services_die_at(StoreKind::Redis, operations()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g3_redis_dies_at_every_point_of_an_operation() {
    the_store_dies_at(StoreKind::Redis, operations()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g3_workers_die_at_every_point_on_the_embedded_store() {
    workers_die_at_every_point(StoreKind::File).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g3_workers_die_at_every_point_on_redis() {
    workers_die_at_every_point(StoreKind::Redis).await;
}
