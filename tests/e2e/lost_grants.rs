//! Grants that never arrive: leased by the store, known to nobody. They must not stay so.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::fleet::{Fleet, StoreKind};

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
