//! Script activities: the realm, `fetch`, time, and code that reaches a limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::response::Redirect;
use axum::routing::{any, get};
use serde_json::{Value, json};

use super::{Outcome, UID, Workshop};
use crate::worker::activities::{AtOnce, Came};
use crate::worker::executing::Executing;

async fn server() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let text = any(async |method: axum::http::Method, headers: axum::http::HeaderMap, body: String| {
        let kind = headers.get("content-type").map(|kind| kind.to_str().unwrap().to_owned()).unwrap_or_default();
        axum::Json(json!([method.as_str(), kind, body]))
    });
    let counted = Arc::new(AtomicUsize::new(0));
    let count = get(async move || (counted.fetch_add(1, Ordering::SeqCst) + 1).to_string());
    let router = Router::new()
        .route("/count", count)
        .route("/text", text)
        .route("/moved", get(async || Redirect::temporary("/text")))
        .route("/missing", get(async || (axum::http::StatusCode::NOT_FOUND, "nothing here")))
        .route("/never", get(std::future::pending::<()>));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

fn script(body: &str) -> Value {
    json!({"script": format!("export default async (input, context) => {{ {body} }}")})
}

#[tokio::test]
async fn a_script_gets_its_argument_and_its_attempt() {
    let shop = Workshop::new(true);
    let outcome = shop.attempt(script("return [input.a, context.attempt, context.idempotencyKey, context.run];"), json!({"a": 5})).await;
    assert_eq!(outcome, Outcome::Value(json!([5, 3, format!("{UID}/7"), "order-1"])));
    assert_eq!(shop.attempt(script(""), json!(null)).await, Outcome::Value(Value::Null), "nothing is null");
    assert_eq!(shop.attempt(script("return atob(btoa('x'));"), json!(null)).await, Outcome::Value(json!("x")));
    let typed = json!({"script": "interface A { a: number }\nexport default (input: A): number => input.a + 1;"});
    assert_eq!(shop.attempt(typed, json!({"a": 1})).await, Outcome::Value(json!(2)), "types, and no promise");
}

#[tokio::test]
async fn fetch_speaks_http() {
    let (shop, url) = (Workshop::new(true), server().await);
    let body = "const answer = await fetch(input + '/text', {method: 'PUT', body: 'hello'}); return [answer.ok, answer.status, await answer.json()];";
    let sent = json!([true, 200, ["PUT", "text/plain;charset=UTF-8", "hello"]]);
    assert_eq!(shop.attempt(script(body), json!(url)).await, Outcome::Value(sent));
    let body = "const answer = await fetch(input + '/moved'); return [answer.redirected, answer.url === input + '/text', answer.headers.get('Content-Type')];";
    assert_eq!(shop.attempt(script(body), json!(url)).await, Outcome::Value(json!([true, true, "application/json"])));
    let body = "const answer = await fetch(input + '/missing'); return [answer.ok, await answer.text(), answer.bodyUsed];";
    assert_eq!(shop.attempt(script(body), json!(url)).await, Outcome::Value(json!([false, "nothing here", true])));
    let body = "const c = new AbortController(); setTimeout(() => c.abort(), 10); try { await fetch(input + '/never', {signal: c.signal}); } catch (e) { return e.name; }";
    assert_eq!(shop.attempt(script(body), json!(url)).await, Outcome::Value(json!("AbortError")));
    let body = "await fetch('http://127.0.0.1:1/');";
    shop.attempt(script(body), json!(null)).await.is_passing("TypeError", "fetch http://127.0.0.1:1/");
}

#[tokio::test]
async fn fetch_refuses_local_addresses_unless_they_are_allowed() {
    let (shop, url) = (Workshop::new(false), server().await);
    for host in [url, "http://localhost:1".to_owned(), "http://169.254.169.254".to_owned()] {
        shop.attempt(script("await fetch(input);"), json!(host)).await.is_passing("TypeError", "--allow-local");
    }
}

#[tokio::test]
async fn an_error_says_whether_another_attempt_may_mend_it() {
    let shop = Workshop::new(true);
    shop.attempt(script("throw new RangeError('far');"), json!(null)).await.is_passing("RangeError", "far");
    let body = "throw Object.assign(new Error('never'), {retryable: false});";
    shop.attempt(script(body), json!(null)).await.is_final("Error", "never");
    shop.attempt(script("return 1n;"), json!(null)).await.is_passing("TypeError", "BigInt");
    let body = "try { structuredClone(() => 1); } catch (e) { return [e.name, e instanceof DOMException]; }";
    assert_eq!(shop.attempt(script(body), json!(null)).await, Outcome::Value(json!(["DataCloneError", true])));
    shop.attempt(script("return 'x'.repeat(3 << 20);"), json!(null)).await.is_final("PayloadTooLarge", "cannot be kept");
    let broken = json!({"script": "export default () => {"});
    shop.attempt(broken, json!(null)).await.is_final("BrokenSource", "does not load");
    let thrown = json!({"script": "throw new Error('at once');\nexport default () => 1;"});
    shop.attempt(thrown, json!(null)).await.is_final("BrokenSource", "at once");
    let other = json!({"script": "export const a = 1;"});
    shop.attempt(other, json!(null)).await.is_final("BrokenSource", "exports no function");
}

