//! Reading journals.

use std::time::Duration;

use axum::Json as Answered;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::runs::wait_until;
use crate::api::{DurationMs, Json, limits};
use crate::queue::border::extract::{Params, RunPath, wait};
use crate::queue::border::problem::{Answer, run_not_found};
use crate::queue::service::Shared;
use crate::store::StoreError;

/// The query of a journal.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    #[serde(default)]
    from: u32,
    wait: Option<DurationMs>,
}

/// `api::http::Journal`, with its entries passed on as they stand in the store.
#[derive(Debug, Serialize)]
pub struct Page {
    uid: String,
    head: String,
    turns: u32,
    entries: Vec<Json>,
}

/// Turns of other replicas are not published.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// `GET /v1/namespaces/{ns}/runs/{id}/journal?from=&wait=`.
pub async fn journal(State(service): State<Shared>, RunPath { run }: RunPath, Params(query): Params<Query>) -> Answer<Answered<Page>> {
    let wait = wait(query.wait);
    if wait > Duration::ZERO {
        wait_until(&service, &run, wait, LOOK_EVERY, |state| state.record.turns > query.from).await?;
    }
    let page = service.store.journal(&run, query.from, limits::JOURNAL_PAGE_BYTES).await?.ok_or_else(|| run_not_found(&run))?;
    let damaged = |error: crate::api::json::InvalidJson| StoreError::Damaged { operation: "read a journal", detail: error.to_string() };
    let entries = page.entries.iter().map(|entry| Json::trusted(entry).map_err(damaged)).collect::<Result<_, _>>()?;
    Ok(Answered(Page { uid: page.uid, head: page.head, turns: page.turns, entries }))
}
