//! HTTP activities: what is sent, and what an answer comes to.

use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Request};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::any;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{Outcome, UID, Workshop};
use crate::api::limits::ACTIVITY_RESPONSE_BYTES_MAX;

/// `/status/{n}` answers so; everything else answers what it was sent.
async fn server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/status/{status}", any(status)).fallback(echo);
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

async fn status(Path(status): Path<u16>, headers: HeaderMap) -> impl IntoResponse {
    let mut answer = HeaderMap::new();
    for (asked, given) in [("x-retry-after", "retry-after"), ("x-location", "location"), ("x-content-type", "content-type")] {
        if let Some(value) = headers.get(asked) {
            answer.insert(given, value.clone());
        }
    }
    let body = headers.get("x-body").map(|body| body.to_str().unwrap().to_owned()).unwrap_or_default();
    (StatusCode::from_u16(status).unwrap(), answer, body)
}

async fn echo(request: Request) -> axum::Json<Value> {
    let (parts, body) = request.into_parts();
    let body: Bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let headers: serde_json::Map<String, Value> =
        parts.headers.iter().map(|(name, value)| (name.to_string(), json!(value.to_str().unwrap()))).collect();
    axum::Json(json!({
        "method": parts.method.as_str(), "uri": parts.uri.to_string(), "headers": headers, "body": String::from_utf8_lossy(&body),
    }))
}

/// A server that reads a request and then writes these bytes, and closes.
async fn raw(answer: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(&answer).await;
        }
    });
    url
}

#[tokio::test]
async fn a_request_carries_the_argument_and_names_its_attempt() {
    let (shop, url) = (Workshop::new(true), server().await);
    let activity = json!({"http": {
        "url": format!("{url}/charge/{{order.id}}"), "query": {"of": "{order.id}", "fix": "1"}, "headers": {"X-Kind": "{kind}"},
    }});
    let argument = json!({"order": {"id": "a/b c"}, "kind": "card"});
    let Outcome::Value(sent) = shop.attempt(activity, argument.clone()).await else { panic!("a value") };
    assert_eq!((&sent["method"], &sent["uri"]), (&json!("POST"), &json!("/charge/a%2Fb%20c?fix=1&of=a%2Fb+c")));
    assert_eq!(serde_json::from_str::<Value>(sent["body"].as_str().unwrap()).unwrap(), argument);
    let headers = &sent["headers"];
    let wanted = [
        ("content-type", "application/json".to_owned()),
        ("x-kind", "card".to_owned()),
        ("idempotency-key", format!("{UID}/7")),
        ("x-everloop-run", "order-1".to_owned()),
        ("x-everloop-attempt", "3".to_owned()),
    ];
    for (name, value) in wanted {
        assert_eq!(headers[name], value, "{name}: {headers}");
    }
}

#[tokio::test]
async fn each_method_has_the_body_that_is_usual_for_it() {
    let (shop, url) = (Workshop::new(true), server().await);
    for (method, body, kind) in [
        ("GET", "", Value::Null),
        ("HEAD", "", Value::Null),
        ("DELETE", "", Value::Null),
        ("POST", "\"x\"", json!("application/json")),
        ("PUT", "\"x\"", json!("application/json")),
        ("PATCH", "\"x\"", json!("application/json")),
    ] {
        let outcome = shop.attempt(json!({"http": {"url": url, "method": method}}), json!("x")).await;
        let Outcome::Value(sent) = outcome else { panic!("{method}: {outcome:?}") };
        if method == "HEAD" {
            assert_eq!(sent, Value::Null, "an answer without a body");
            continue;
        }
        assert_eq!((&sent["method"], &sent["body"], &sent["headers"]["content-type"]), (&json!(method), &json!(body), &kind));
    }
    let text = json!({"http": {"url": url, "body": "text"}});
    let Outcome::Value(sent) = shop.attempt(text.clone(), json!("as it is")).await else { panic!("a value") };
    assert_eq!((&sent["body"], &sent["headers"]["content-type"]), (&json!("as it is"), &json!("text/plain; charset=utf-8")));
    shop.attempt(text, json!({"a": 1})).await.is_final("TemplateError", "has to be a string");
    let Outcome::Value(sent) = shop.attempt(json!({"http": {"url": url, "body": "none"}}), json!(1)).await else { panic!("a value") };
    assert_eq!(sent["body"], "");
}