#[tokio::test]
async fn signs_of_life_are_passed_on_and_many_at_once_are_one() {
    let shop = Workshop::new(true);
    let body = "for (let i = 0; i < 100; i++) context.heartbeat(); await new Promise((go) => setTimeout(go, 120)); context.heartbeat();";
    assert_eq!(shop.attempt(script(body), json!(null)).await, Outcome::Value(Value::Null));
    assert_eq!(shop.heartbeats.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn an_attempt_ends_with_its_time_and_is_told() {
    let (shop, url) = (Workshop::new(true), server().await);
    for body in [
        "await new Promise(() => {});",
        "await fetch(input + '/never');",
        "for (;;) await null;",
        "for (;;) {}",
        "context.signal.addEventListener('abort', () => { for (;;) {} }); await new Promise(() => {});",
    ] {
        let outcome = shop.attempt_within(script(body), json!(url), Duration::from_millis(150)).await;
        outcome.is_passing("Timeout", "longer than its 150ms");
    }
}

#[tokio::test]
async fn a_stopped_call_hears_of_it_and_tells_nothing() {
    let (shop, url) = (Workshop::new(true), server().await);
    let body =
        "context.heartbeat(); context.signal.addEventListener('abort', () => setTimeout(() => {}, 0)); await fetch(input + '/never');";
    let (running, came) = shop.start(script(body), json!(url), Duration::from_secs(20));
    while shop.heartbeats.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    running.stop();
    assert!(came.await.is_err());
    assert_eq!(shop.attempt(script("return 1;"), json!(null)).await, Outcome::Value(json!(1)));
}

/// A bomb gets its typed error, whoever ran beside it is handed back without one, and the next call is served.
#[tokio::test]
async fn a_bomb_costs_its_neighbours_no_attempt() {
    let shop = Workshop::new(true);
    let alone = shop.attempt(script("const all = []; for (;;) all.push(new Array(10000).fill(1));"), json!(null)).await;
    alone.is_final("ScriptLimitExceeded", "256 MiB");
    let waits = "context.heartbeat(); await new Promise((go) => setTimeout(go, 20000));";
    let (_running, neighbour) = shop.start(script(waits), json!(null), Duration::from_secs(30));
    while shop.heartbeats.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let loops = "/* another one */ for (;;) {}";
    shop.attempt_within(script(loops), json!(null), Duration::from_mins(1)).await.is_final("ScriptLimitExceeded", "without waiting");
    assert!(matches!(neighbour.await, Ok(Came::HandBack)));
    let (_running, neighbour) = shop.start(script(waits), json!(null), Duration::from_secs(30));
    shop.attempt_within(script(loops), json!(null), Duration::from_mins(1)).await.is_final("ScriptLimitExceeded", "without waiting");
    let deep = "const down = (n) => down(n + 1) + 1; return down(0);";
    shop.attempt(script(deep), json!(null)).await.is_passing("RangeError", "stack");
    drop(neighbour);
    assert_eq!(shop.attempt(script("return 1;"), json!(null)).await, Outcome::Value(json!(1)));
}

/// What a script with this body comes to where it is called.
fn at_once(here: &mut AtOnce, body: &str, argument: Value) -> Option<Outcome> {
    here.attempt(&Workshop::task(script(body), argument, Duration::from_secs(20))).map(Outcome::from)
}

#[test]
fn what_settles_at_once_is_done_where_it_is_called() {
    let mut here = AtOnce::new(Executing::in_places(1), 0);
    let body = "console.log('adding'); context.heartbeat(); await null; return input + 1;";
    for n in 0..3 {
        assert_eq!(at_once(&mut here, body, json!(n)), Some(Outcome::Value(json!(n + 1))));
    }
    at_once(&mut here, "throw new RangeError('too far');", json!(null)).unwrap().is_passing("RangeError", "too far");
    at_once(&mut here, "return 'x'.repeat(3e6);", json!(null)).unwrap().is_final("PayloadTooLarge", "");
}

/// Nothing of it was seen outside, whatever it had asked for before it was given up, and the others are not disturbed.
#[tokio::test]
async fn what_does_not_settle_at_once_has_done_nothing() {
    let (mut here, shop, url) = (AtOnce::new(Executing::in_places(1), 0), Workshop::new(true), server().await);
    assert_eq!(at_once(&mut here, "return 1;", json!(null)), Some(Outcome::Value(json!(1))));
    for body in [
        "return (await fetch(input + '/count')).text();",
        "fetch(input + '/count'); return 1;",
        "fetch(input + '/count'); for (;;) {}",
        "fetch(input + '/count'); const all = []; for (;;) all.push(new Array(10000).fill(1));",
        "fetch(input + '/count'); await new Promise((go) => setTimeout(go, 1));",
        "fetch(input + '/count'); await new Promise(() => {});",
    ] {
        assert_eq!(at_once(&mut here, body, json!(url)), None, "{body}");
        assert_eq!(at_once(&mut here, "return 1;", json!(null)), Some(Outcome::Value(json!(1))), "after {body}");
    }
    let counted = shop.attempt(script("return Number(await (await fetch(input + '/count')).text());"), json!(url)).await;
    assert_eq!(counted, Outcome::Value(json!(1)), "only the last one, from the threads, has arrived");
}

#[test]
fn an_activity_that_did_not_settle_at_once_is_not_tried_there_again() {
    let mut here = AtOnce::new(Executing::in_places(1), 0);
    let body = "if (input) await new Promise((go) => setTimeout(go, 1)); return 1;";
    assert_eq!(at_once(&mut here, body, json!(false)), Some(Outcome::Value(json!(1))));
    assert_eq!(at_once(&mut here, body, json!(true)), None);
    assert_eq!(at_once(&mut here, body, json!(false)), None);
}
