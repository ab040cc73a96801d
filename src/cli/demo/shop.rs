//! The stand-in for the shop's services, a process of its own that knows nothing of Everloop: payments, a kitchen, drivers and
//! deliveries over plain HTTP, with the failures that [`super::fate`] decides, and a ledger of every `Idempotency-Key`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::fate::{Order, Payment};
use crate::cli::error::{CliError, Exit};

#[derive(Debug, Args)]
pub struct ShopArgs {
    /// Where to serve.
    #[arg(long)]
    pub listen: SocketAddr,
    /// Decides what fails.
    #[arg(long)]
    pub seed: u64,
}

/// Everything that was seen: `GET /ledger`. Times are milliseconds on the shop's own clock, which never jumps.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Ledger {
    /// Payments by `Idempotency-Key`.
    pub payments: BTreeMap<String, Record>,
    /// Orders at the kitchen, likewise.
    pub kitchen: BTreeMap<String, Record>,
    /// Deliveries, likewise.
    pub deliveries: BTreeMap<String, Record>,
}

/// All requests under one key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Which order it was for.
    pub order: String,
    /// Requests in all.
    pub requests: u32,
    /// How often something was done: money moved, food ordered, food handed over. More than once is the shop's ruin.
    pub done: u32,
    /// When the first request came.
    pub first_ms: u64,
    /// When it was done first; 0 when it never was.
    pub done_ms: u64,
}

#[derive(Clone)]
struct Shop {
    seed: u64,
    began: Instant,
    ledger: Arc<Mutex<Ledger>>,
    near: Arc<Mutex<BTreeMap<String, u32>>>,
}

type Answer = (StatusCode, Json<Value>);

/// What a real service takes for its work.
const WORK: Duration = Duration::from_millis(30);
/// What a slow one takes.
const SLOW: Duration = Duration::from_secs(2);

pub async fn run(args: &ShopArgs) -> Result<Exit, CliError> {
    super::fleet::end_with_parent()?;
    let listener = tokio::net::TcpListener::bind(args.listen).await.map_err(|e| CliError::io("listen", &e))?;
    let shop = Shop { seed: args.seed, began: Instant::now(), ledger: Arc::default(), near: Arc::default() };
    axum::serve(listener, router(shop)).await.map_err(|e| CliError::io("serve", &e))?;
    Ok(Exit::Done)
}

fn router(shop: Shop) -> Router {
    Router::new()
        .route("/charge", post(charge))
        .route("/orders", post(cook))
        .route("/near/{zip}", get(near))
        .route("/deliveries", post(deliver))
        .route("/ledger", get(async |State(shop): State<Shop>| Json(lock(&shop.ledger).clone())))
        .with_state(shop)
}

async fn charge(State(shop): State<Shop>, headers: HeaderMap, Json(body): Json<Value>) -> Answer {
    let Some((order, key)) = identify(&shop, &headers, &body["id"]) else { return bad_request() };
    let (requests, done) = shop.note(order, &key, |ledger| &mut ledger.payments);
    tokio::time::sleep(WORK).await;
    let first = requests == 1;
    match order.payment() {
        Payment::Declined => return ok(json!({"ok": false, "reason": "the card was declined"})),
        Payment::Rejected => return (StatusCode::PAYMENT_REQUIRED, Json(json!({"error": "the card was reported stolen"}))),
        Payment::Busy(times) if requests <= times => return unavailable(),
        Payment::Slow if first => tokio::time::sleep(SLOW).await,
        Payment::Smooth | Payment::Busy(_) | Payment::AnswerLost | Payment::Slow => {}
    }
    // The receipt of a key is given again; the money moves once. Two requests at a time may both have found nothing done.
    if done == 0 {
        shop.do_once(&key, |ledger| &mut ledger.payments);
    }
    if order.payment() == Payment::AnswerLost && first {
        return (StatusCode::BAD_GATEWAY, Json(json!({"error": "the answer was lost; the money has moved"})));
    }
    ok(json!({"ok": true, "receipt": key}))
}

async fn cook(State(shop): State<Shop>, headers: HeaderMap, Json(body): Json<Value>) -> Answer {
    let Some((order, key)) = identify(&shop, &headers, &body["id"]) else { return bad_request() };
    let (requests, _) = shop.note(order, &key, |ledger| &mut ledger.kitchen);
    tokio::time::sleep(WORK).await;
    if order.stumbles("kitchen") && requests == 1 {
        return unavailable();
    }
    shop.do_once(&key, |ledger| &mut ledger.kitchen);
    ok(json!({"accepted": true}))
}

async fn near(State(shop): State<Shop>, Path(zip): Path<String>) -> Answer {
    tokio::time::sleep(WORK).await;
    let mut asked = lock(&shop.near);
    let asked = asked.entry(zip.clone()).or_default();
    *asked += 1;
    // It has no order to go by: the first question for one zip code in ten fails.
    let number = zip.parse().unwrap_or_default();
    if *asked == 1 && (Order { seed: shop.seed, number }).stumbles("drivers") {
        return unavailable();
    }
    ok(json!({"driver": format!("driver-{}", &zip[zip.len().saturating_sub(2)..])}))
}

async fn deliver(State(shop): State<Shop>, headers: HeaderMap, Json(body): Json<Value>) -> Answer {
    let Some((order, key)) = identify(&shop, &headers, &body["order"]["id"]) else { return bad_request() };
    let (requests, _) = shop.note(order, &key, |ledger| &mut ledger.deliveries);
    tokio::time::sleep(WORK).await;
    if order.stumbles("deliveries") && requests == 1 {
        return unavailable();
    }
    shop.do_once(&key, |ledger| &mut ledger.deliveries);
    ok(json!({"delivered": true}))
}

fn identify(shop: &Shop, headers: &HeaderMap, id: &Value) -> Option<(Order, String)> {
    let key = headers.get("idempotency-key")?.to_str().ok()?.to_owned();
    Some((Order::of(shop.seed, id.as_str()?)?, key))
}

impl Shop {
    /// Writes a request down; answers how many there were under its key and how often it was done.
    fn note(&self, order: Order, key: &str, book: impl Fn(&mut Ledger) -> &mut BTreeMap<String, Record>) -> (u32, u32) {
        let mut ledger = lock(&self.ledger);
        let fresh = || Record { order: order.id(), first_ms: self.now_ms(), ..Record::default() };
        let record = book(&mut ledger).entry(key.to_owned()).or_insert_with(fresh);
        record.requests += 1;
        (record.requests, record.done)
    }

    /// Does the work of a key unless it was done, as an honest service does.
    fn do_once(&self, key: &str, book: impl Fn(&mut Ledger) -> &mut BTreeMap<String, Record>) {
        let mut ledger = lock(&self.ledger);
        if let Some(record) = book(&mut ledger).get_mut(key).filter(|record| record.done == 0) {
            record.done += 1;
            record.done_ms = self.now_ms();
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// A handler that panicked has not left a record half written: each change is one assignment after another.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn ok(body: Value) -> Answer {
    (StatusCode::OK, Json(body))
}

fn unavailable() -> Answer {
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"error": "busy, come again"})))
}

fn bad_request() -> Answer {
    (StatusCode::BAD_REQUEST, Json(json!({"error": "no Idempotency-Key, or no such order"})))
}
