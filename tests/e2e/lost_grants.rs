//! Grants that never arrive, leased by the store and known to nobody, and words that a replica misses. Neither may stay so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::checker;
use crate::crash::{LIMIT, acknowledged};
use crate::fleet::{Fleet, StoreKind};
use crate::shop::Shop;
use crate::workload::{Log, apply_all, drive};

const ECHO: &str = "export default async function echo(input) { return input; }";

async fn session_of_the_worker(server: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let answer: Value = reqwest::get(format!("{server}/v1/workers")).await.expect("an answer").json().await.expect("json");
        if let Some(session) = answer["workers"][0]["session"].as_str() {
            return session.to_owned();
        }
        assert!(Instant::now() < deadline, "the worker has no session");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Polls in the worker's own name, under a number that it never uses, and forgets the answer. The worker's own poll, whose
/// seat was taken, must come back by itself; the lease must be found and handed back.
async fn a_lost_grant_comes_back(kind: StoreKind) {
    let mut fleet = Fleet::start(kind, 1).await;
    fleet.apply("echo", ECHO, json!({})).await;
    fleet.add_worker();
    let server = fleet.server(0);
    let session = session_of_the_worker(&server).await;
    let client = reqwest::Client::new();
    for n in 0..3 {
        let poll = json!({"session": session, "seq": 1_000_000 + n, "turns": 1, "activities": 0, "waitMs": 10_000});
        let stolen = tokio::spawn(client.post(format!("{server}/v1/worker/poll")).json(&poll).send());
        tokio::time::sleep(Duration::from_millis(5)).await;
        let start = json!({"workflow": "echo", "id": format!("e{n}"), "input": n});
        let url = format!("{server}/v1/namespaces/default/runs");
        let answer = client.post(url).json(&start).send().await.expect("an answer");
        assert!(answer.status().is_success());
        drop(stolen);
        let url = format!("{server}/v1/namespaces/default/runs/e{n}?wait=30s");
        let view: Value = client.get(url).send().await.expect("an answer").json().await.expect("json");
        assert_eq!(view["result"], n, "{view:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g3_a_lost_grant_comes_back_on_the_embedded_store() {
    a_lost_grant_comes_back(StoreKind::File).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g3_a_lost_grant_comes_back_on_redis() {
    a_lost_grant_comes_back(StoreKind::Redis).await;
}

/// A replica hears of work by subscription. One whose subscription breaks again and again misses words, and looks by itself.
#[tokio::test(flavor = "multi_thread")]
async fn rule_18_words_that_a_replica_missed_are_made_up_for() {
    let shop = Shop::open().await;
    let mut fleet = Fleet::start(StoreKind::Redis, 2).await;
    apply_all(&fleet, &shop).await;
    fleet.add_worker_with(1, &[], &[]);
    let log = Log::default();
    let (stop, url) = (Arc::new(AtomicBool::new(false)), fleet.store_url.clone());
    let stopped = stop.clone();
    let deaf = tokio::task::spawn_blocking(move || {
        let mut connection = redis::Client::open(url).and_then(|client| client.get_connection()).expect("Redis answers");
        let mut killed = 0_u64;
        while !stopped.load(Ordering::SeqCst) {
            killed += redis::cmd("CLIENT").arg(&["KILL", "TYPE", "pubsub"]).query::<u64>(&mut connection).expect("Redis answers");
            std::thread::sleep(Duration::from_millis(5));
        }
        killed
    });
    drive(vec![fleet.server(0)], log.clone(), "deaf", 80).await;
    checker::check(&fleet.server(0), &shop, &acknowledged(&log), LIMIT).await;
    stop.store(true, Ordering::SeqCst);
    assert!(deaf.await.expect("no panic") > 4, "subscriptions were broken");
}
