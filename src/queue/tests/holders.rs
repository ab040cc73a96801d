use serde_json::{Value, json};

use super::harness::{Answer, Server, server};

const RUN: &str = "/v1/namespaces/default/runs/a";

async fn pause(server: &Server, body: Value) -> Answer {
    server.post(&format!("{RUN}/pause"), &body).await
}

async fn resume(server: &Server, body: Value) -> Answer {
    server.post(&format!("{RUN}/resume"), &body).await
}

#[tokio::test]
async fn a_run_goes_on_when_all_who_hold_it_have_let_go() {
    let server = server().await;
    server.apply().await;
    server.start("a").await;
    assert_eq!(pause(&server, json!({"reason": "audit"})).await.body["blocked"]["holders"], json!(["people"]));
    let both = pause(&server, json!({"holder": "kubernetes"})).await;
    assert_eq!(both.body["blocked"], json!({"reason": "Paused", "message": "audit", "holders": ["people", "kubernetes"]}));
    assert_eq!(pause(&server, json!({"holder": "kubernetes"})).await.body, both.body, "who holds it holds it once");
    let one = resume(&server, json!({})).await;
    assert_eq!((&one.body["status"], &one.body["blocked"]["holders"]), (&json!("Paused"), &json!(["kubernetes"])), "{}", one.body);
    let refused = resume(&server, json!({})).await;
    assert_eq!((refused.status, &refused.body["code"]), (409, &json!("NotApplicable")));
    assert!(refused.body["detail"].as_str().unwrap().contains("held by kubernetes"), "{}", refused.body);
    assert_eq!(resume(&server, json!({"holder": "other"})).await.status, 409);
    assert_eq!(resume(&server, json!({"holder": "kubernetes"})).await.body["status"], "Running");
    assert_eq!(resume(&server, json!({"holder": "kubernetes"})).await.body["code"], "NotApplicable");
}

#[tokio::test]
async fn a_repeat_with_its_key_holds_and_lets_go_of_nothing_again() {
    let server = server().await;
    server.apply().await;
    server.start("a").await;
    let (hold, go) = (json!({"holder": "kubernetes"}), json!({"holder": "kubernetes"}));
    let send = |verb: &'static str, key: &'static str, body: Value| {
        let (server, path) = (&server, format!("{RUN}/{verb}"));
        async move { server.post_with_key(&path, key, &body).await }
    };
    assert_eq!(send("pause", "one", hold.clone()).await.body["status"], "Paused");
    assert_eq!(send("resume", "two", go.clone()).await.body["status"], "Running");
    assert_eq!(send("pause", "one", hold.clone()).await.body["status"], "Running");
    assert_eq!(send("resume", "two", go.clone()).await.status, 200);
    pause(&server, json!({})).await;
    assert_eq!(send("pause", "one", hold).await.body["blocked"]["holders"], json!(["people"]));
    assert_eq!(send("resume", "two", go).await.body["status"], "Paused", "people still hold it");
}
