//! Processes are asked to stop, as a rolling update does it: nothing is lost, and nothing waits for a session to expire.

use std::time::Duration;

use rustix::process::Signal;

use crate::checker;
use crate::crash::{LIMIT, acknowledged};
use crate::fleet::{Fleet, StoreKind};
use crate::shop::Shop;
use crate::workload::{Log, apply_all, drive, slow_run};

const RUNS: usize = 240;
const STOPS_WITHIN: Duration = Duration::from_mins(1);

async fn world(kind: StoreKind, services: usize) -> (Fleet, Shop, Log) {
    let shop = Shop::open().await;
    let fleet = Fleet::start(kind, services).await;
    apply_all(&fleet, &shop).await;
    (fleet, shop, Log::default())
}

/// Each attempt reached the shop once: nothing was handed to another worker while it ran.
fn no_attempt_was_repeated(shop: &Shop) {
    let executions = shop.ledger.executions.lock().expect("no panic while it is held");
    let repeated: Vec<_> = executions.iter().filter(|(_, tokens)| tokens.len() > 1).collect();
    assert!(repeated.is_empty(), "attempts ran twice: {repeated:?}");
}

async fn workers_stop(kind: StoreKind) {
    let (mut fleet, shop, log) = world(kind, 1).await;
    fleet.add_worker();
    let client = tokio::spawn(drive(vec![fleet.server(0)], log.clone(), "stop", RUNS));
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let leaving = fleet.workers.keys().next().cloned().expect("a worker");
        fleet.add_worker();
        fleet.workers[&leaving].signal(Signal::TERM);
        let code = fleet.workers.get_mut(&leaving).expect("it is there").wait(STOPS_WITHIN);
        assert_eq!(code, Some(0), "{}", fleet.log_text(&leaving));
        fleet.workers.remove(&leaving);
    }
    client.await.expect("the client");
    checker::check(&fleet.server(0), &shop, &acknowledged(&log), LIMIT).await;
    no_attempt_was_repeated(&shop);
}

#[tokio::test(flavor = "multi_thread")]
async fn g7_workers_that_are_asked_to_stop_repeat_no_attempt_on_the_embedded_store() {
    workers_stop(StoreKind::File).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g7_workers_that_are_asked_to_stop_repeat_no_attempt_on_redis() {
    workers_stop(StoreKind::Redis).await;
}

/// What a worker cannot finish in its time to drain goes back at once, as if it had never been begun: the same attempt, no loss.
async fn a_worker_hands_back_what_it_cannot_finish(kind: StoreKind) {
    let (mut fleet, shop, log) = world(kind, 1).await;
    let leaving = fleet.add_worker_with(0, &["--drain", "50ms"], &[]);
    let server = fleet.server(0);
    let ids: Vec<_> = (0..8).map(|n| format!("slow-{n}")).collect();
    for id in &ids {
        slow_run(server.clone(), log.clone(), id.clone(), 1, 1_500).await;
    }
    let deadline = std::time::Instant::now() + STOPS_WITHIN;
    while shop.ledger.executions.lock().expect("no panic while it is held").len() < ids.len() {
        assert!(std::time::Instant::now() < deadline, "the attempts do not begin");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    fleet.workers[&leaving].signal(Signal::TERM);
    let code = fleet.workers.get_mut(&leaving).expect("it is there").wait(STOPS_WITHIN);
    assert_eq!(code, Some(0), "{}", fleet.log_text(&leaving));
    let released = crate::operations::operations(&server).await.get("release").copied();
    assert_eq!(released, Some(8), "each attempt was handed back, not left to the end of the session");
    fleet.add_worker();
    checker::check(&server, &shop, &acknowledged(&log), LIMIT).await;
    for id in &ids {
        let journal = checker::journal(&server, id).await;
        let events = journal.iter().flat_map(|entry| entry["events"].as_array().into_iter().flatten());
        let attempts: Vec<_> = events.filter_map(|event| event["ActivityCompleted"]["attempt"].as_u64()).collect();
        assert_eq!(attempts, [1], "{id} used up no attempt");
    }
    let executions = shop.ledger.executions.lock().expect("no panic while it is held");
    assert!(executions.values().all(|tokens| tokens.len() == 2), "all were under way, and done again by the other worker: {executions:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_hands_back_what_it_cannot_finish_on_the_embedded_store() {
    a_worker_hands_back_what_it_cannot_finish(StoreKind::File).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_hands_back_what_it_cannot_finish_on_redis() {
    a_worker_hands_back_what_it_cannot_finish(StoreKind::Redis).await;
}

/// A replica that stops ends no session: its workers go on at another one. Here it comes back at the same address.
#[tokio::test(flavor = "multi_thread")]
async fn rule_9_a_service_that_stops_ends_no_session() {
    let (mut fleet, shop, log) = world(StoreKind::Redis, 1).await;
    fleet.add_worker();
    let client = tokio::spawn(drive(vec![fleet.server(0)], log.clone(), "roll", RUNS));
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(400)).await;
        let mut service = fleet.services[0].take().expect("it runs");
        service.signal(Signal::TERM);
        assert_eq!(service.wait(STOPS_WITHIN), Some(0), "{}", fleet.log_text("queue-0"));
        fleet.start_service(0, &[]);
        fleet.ready(0).await;
    }
    client.await.expect("the client");
    checker::check(&fleet.server(0), &shop, &acknowledged(&log), LIMIT).await;
    no_attempt_was_repeated(&shop);
    let opened = fleet.log_text("w1").matches("session opened").count();
    assert_eq!(opened, 1, "the worker kept its session:\n{}", fleet.log_text("w1"));
}
