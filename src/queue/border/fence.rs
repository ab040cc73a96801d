//! Requests that are for one store only, or for as long as an operator leads.
//!
//! The store is asked for what holds, so that no replica goes by what it knew. A term that is given between this look and the request's own
//! operation comes after it.

use axum::http::HeaderMap;

use super::problem::Refused;
use crate::api::http::{STORE_HEADER, TERM_HEADER};
use crate::api::{Code, Problem};
use crate::queue::service::Service;
use crate::telemetry::metrics::ReasonLabels;

/// Refuses a request that names another store, or a term that is over. One that names neither costs nothing.
///
/// # Errors
/// `StoreChanged`, `OldTerm`, `InvalidRequest`; the store does not answer.
pub async fn check(service: &Service, headers: &HeaderMap) -> Result<(), Refused> {
    let (store, term) = (headers.get(STORE_HEADER), headers.get(TERM_HEADER));
    if store.is_none() && term.is_none() {
        return Ok(());
    }
    let term = term.map(|value| value.to_str().ok().and_then(|text| text.parse::<u64>().ok()).ok_or_else(no_term)).transpose()?;
    let lineage = service.store.lineage().await?;
    if let Some(store) = store.filter(|store| store.as_bytes() != lineage.id.as_bytes()) {
        let found = if lineage.id.is_empty() { "it was emptied" } else { lineage.id.as_str() };
        let detail =
            format!("the request is for store {}, and the service has another one ({found})", String::from_utf8_lossy(store.as_bytes()));
        return Err(refused(service, Code::StoreChanged, detail, "see that the service has the right store; `/readyz` tells its id"));
    }
    if let Some(term) = term.filter(|term| *term < lineage.term) {
        let detail = format!("term {term} is over: an operator leads in term {}", lineage.term);
        return Err(refused(service, Code::OldTerm, detail, "stop: this operator does not lead any more"));
    }
    Ok(())
}

fn refused(service: &Service, code: Code, detail: String, next: &str) -> Refused {
    service.metrics.fenced.get_or_create(&ReasonLabels { reason: code.as_str().to_owned() }).inc();
    Problem::new(code, detail).next(next).into()
}

fn no_term() -> Problem {
    Problem::new(Code::InvalidRequest, format!("the header {TERM_HEADER} is no number"))
        .next("send the term that POST /v1/operator/term gave")
}
