//! The outside world: an HTTP server in the test's process that keeps a ledger of every call.
//! Each execution of an activity answers with a value of its own, so that a result shows which execution it came from.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};

#[derive(Default)]
pub struct Ledger {
    /// Idempotency key to the tokens that its executions answered with.
    pub executions: Mutex<BTreeMap<String, Vec<u64>>>,
    /// When each execution began, by its token.
    pub begun: Mutex<BTreeMap<u64, Instant>>,
    next: AtomicU64,
    /// One of so many calls fails with 503, after it was written to the ledger; 0: none.
    pub fail_one_of: AtomicU64,
}

pub struct Shop {
    pub url: String,
    pub ledger: Arc<Ledger>,
}

async fn step(State(ledger): State<Arc<Ledger>>, headers: HeaderMap, Json(argument): Json<Value>) -> (StatusCode, Json<Value>) {
    let key = headers.get("idempotency-key").and_then(|k| k.to_str().ok()).unwrap_or("").to_owned();
    let token = ledger.next.fetch_add(1, Ordering::SeqCst);
    ledger.begun.lock().expect("no panic while it is held").insert(token, Instant::now());
    ledger.executions.lock().expect("no panic while it is held").entry(key).or_default().push(token);
    if let Some(ms) = argument["takes"].as_u64() {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
    let one_of = ledger.fail_one_of.load(Ordering::SeqCst);
    if one_of > 0 && token % one_of == 0 {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"busy": true})));
    }
    (StatusCode::OK, Json(json!({"token": token})))
}

impl Shop {
    pub async fn open() -> Self {
        let ledger = Arc::new(Ledger::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let router = Router::new().route("/step", post(step)).with_state(ledger.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, ledger }
    }
}
