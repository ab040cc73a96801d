use std::time::{Duration, Instant};

use serde_json::json;

use super::harness::{Probe, Server, Worker, config, serve, server};
use crate::queue::Config;

async fn open_stream(server: &Server, session: &str) -> reqwest::Response {
    let mut stream = server.http.get(format!("{}/v1/worker/session/{session}/stream", server.url)).send().await.unwrap();
    assert_eq!(stream.status(), 200);
    let line = stream.chunk().await.unwrap().unwrap();
    assert!(serde_json::from_slice::<serde_json::Value>(&line).unwrap()["now"].as_u64().unwrap() > 0);
    stream
}

async fn renew(server: &Server, session: &str) -> u16 {
    server.post(&format!("/v1/worker/session/{session}/renew"), &json!({})).await.status
}

async fn until_lost(server: &Server, session: &str) -> bool {
    let until = Instant::now() + Duration::from_secs(10);
    while Instant::now() < until {
        if server.store.counts().contains_key("end_session") && renew(server, session).await == 410 {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}

#[tokio::test]
async fn a_broken_stream_ends_the_session_and_its_leases_go_to_others() {
    let server = server().await;
    server.apply().await;
    server.start("a").await;
    let dies = Worker::open(&server).await;
    let stream = open_stream(&server, &dies.session).await;
    let lost = dies.turn().await;
    drop(stream);
    let lives = Worker::open(&server).await;
    let turn = lives.turn().await;
    assert_eq!((turn.run, turn.number), (lost.run, 0));
    assert_eq!(renew(&server, &dies.session).await, 410, "an ended session stays ended");
    assert_eq!(dies.poll_as(dies.seq(), true, 0).await.body["code"], "SessionLost");
}

#[tokio::test]
async fn a_stream_that_comes_back_within_the_grace_keeps_the_session() {
    let grace = Duration::from_secs(2);
    let server = serve(Probe::new(2), Config { session_grace: grace, ..config() }).await;
    let other = serve(server.store.clone(), Config { session_grace: grace, ..config() }).await;
    let worker = Worker::open(&server).await;
    let broken = open_stream(&server, &worker.session).await;
    drop(broken);
    // At another replica, which the first one knows nothing of.
    let _kept = open_stream(&other, &worker.session).await;
    tokio::time::sleep(grace + Duration::from_millis(800)).await;
    assert!(!server.store.counts().contains_key("end_session"));
    assert_eq!(renew(&other, &worker.session).await, 200);
}

/// The connection of the stream alone is gone: nobody died.
#[tokio::test]
async fn a_stream_that_breaks_while_a_poll_waits_ends_no_session() {
    let server = server().await;
    let worker = Worker::open(&server).await;
    let stream = open_stream(&server, &worker.session).await;
    let poll = worker.poll_as(worker.seq(), false, 60_000);
    let broken = async {
        while !server.get("/metrics").await.text.contains("everloop_polls_waiting{pool=\"default\"} 1") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        drop(stream);
        tokio::time::sleep(config().session_grace * 5).await;
    };
    tokio::select! {
        answer = poll => panic!("the poll was answered: {} {}", answer.status, answer.body),
        () = broken => {}
    }
    assert!(!server.store.counts().contains_key("end_session"));
    assert_eq!(renew(&server, &worker.session).await, 200);
}

#[tokio::test]
async fn goodbye_hands_everything_back_at_once() {
    let server = server().await;
    server.apply().await;
    server.start("a").await;
    let leaves = Worker::open(&server).await;
    leaves.turn().await;
    assert_eq!(server.get("/v1/workers").await.body["workers"][0]["leases"], 1);
    let session = format!("{}/v1/worker/session/{}", server.url, leaves.session);
    assert_eq!(server.http.delete(&session).send().await.unwrap().status(), 204);
    assert_eq!(server.http.delete(&session).send().await.unwrap().status(), 204, "a repeat is fine");
    let stays = Worker::open(&server).await;
    assert_eq!(stays.turn().await.run.id.as_str(), "a");
}

#[tokio::test]
async fn a_session_that_is_not_renewed_expires() {
    let ttl = Duration::from_millis(400);
    let server = serve(Probe::new(2), Config { session_ttl: ttl, ..config() }).await;
    server.apply().await;
    server.start("a").await;
    let sleeps = Worker::open(&server).await;
    let turn = sleeps.turn().await;
    assert!(until_lost(&server, &sleeps.session).await);
    let wakes = sleeps.take(&turn, json!([])).await;
    assert!(matches!(&wakes.results[0], crate::api::worker::ItemResult::Refused { .. }), "{:?}", wakes.results);
}

#[tokio::test]
async fn a_replica_that_stops_answers_polls_and_ends_no_session() {
    let mut server = server().await;
    let ended = server.ended.take().unwrap();
    server.apply().await;
    let worker = Worker::open(&server).await;
    let mut stream = open_stream(&server, &worker.session).await;
    let poll = worker.poll_as(1, false, 60_000);
    let stop = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        server.shutdown.cancel();
    };
    let (answer, ()) = tokio::join!(poll, stop);
    assert_eq!((answer.status, &answer.body["turns"]), (200, &json!([])));
    let mut last = Vec::new();
    while let Some(line) = stream.chunk().await.unwrap() {
        last = line.to_vec();
    }
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&last).unwrap()["moved"], json!(true));
    ended.await.unwrap().unwrap();
    assert!(!server.store.counts().contains_key("end_session"));
    let other = serve(server.store.clone(), config()).await;
    assert_eq!(renew(&other, &worker.session).await, 200);
}
