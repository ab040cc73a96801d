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

#[tokio::test]
async fn a_workflow_is_refused_to_who_does_not_hold_it_and_retired_by_who_does() {
    let server = server().await;
    let path = "/v1/namespaces/default/workflows/w";
    let body = json!({"name": "w", "pool": "default", "definition": {"source": "export default () => 1"}});
    let object = format!("{path}?holder=kubernetes%2Fo");
    assert_eq!(server.put(&object, &body).await.status, 200);
    assert_eq!(server.get(path).await.body["holder"], "kubernetes/o");
    assert_eq!(server.get("/v1/operator/held").await.body["workflows"][0]["name"], "w");
    for refused in [server.put(path, &body).await, server.send("delete", path, "k", &json!(null)).await] {
        assert_eq!((refused.status, &refused.body["code"]), (409, &json!("WorkflowHeld")));
        let next = refused.body["next"].as_str().unwrap();
        assert!(next.contains("everloop retire w --holder kubernetes/o"), "{next}");
    }
    assert_eq!(server.put(&format!("{path}?holder=a%20b"), &body).await.status, 400);
    server.start("a").await;
    let retired = server.send("delete", &object, "k", &json!(null)).await;
    assert_eq!((retired.status, &retired.body["retired"], &retired.body["holder"]), (200, &json!(true), &json!(null)));
    let late = server.start("b").await;
    assert_eq!((late.status, &late.body["code"]), (409, &json!("WorkflowRetired")), "{}", late.body);
    assert_eq!(server.start("a").await.status, 200, "a repeat of what was accepted before");
    assert_eq!(server.put(path, &body).await.status, 200);
    assert_eq!(server.start("b").await.status, 201);
    let none = server.send("delete", "/v1/namespaces/default/workflows/none", "k", &json!(null)).await;
    assert_eq!((none.status, &none.body["code"]), (404, &json!("WorkflowNotFound")));
}

#[tokio::test]
async fn open_runs_are_counted_and_those_with_an_origin_are_listed_page_by_page() {
    let server = server().await;
    let version = server.apply().await["version"].clone();
    for n in 0..20 {
        let start = json!({"workflow": "w", "id": format!("r{n}"), "origin": format!("kubernetes/o{n}")});
        assert_eq!(server.post("/v1/namespaces/default/runs", &start).await.status, 201);
    }
    server.start("plain").await;
    let open = json!([{"namespace": "default", "workflow": "w", "version": version, "runs": 21}]);
    assert_eq!(server.get("/v1/operator/open-runs").await.body["versions"], open);
    let (mut origins, mut cursor) = (std::collections::BTreeSet::new(), String::new());
    loop {
        let page = server.get(&format!("/v1/operator/followed?cursor={cursor}")).await.body;
        for run in page["runs"].as_array().unwrap() {
            assert!(origins.insert(run["origin"].as_str().unwrap().to_owned()), "twice: {run}");
        }
        cursor = page["cursor"].as_str().unwrap().to_owned();
        if cursor.is_empty() {
            break;
        }
    }
    assert_eq!(origins.len(), 20);
    for bad in ["x", "99999.", "1.x y"] {
        let refused = server.get(&format!("/v1/operator/followed?cursor={bad}")).await;
        assert_eq!((refused.status, &refused.body["code"]), (400, &json!("InvalidRequest")), "{bad}");
    }
}
