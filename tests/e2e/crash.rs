//! Processes die, hang and come back; what was acknowledged holds.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rustix::process::Signal;

use crate::checker;
use crate::fleet::{Fleet, StoreKind};
use crate::shop::Shop;
use crate::workload::{Log, apply_all, drive, slow_run};

const RUNS: usize = 240;
pub const LIMIT: Duration = Duration::from_secs(90);

/// A seed from the environment, or a new one; printed, so that a failure can be repeated.
pub fn rng(test: &str) -> StdRng {
    let seed = std::env::var("EVERLOOP_TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(rand::random::<u64>);
    eprintln!("{test}: EVERLOOP_TEST_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

async fn world(kind: StoreKind, services: usize, workers: usize) -> (Fleet, Shop, Log) {
    let shop = Shop::open().await;
    shop.ledger.fail_one_of.store(13, std::sync::atomic::Ordering::SeqCst);
    let mut fleet = Fleet::start(kind, services).await;
    apply_all(&fleet, &shop).await;
    for i in 0..workers {
        fleet.add_worker_with(i % services, &[], &[]);
    }
    (fleet, shop, Log::default())
}

pub fn acknowledged(log: &Log) -> Vec<crate::workload::Acknowledged> {
    log.0.lock().expect("no panic while it is held").clone()
}

async fn pause(rng: &mut StdRng, ms: std::ops::Range<u64>) {
    tokio::time::sleep(Duration::from_millis(rng.random_range(ms))).await;
}

async fn workers_die(kind: StoreKind) {
    let mut rng = rng("workers_die");
    let (mut fleet, shop, log) = world(kind, 1, 3).await;
    let client = tokio::spawn(drive(vec![fleet.server(0)], log.clone(), "wd", RUNS));
    for _ in 0..6 {
        pause(&mut rng, 200..900).await;
        let names: Vec<String> = fleet.workers.keys().cloned().collect();
        let victim = &names[rng.random_range(0..names.len())];
        fleet.kill_worker(victim);
        fleet.add_worker_with(0, &["--loops", "2"], &[]);
    }
    client.await.expect("the client");
    checker::check(&fleet.server(0), &shop, &acknowledged(&log), LIMIT).await;
}

async fn service_dies(kind: StoreKind) {
    let mut rng = rng("service_dies");
    let (mut fleet, shop, log) = world(kind, 1, 2).await;
    let client = tokio::spawn(drive(vec![fleet.server(0)], log.clone(), "sd", RUNS));
    for _ in 0..5 {
        pause(&mut rng, 200..1_200).await;
        fleet.restart_service(0).await;
    }
    client.await.expect("the client");
    checker::check(&fleet.server(0), &shop, &acknowledged(&log), LIMIT).await;
}

async fn redis_dies(kind: StoreKind) {
    let mut rng = rng("redis_dies");
    let (mut fleet, shop, log) = world(kind, 2, 2).await;
    let client = tokio::spawn(drive(vec![fleet.server(0), fleet.server(1)], log.clone(), "rd", RUNS));
    for round in 0..5 {
        pause(&mut rng, 200..1_200).await;
        fleet.redis.as_mut().expect("redis runs").kill();
        pause(&mut rng, 10..400).await;
        fleet.start_redis();
        if round == 2 {
            fleet.restart_service(1).await;
        }
    }
    client.await.expect("the client");
    checker::check(&fleet.server(0), &shop, &acknowledged(&log), LIMIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g3_workers_die_on_the_embedded_store() {
    workers_die(StoreKind::File).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g3_workers_die_on_redis() {
    workers_die(StoreKind::Redis).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g3_the_service_dies_on_the_embedded_store() {
    service_dies(StoreKind::File).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g3_the_service_dies_on_redis() {
    service_dies(StoreKind::Redis).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g3_redis_dies_under_two_services() {
    redis_dies(StoreKind::Redis).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g3_valkey_dies_under_two_services() {
    redis_dies(StoreKind::Valkey).await;
}

/// The store, the service and the workers die in one moment, several times.
async fn everything_dies(kind: StoreKind) {
    let mut rng = rng("everything_dies");
    let (mut fleet, shop, log) = world(kind, 1, 2).await;
    let client = tokio::spawn(drive(vec![fleet.server(0)], log.clone(), "all", RUNS));
    for _ in 0..3 {
        pause(&mut rng, 300..1_200).await;
        if let Some(redis) = fleet.redis.as_mut() {
            redis.kill();
        }
        drop(fleet.services[0].take());
        fleet.workers.clear();
        fleet.start_redis();
        fleet.start_service(0, &[]);
        fleet.add_worker();
        fleet.add_worker_with(0, &["--loops", "2"], &[]);
    }
    client.await.expect("the client");
    checker::check(&fleet.server(0), &shop, &acknowledged(&log), LIMIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g3_everything_dies_at_once_on_the_embedded_store() {
    everything_dies(StoreKind::File).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g3_everything_dies_at_once_on_redis() {
    everything_dies(StoreKind::Redis).await;
}

/// Outcomes of attempts that were refused because another lease has taken their place.
async fn refusals(server: &str) -> u64 {
    let metrics = reqwest::get(format!("{server}/metrics")).await.expect("an answer").text().await.expect("text");
    let line = metrics.lines().find_map(|line| line.strip_prefix("everloop_commits_refused_total{reason=\"AttemptLost\"} "));
    line.map_or(0, |count| count.trim().parse().expect("a number"))
}

/// Sessions that a replica has ended, by reason.
pub async fn ended(server: &str) -> BTreeMap<String, u64> {
    let metrics = reqwest::get(format!("{server}/metrics")).await.expect("an answer").text().await.expect("text");
    let ended = metrics.lines().filter_map(|line| line.strip_prefix("everloop_sessions_ended_total{reason=\"")?.split_once("\"} "));
    ended.map(|(reason, count)| (reason.to_owned(), count.trim().parse().expect("a number"))).collect()
}

/// One of two replicas dies for good: who was connected to it goes on at the other one.
async fn a_replica_is_gone_for_good(kind: StoreKind) {
    let (mut fleet, shop, log) = world(kind, 2, 0).await;
    for _ in 0..2 {
        fleet.add_worker_with(0, &["--server", &format!("{},{}", fleet.server(0), fleet.server(1))], &[]);
    }
    let client = tokio::spawn(drive(vec![fleet.server(0), fleet.server(1)], log.clone(), "gone", RUNS));
    tokio::time::sleep(Duration::from_millis(600)).await;
    drop(fleet.services[0].take());
    client.await.expect("the client");
    checker::check(&fleet.server(1), &shop, &acknowledged(&log), LIMIT).await;
    let told = fleet.log_text("queue-1");
    assert!(!told.contains("stream broke"), "a replica took the workers of one that died for dead:\n{told}");
    let listed = std::process::Command::new(env!("CARGO_BIN_EXE_everloop"))
        .args(["list", "--server", &format!("{},{}", fleet.server(0), fleet.server(1))])
        .output()
        .expect("everloop runs");
    assert!(listed.status.success(), "the command line asks the next one: {}", String::from_utf8_lossy(&listed.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn g3_a_replica_is_gone_for_good() {
    a_replica_is_gone_for_good(StoreKind::Redis).await;
}

/// G2: a worker that was stopped past its session and goes on is refused; the work was done by another.
async fn a_stopped_worker_is_refused(kind: StoreKind) {
    let (mut fleet, shop, log) = world(kind, 1, 1).await;
    let stopped = fleet.workers.keys().next().cloned().expect("one worker");
    // It holds these attempts when it is stopped, and their answers when it goes on: they take about as long as its session lives.
    let slow: Vec<_> = (0..4).map(|n| slow_run(fleet.server(0), log.clone(), format!("slow-{n}"), 2, 1_500)).collect();
    futures_util::future::join_all(slow).await;
    let client = tokio::spawn(drive(vec![fleet.server(0)], log.clone(), "st", RUNS));
    tokio::time::sleep(Duration::from_millis(700)).await;
    fleet.workers[&stopped].signal(Signal::STOP);
    let other = fleet.add_worker();
    // Its session has ended when all of its leases are gone: then the other one does all of the work.
    let server = fleet.server(0);
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    loop {
        let workers: serde_json::Value = reqwest::get(format!("{server}/v1/workers")).await.expect("an answer").json().await.expect("json");
        let names: Vec<&str> = workers["workers"].as_array().expect("a list").iter().filter_map(|w| w["session"].as_str()).collect();
        if !names.iter().any(|n| n.starts_with(&format!("{stopped}-"))) {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "the session of a stopped worker does not end: {names:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let ended = ended(&server).await;
    assert_eq!(ended, BTreeMap::from([("expired".to_owned(), 1)]), "its connections were open all the time");
    fleet.workers[&stopped].signal(Signal::CONT);
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    // What it commits is refused, unless it learns first that its session is lost, and commits nothing.
    while refusals(&server).await == 0 && !fleet.log_text(&stopped).contains("session lost") {
        assert!(std::time::Instant::now() < deadline, "the stopped worker is not refused:\n{}", fleet.log_text(&stopped));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    client.await.expect("the client");
    checker::check(&server, &shop, &acknowledged(&log), LIMIT).await;
    assert!(fleet.workers.get_mut(&stopped).expect("it is there").is_alive(), "it goes on with a new session");
    assert!(fleet.workers.get_mut(&other).expect("it is there").is_alive());
}

#[tokio::test(flavor = "multi_thread")]
async fn g2_a_stopped_worker_is_refused_on_the_embedded_store() {
    a_stopped_worker_is_refused(StoreKind::File).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g2_a_stopped_worker_is_refused_on_redis() {
    a_stopped_worker_is_refused(StoreKind::Redis).await;
}
