use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;

use super::harness::{Probe, Worker, complete, config, serve, server};
use crate::api::worker::ItemResult;
use crate::queue::Config;

#[tokio::test]
async fn a_store_that_is_away_is_unknown_and_not_refused_and_all_goes_on_when_it_is_back() {
    let server = server().await;
    server.apply().await;
    server.start("a").await;
    let worker = Worker::open(&server).await;
    let turn = worker.turn().await;

    server.store.away.store(true, Ordering::SeqCst);
    let start = server.start("b").await;
    assert_eq!((start.status, &start.body["code"]), (503, &json!("StoreUnavailable")));
    assert_eq!(start.headers["retry-after"], "1");
    assert!(start.body["next"].as_str().unwrap().contains("Idempotency-Key"));
    let seq = worker.seq();
    let item = super::harness::turn_item(&turn, json!([complete(&json!(1))]));
    let lost = worker.commit_as(seq, json!([item])).await;
    assert!(matches!(lost.results[0], ItemResult::Unknown { .. }), "{:?}", lost.results);
    let ready = server.get("/readyz").await;
    assert_eq!((ready.status, &ready.body["ready"]), (200, &json!(true)), "it takes requests and says what is wrong");
    assert!(ready.body["reason"].as_str().unwrap().contains("does not answer"), "{}", ready.body);
    assert_eq!(server.get("/healthz").await.status, 200);
    assert!(server.get("/metrics").await.text.contains("everloop_store_away 1\n"));

    server.store.away.store(false, Ordering::SeqCst);
    assert_eq!(worker.commit_as(seq, json!([item])).await.results, [ItemResult::Accepted]);
    assert_eq!(server.start("b").await.status, 201);
    assert_eq!(worker.turn().await.run.id.as_str(), "b");
    assert_eq!(server.get("/readyz").await.body["reason"], "");
    assert!(server.get("/metrics").await.text.contains("everloop_store_away 0\n"));
}

#[tokio::test]
async fn nothing_expires_until_a_whole_ttl_after_an_outage() {
    let ttl = Duration::from_millis(1_200);
    let server = serve(Probe::new(1), Config { session_ttl: ttl, ..config() }).await;
    let worker = Worker::open(&server).await;
    server.store.away.store(true, Ordering::SeqCst);
    // Longer than the session lives; the worker cannot renew it.
    tokio::time::sleep(ttl + ttl / 2).await;
    server.store.away.store(false, Ordering::SeqCst);
    // Its deadline has passed, and the loops have looked many times.
    tokio::time::sleep(ttl / 2).await;
    assert_eq!(server.store.counts().get("end_session"), None);
    let renewed = server.post(&format!("/v1/worker/session/{}/renew", worker.session), &json!({})).await;
    assert_eq!(renewed.status, 200, "{}", renewed.body);
}