#[tokio::test]
async fn the_status_says_whether_another_attempt_may_mend_it() {
    let (shop, url) = (Workshop::new(true), server().await);
    let answered = async |status: u16, body: &str| {
        let http = json!({"url": format!("{url}/status/{status}"), "headers": {"x-body": body, "x-location": "/else"}});
        shop.attempt(json!({"http": http}), json!(null)).await
    };
    for status in [200, 201, 202] {
        assert_eq!(answered(status, "fine").await, Outcome::Value(json!("fine")), "{status}");
    }
    assert_eq!(answered(204, "").await, Outcome::Value(Value::Null));
    for status in [408, 425, 429, 500, 502, 503, 504, 599] {
        answered(status, "busy").await.is_passing("HttpError", &format!("{status}"));
    }
    for status in [400, 401, 403, 404, 409, 410, 422, 499] {
        answered(status, "no such card").await.is_final("HttpError", "no such card");
    }
    for status in [301, 302, 303, 307, 308] {
        answered(status, "").await.is_final("HttpError", "to /else: redirects are not followed");
    }
}

#[tokio::test]
async fn retry_after_is_taken_over() {
    let (shop, url) = (Workshop::new(true), server().await);
    for (header, ms) in [("7", Some(7_000)), ("999999", Some(999_999_000)), ("soon", None)] {
        let http = json!({"url": format!("{url}/status/503"), "headers": {"x-retry-after": header}});
        let outcome = shop.attempt(json!({"http": http}), json!(null)).await;
        assert!(matches!(&outcome, Outcome::Passing(_, _, after) if *after == ms), "{header}: {outcome:?}");
    }
}

