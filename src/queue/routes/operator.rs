//! What operators ask, beside what everybody does.

use axum::Json;
use axum::extract::State;

use crate::api::http::Term;
use crate::queue::border::problem::Answer;
use crate::queue::service::Shared;

/// `POST /v1/operator/term`: a term for an operator that has become the leader. From now on requests of lower terms are refused.
pub async fn term(State(service): State<Shared>) -> Answer<Json<Term>> {
    let term = service.store.next_term().await?;
    tracing::info!(term, "an operator leads");
    Ok(Json(Term { term }))
}
