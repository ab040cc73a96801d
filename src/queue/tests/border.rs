use std::time::Duration;

use serde_json::{Value, json};

use super::harness::{Probe, Server, Worker, config, serve, server};
use crate::api::limits;
use crate::queue::Config;

const RUNS: &str = "/v1/namespaces/default/runs";

async fn send(server: &Server, path: &str, content_type: &str, body: String) -> (u16, Value) {
    let request = server.http.post(format!("{}{path}", server.url)).header("content-type", content_type).body(body);
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    (response.status().as_u16(), serde_json::from_str(&response.text().await.unwrap()).unwrap())
}

#[tokio::test]
async fn every_bad_input_has_its_code_and_says_what_to_do() {
    let server = server().await;
    server.apply().await;
    server.start("a").await;
    let long = format!("\"{}\"", "x".repeat(limits::PAYLOAD_BYTES_MAX));
    let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
    let huge = format!("\"{}\"", "x".repeat(limits::COMMIT_BYTES_MAX));
    let json = "application/json";
    let start = |input: &str| format!(r#"{{"workflow":"w","input":{input}}}"#);
    let signal = format!("{RUNS}/a/signals/go");
    let misspelt = format!("{RUNS}/a/signals/goo");
    let cases: Vec<(&str, &str, String, u16, &str, &str)> = vec![
        (RUNS, json, "{".into(), 400, "InvalidJson", "JSON"),
        (RUNS, json, String::new(), 400, "InvalidRequest", "openapi"),
        (RUNS, "text/plain", start("1"), 415, "UnsupportedContentType", "application/json"),
        (RUNS, json, r#"{"workflow":"w","inptu":1}"#.into(), 400, "InvalidRequest", "`input`"),
        (RUNS, json, r#"{"workflow":"W W"}"#.into(), 400, "InvalidRequest", ""),
        (RUNS, json, r#"{"workflow":"w","id":"a b"}"#.into(), 400, "InvalidRequest", ""),
        (RUNS, json, start(&long), 413, "PayloadTooLarge", "store large data elsewhere"),
        (RUNS, json, start(&deep), 400, "JsonTooDeep", "flatten"),
        (RUNS, json, start(&huge), 413, "PayloadTooLarge", "store large data elsewhere"),
        (RUNS, json, r#"{"workflow":"nowhere"}"#.into(), 404, "WorkflowNotFound", "everloop apply -f FILE"),
        (&signal, json, deep.clone(), 400, "JsonTooDeep", "flatten"),
        (&misspelt, json, "1".into(), 400, "UnknownSignal", "\"go\""),
        (&signal, json, "{x}".into(), 400, "InvalidJson", "JSON"),
        ("/v1/namespaces/default/runs/nowhere/signals/go", json, "1".into(), 404, "RunNotFound", "everloop list"),
        ("/v1/namespaces/No/runs", json, start("1"), 400, "InvalidRequest", "name"),
        ("/v1/nothing", json, String::new(), 404, "NotFound", "/openapi.json"),
        ("/healthz", json, String::new(), 405, "MethodNotAllowed", "/openapi.json"),
        (
            "/v1/worker/poll",
            json,
            r#"{"session":"x-y","seq":1,"turns":1,"activities":1,"waitMs":0}"#.into(),
            400,
            "InvalidRequest",
            "session",
        ),
        ("/v1/worker/session", json, r#"{"worker":"a b","pool":"default"}"#.into(), 400, "InvalidRequest", "letters"),
    ];
    for (path, content_type, body, status, code, next) in cases {
        let shown: String = body.chars().take(60).collect();
        let (answered, problem) = send(&server, path, content_type, body).await;
        assert_eq!((answered, problem["code"].as_str().unwrap()), (status, code), "{path} {shown}: {problem}");
        assert!(problem["next"].as_str().unwrap_or_default().contains(next), "{path} {shown}: {problem}");
        assert!(!problem["request"].as_str().unwrap().is_empty());
    }
    for (query, code) in [("status=odd", "InvalidRequest"), ("limit=0", "InvalidRequest"), ("lmit=1", "InvalidRequest")] {
        assert_eq!(server.get(&format!("{RUNS}?{query}")).await.body["code"], code, "{query}");
    }
    assert_eq!(server.get(&format!("{RUNS}/nowhere")).await.body["code"], "RunNotFound");
    assert_eq!(server.get(&format!("/v1/versions/{}", "0".repeat(64))).await.body["code"], "VersionNotFound");
    let key = server.http.post(format!("{}{RUNS}", server.url)).header("idempotency-key", "a b").json(&json!({"workflow": "w"}));
    assert_eq!(key.send().await.unwrap().status(), 400);
}

#[tokio::test]
async fn a_definition_that_cannot_work_is_refused_with_the_places() {
    let server = server().await;
    let definition = json!({"source": "export default async () => 1;", "activities": {"a": {}, "b": {"script": "export default () => 1", "queue": "q"}}});
    let body = json!({"name": "w", "pool": "default", "definition": definition});
    let refused = server.put("/v1/namespaces/default/workflows/w", &body).await;
    assert_eq!((refused.status, &refused.body["code"]), (400, &json!("InvalidResource")), "{}", refused.body);
    let places: Vec<_> = refused.body["findings"].as_array().unwrap().iter().map(|finding| finding["place"].clone()).collect();
    assert_eq!(places, [json!("spec.activities.a"), json!("spec.activities.b")]);
    let wrong = json!({"name": "w", "pool": "default", "definition": {"source": "export default async () => {\n  await slep(1);\n};"}});
    let refused = server.put("/v1/namespaces/default/workflows/w", &wrong).await;
    let finding = &refused.body["findings"][0];
    assert_eq!((&refused.body["code"], &finding["line"]), (&json!("UnknownName"), &json!(2)), "{}", refused.body);
    let other = server.put("/v1/namespaces/default/workflows/other", &body).await;
    assert_eq!(other.body["code"], "InvalidRequest");
}

#[tokio::test]
async fn a_request_id_is_echoed_or_made() {
    let server = server().await;
    let request = server.http.get(format!("{}/v1/nothing", server.url)).header("x-request-id", "mine-1");
    let answer = request.send().await.unwrap();
    assert_eq!(answer.headers()["x-request-id"], "mine-1");
    assert_eq!(answer.json::<Value>().await.unwrap()["request"], "mine-1");
    assert_eq!(server.get("/healthz").await.headers["x-request-id"].len(), 16);
}

#[tokio::test]
async fn more_requests_than_the_bound_are_refused_and_probes_are_not() {
    let server = serve(Probe::new(1), Config { in_flight_max: 1, ..config() }).await;
    let worker = Worker::open(&server).await;
    let poll = worker.poll_as(1, false, 60_000);
    let ask = async {
        loop {
            let refused = server.get("/v1/workers").await;
            if refused.status == 429 {
                assert_eq!((&refused.body["code"], &refused.headers["retry-after"]), (&json!("Overloaded"), &"1".parse().unwrap()));
                break;
            }
        }
        assert_eq!(server.get("/readyz").await.status, 200);
        server.shutdown.cancel();
    };
    tokio::join!(poll, ask);
}

#[tokio::test]
async fn the_generated_document_of_the_protocol_is_up_to_date_and_its_routes_are_there() {
    let document = crate::queue::openapi();
    crate::generated::is_up_to_date("docs/openapi.json", &document);
    let server = server().await;
    assert_eq!(server.get("/openapi.json").await.text, document);
    let document: Value = serde_json::from_str(&document).unwrap();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for reference in document.to_string().split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(schemas.contains_key(name), "there is no schema {name}");
    }
    let code = include_str!("../routes/mod.rs");
    let served: Vec<&str> = code.split(".route(\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(served.len() > 25, "the router is read: {served:?}");
    for path in served {
        assert!(document["paths"].get(path).is_some(), "{path} is served and not documented");
    }
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            let method = method.to_uppercase().parse().unwrap();
            let url = format!("{}{}", server.url, path.replace(['{', '}'], ""));
            let request = server.http.request(method, &url).header("content-type", "application/json").body("no JSON");
            let answer = request.send().await.unwrap().text().await.unwrap();
            let there = !answer.contains(r#""code":"NotFound""#) && !answer.contains(r#""code":"MethodNotAllowed""#);
            assert!(there, "{path} is documented and not there: {answer}");
        }
    }
}

#[tokio::test]
async fn a_panic_ends_its_request_only() {
    let server = server().await;
    *server.store.panics_at.lock().unwrap() = Some("workflows");
    let failed = server.get("/v1/namespaces/default/workflows").await;
    assert_eq!((failed.status, &failed.body["code"]), (500, &json!("Internal")));
    assert!(!failed.text.contains("the test wants"), "what went wrong is for the log");
    assert_eq!(server.get("/v1/namespaces/default/workflows").await.status, 200);
}

#[tokio::test]
async fn metrics_tell_what_happened() {
    let server = server().await;
    server.apply().await;
    server.start("a").await;
    let text = server.get("/metrics").await.body;
    let text = text.as_str().unwrap();
    for line in [
        r#"everloop_requests_total{route="/v1/namespaces/{ns}/runs",status="201"} 1"#,
        "everloop_runs_started_total 1",
        r#"everloop_store_operation_seconds_count{operation="start",outcome="ok"} 1"#,
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

/// What a raw client reads until the service closes the connection, or the time is over.
async fn closed(server: &super::harness::Server, sent: &str) -> Option<String> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut client = tokio::net::TcpStream::connect(server.url.trim_start_matches("http://")).await.unwrap();
    client.write_all(sent.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = tokio::time::timeout(Duration::from_secs(20), client.read_to_string(&mut answer)).await;
    read.is_ok().then_some(answer)
}

#[tokio::test]
async fn a_client_that_stops_in_the_middle_is_let_go() {
    let brief = Duration::from_millis(150);
    let server = serve(Probe::new(1), Config { head_timeout: brief, body_timeout: brief, ..config() }).await;
    for silent in ["", "GET /hea", "GET /healthz HTTP/1.1\r\nhost: x\r\n"] {
        assert!(closed(&server, silent).await.is_some(), "{silent:?} is waited for");
    }
    let head = "POST /v1/namespaces/default/runs HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    let answer = closed(&server, head).await.expect("a body is waited for");
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("RequestTimeout"), "{answer}");
    assert_eq!(server.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_until_one_is_closed() {
    let server = serve(Probe::new(1), Config { connections_max: 1, ..config() }).await;
    let first = tokio::net::TcpStream::connect(server.url.trim_start_matches("http://")).await.unwrap();
    let waits = server.http.get(format!("{}/healthz", server.url)).timeout(Duration::from_millis(300)).send().await;
    assert!(waits.is_err_and(|error| error.is_timeout()), "there is no room");
    drop(first);
    assert_eq!(server.get("/healthz").await.status, 200);
}
