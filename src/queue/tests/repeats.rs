use serde_json::json;

use super::harness::{Worker, server};

const RUNS: &str = "/v1/namespaces/default/runs";

#[tokio::test]
async fn a_start_with_the_same_key_is_the_same_run() {
    let server = server().await;
    server.apply().await;
    let start = json!({"workflow": "w", "input": 1});
    let first = server.post_with_key(RUNS, "k1", &start).await;
    let second = server.post_with_key(RUNS, "k1", &start).await;
    assert_eq!((first.status, second.status), (201, 200));
    assert_eq!(first.body["uid"], second.body["uid"]);
    let other = server.post_with_key(RUNS, "k1", &json!({"workflow": "w", "input": 2})).await;
    assert_eq!((other.status, &other.body["code"]), (409, &json!("IdempotencyKeyReused")), "{}", other.body);
    let fresh = server.post(RUNS, &start).await;
    assert_ne!(fresh.body["id"], first.body["id"], "without a key every start is a new run");
}

#[tokio::test]
async fn an_id_is_taken_by_another_input_only() {
    let server = server().await;
    server.apply().await;
    assert_eq!(server.start("a").await.status, 201);
    assert_eq!(server.start("a").await.status, 200);
    let taken = server.post(RUNS, &json!({"workflow": "w", "id": "a", "input": {"n": 2}})).await;
    assert_eq!((taken.status, &taken.body["code"]), (409, &json!("RunIdTaken")));
    assert!(taken.body["next"].as_str().unwrap().contains("everloop get a"), "{}", taken.body);
}

#[tokio::test]
async fn a_signal_with_the_same_key_arrives_once() {
    let server = server().await;
    server.apply().await;
    server.start("a").await;
    let path = format!("{RUNS}/a/signals/go");
    assert_eq!(server.post_with_key(&path, "k", &json!(1)).await.body["repeat"], json!(false));
    assert_eq!(server.post_with_key(&path, "k", &json!(1)).await.body["repeat"], json!(true));
    let cancel = format!("{RUNS}/a/cancel");
    assert_eq!(server.post_with_key(&cancel, "c", &json!({"reason": "no"})).await.status, 202);
    let worker = Worker::open(&server).await;
    let events: Vec<_> = worker.turn().await.events.iter().map(|event| event.get().to_owned()).collect();
    let expected = [
        r#"{"Started":{"input":{"n":1}}}"#,
        r#"{"SignalReceived":{"name":"go","payload":1}}"#,
        r#"{"CancelRequested":{"reason":"no"}}"#,
    ];
    assert_eq!(events, expected);
}