#[tokio::test]
async fn an_answer_is_json_when_it_says_so_and_else_a_text() {
    let (shop, url) = (Workshop::new(true), server().await);
    let answered = async |kind: &str, body: &str| {
        let http = json!({"url": format!("{url}/status/200"), "headers": {"x-content-type": kind, "x-body": "{body}"}});
        shop.attempt(json!({"http": http}), json!({"body": body})).await
    };
    assert_eq!(answered("application/json", "{\"a\":1}").await, Outcome::Value(json!({"a": 1})));
    assert_eq!(answered("application/hal+json; charset=utf-8", "[2]").await, Outcome::Value(json!([2])));
    assert_eq!(answered("text/html", "[2]").await, Outcome::Value(json!("[2]")));
    answered("application/json", "{broken").await.is_final("InvalidResponse", "application/json that cannot be used");
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_refused_whatever_it_says_of_its_length() {
    let shop = Workshop::new(true);
    let much = vec![b'x'; ACTIVITY_RESPONSE_BYTES_MAX + 1];
    let head = |length: &str| format!("HTTP/1.1 200 OK\r\n{length}\r\n").into_bytes();
    let told = [head(&format!("content-length: {}\r\n", much.len())), much.clone()].concat();
    let untold = [head("connection: close\r\n"), much].concat();
    let chunked = [head("transfer-encoding: chunked\r\n"), format!("{:x}\r\n", ACTIVITY_RESPONSE_BYTES_MAX + 1).into_bytes()].concat();
    let chunked = [chunked, vec![b'x'; ACTIVITY_RESPONSE_BYTES_MAX + 1]].concat();
    for (what, answer) in [("told", told), ("untold", untold), ("chunked", chunked)] {
        let url = raw(answer).await;
        let outcome = shop.attempt(json!({"http": {"url": url}}), json!(null)).await;
        outcome.is_final("ResponseTooLarge", &format!("more than the {ACTIVITY_RESPONSE_BYTES_MAX} bytes"));
        assert!(format!("{outcome:?}").len() < 500, "{what}");
    }
    let just_right = [head("connection: close\r\n"), vec![b'x'; ACTIVITY_RESPONSE_BYTES_MAX - 2]].concat();
    let outcome = shop.attempt(json!({"http": {"url": raw(just_right).await}}), json!(null)).await;
    assert_eq!(outcome, Outcome::Value(json!("x".repeat(ACTIVITY_RESPONSE_BYTES_MAX - 2))), "with its quotes it is a payload");
}

#[tokio::test]
async fn a_connection_that_breaks_may_be_tried_again() {
    let shop = Workshop::new(true);
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let url = format!("http://user:secret@{nobody}/");
    let outcome = shop.attempt(json!({"http": {"url": url}}), json!(null)).await;
    outcome.is_passing("HttpError", "was not answered");
    assert!(!format!("{outcome:?}").contains("secret"), "{outcome:?}");
    let short = raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this".to_vec()).await;
    shop.attempt(json!({"http": {"url": short}}), json!(null)).await.is_passing("HttpError", "answered 200 OK, and then");
    let garbage = raw(b"SSH-2.0-dropbear\r\n".to_vec()).await;
    shop.attempt(json!({"http": {"url": garbage}}), json!(null)).await.is_passing("HttpError", "was not answered");
}

#[tokio::test]
async fn an_attempt_ends_with_its_time() {
    let shop = Workshop::new(true);
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let activity = json!({"http": {"url": format!("http://{}/", silent.local_addr().unwrap())}});
    let outcome = shop.attempt_within(activity, json!(null), Duration::from_millis(50)).await;
    outcome.is_passing("Timeout", "longer than its 50ms");
}

#[tokio::test]
async fn what_cannot_be_sent_says_what_is_missing() {
    let (shop, url) = (Workshop::new(true), server().await);
    let attempt = async |http: Value| shop.attempt(json!({"http": http}), json!({"a": {"b": [1]}, "line": "x\ny"})).await;
    attempt(json!({"url": format!("{url}/{{a.c}}")})).await.is_final("TemplateError", "a.c");
    attempt(json!({"url": format!("{url}/{{a.b}}")})).await.is_final("TemplateError", "a.b");
    attempt(json!({"url": url, "query": {"q": "{none}"}})).await.is_final("TemplateError", "query \"q\"");
    attempt(json!({"url": url, "headers": {"h": "{none}"}})).await.is_final("TemplateError", "header \"h\"");
    attempt(json!({"url": url, "headers": {"h": "{line}"}})).await.is_final("InvalidRequest", "characters that it may not have");
    attempt(json!({"url": "{line}"})).await.is_final("InvalidRequest", "is not a URL");
}

#[tokio::test]
async fn local_addresses_are_refused_unless_they_are_allowed() {
    let (shop, url) = (Workshop::new(false), server().await);
    let port = url.rsplit(':').next().unwrap();
    for host in ["127.0.0.1", "localhost", "[::1]", "169.254.169.254", "2130706433"] {
        let activity = json!({"http": {"url": format!("http://{host}:{port}/")}});
        shop.attempt(activity, json!(null)).await.is_final("AddressRefused", "--allow-local");
    }
}

#[tokio::test]
async fn a_stopped_attempt_tells_nothing() {
    let shop = Workshop::new(true);
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let activity = json!({"http": {"url": format!("http://{}/", silent.local_addr().unwrap())}});
    let (running, came) = shop.start(activity, json!(null), Duration::from_secs(20));
    let (mut stream, _) = silent.accept().await.unwrap();
    stream.read_exact(&mut [0; 6]).await.unwrap();
    running.stop();
    assert!(came.await.is_err());
    let rest = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut Vec::new())).await;
    assert!(rest.is_ok(), "the connection is closed");
}
