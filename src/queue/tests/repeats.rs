use std::collections::BTreeSet;

use serde_json::{Value, json};

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
    let expected =
        [r#"{"Started":{"input":{"n":1}}}"#, r#"{"SignalReceived":{"name":"go","payload":1}}"#, r#"{"CancelRequested":{"reason":"no"}}"#];
    assert_eq!(events, expected);
}

#[tokio::test]
async fn a_key_of_one_operation_is_no_key_of_another() {
    let server = server().await;
    server.apply().await;
    server.start("a").await;
    assert_eq!(server.post_with_key(&format!("{RUNS}/a/signals/go"), "k", &json!(1)).await.body["repeat"], json!(false));
    assert_eq!(server.post_with_key(&format!("{RUNS}/a/cancel"), "k", &json!({})).await.body["repeat"], json!(false));
    let ended = server.post_with_key(&format!("{RUNS}/a/terminate"), "k", &json!({})).await;
    assert_eq!(ended.body["status"], "Terminated", "{}", ended.body);
}

#[tokio::test]
async fn a_definition_that_others_followed_does_not_come_back_by_a_repeat() {
    let server = server().await;
    let old = json!({"name": "w", "pool": "default", "definition": {"source": "export default () => 1"}});
    let new = json!({"name": "w", "pool": "default", "definition": {"source": "export default () => 2"}});
    let path = "/v1/namespaces/default/workflows/w";
    server.send("put", path, "first", &old).await;
    let current = server.send("put", path, "second", &new).await.body["version"].clone();
    assert_eq!(server.send("put", path, "first", &old).await.body["version"], current);
    assert_eq!(server.get(path).await.body["version"], current);
    assert_ne!(server.send("put", path, "third", &old).await.body["version"], current, "a new request brings it back");
}

/// Every route that changes something, twice with the same key: the same answer, and one effect.
#[tokio::test]
async fn every_mutating_route_answers_a_repeat_like_the_first() {
    let server = server().await;
    server.apply().await;
    let worker = Worker::open(&server).await;
    let mut tokens = Vec::new();
    for run in ["other", "task", "third"] {
        server.start(run).await;
        let turn = worker.turn().await;
        worker.took(&turn, json!([super::harness::schedule("task")])).await;
        let polled = server.post("/v1/namespaces/default/queues/tasks/poll", &json!({"wait": "20s"})).await;
        tokens.push(polled.body["tasks"][0]["token"].as_str().unwrap().to_owned());
    }
    let ns = "/v1/namespaces/default";
    let definition = json!({"name": "x", "pool": "default", "definition": {"source": "export default () => 1"}});
    let reason = json!({"reason": "no"});
    let session = &worker.session;
    let poll = json!({"session": session, "seq": 90, "turns": 0, "activities": 0, "waitMs": 0});
    let commit = json!({"session": session, "seq": 91, "worker": "tester", "items": []});
    let cases = [
        ("put", "/v1/namespaces/{ns}/workflows/{name}", format!("{ns}/workflows/x"), definition),
        ("delete", "/v1/namespaces/{ns}/workflows/{name}", format!("{ns}/workflows/x"), json!(null)),
        ("post", "/v1/namespaces/{ns}/runs", format!("{ns}/runs"), json!({"workflow": "w", "input": 5})),
        ("post", "/v1/namespaces/{ns}/runs/{id}/signals/{name}", format!("{ns}/runs/other/signals/go"), json!(1)),
        ("post", "/v1/namespaces/{ns}/runs/{id}/cancel", format!("{ns}/runs/other/cancel"), reason.clone()),
        ("post", "/v1/namespaces/{ns}/runs/{id}/pause", format!("{ns}/runs/other/pause"), reason.clone()),
        ("post", "/v1/namespaces/{ns}/runs/{id}/resume", format!("{ns}/runs/other/resume"), json!({})),
        ("post", "/v1/activities/{token}/heartbeat", format!("/v1/activities/{}/heartbeat", tokens[0]), json!({})),
        ("post", "/v1/activities/{token}/complete", format!("/v1/activities/{}/complete", tokens[0]), json!(1)),
        ("post", "/v1/activities/{token}/fail", format!("/v1/activities/{}/fail", tokens[1]), json!({"type": "T", "message": "m"})),
        ("post", "/v1/activities/settle", "/v1/activities/settle".to_owned(), json!({"tasks": [{"token": tokens[2], "result": 1}]})),
        ("post", "/v1/namespaces/{ns}/runs/{id}/terminate", format!("{ns}/runs/other/terminate"), reason),
        ("post", "/v1/namespaces/{ns}/queues/{queue}/poll", format!("{ns}/queues/tasks/poll"), json!({"wait": "20s"})),
        ("post", "/v1/worker/session", "/v1/worker/session".to_owned(), json!({"worker": "w", "pool": "default"})),
        ("post", "/v1/worker/session/{id}/renew", format!("/v1/worker/session/{session}/renew"), json!({})),
        ("post", "/v1/worker/poll", "/v1/worker/poll".to_owned(), poll),
        ("post", "/v1/worker/commit", "/v1/worker/commit".to_owned(), commit),
        ("post", "/v1/operator/term", "/v1/operator/term".to_owned(), json!({})),
        ("put", "/v1/workers/{id}/drain", format!("/v1/workers/{session}/drain"), json!({"ttl": "10s"})),
        ("delete", "/v1/workers/{id}/drain", format!("/v1/workers/{session}/drain"), json!(null)),
        ("delete", "/v1/worker/session/{id}", format!("/v1/worker/session/{session}"), json!(null)),
    ];
    let mut known = BTreeSet::new();
    for (method, route, path, body) in cases {
        known.insert((method.to_owned(), route.to_owned()));
        let first = server.send(method, &path, "a-key", &body).await;
        assert!((200..300).contains(&first.status), "{method} {path}: {}", first.body);
        let second = server.send(method, &path, "a-key", &body).await;
        assert!((200..300).contains(&second.status), "{method} {path}: {}", second.body);
        // What a clock shows, a term, which rises, and the word that it is a repeat.
        let settled = |mut body: Value| {
            for passing in ["now", "until", "repeat", "deadline", "unchanged", "term"] {
                body.as_object_mut().and_then(|body| body.remove(passing));
            }
            body
        };
        assert_eq!(settled(first.body), settled(second.body), "{method} {path}");
    }
    let run = server.get(&format!("{ns}/runs/other/journal")).await.body.to_string();
    assert_eq!(run.matches("SignalReceived").count() + run.matches("CancelRequested").count(), 0, "no turn was taken");
    let starts = server.get(&format!("{ns}/runs?limit=100")).await.body["runs"].as_array().unwrap().len();
    assert_eq!(starts, 4);
    let document = server.get("/openapi.json").await.body;
    for (route, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys().filter(|method| *method != "get") {
            assert!(known.contains(&(method.clone(), route.clone())), "{method} {route} is not in the table");
        }
    }
}
