//! `/openapi.json`: what every route takes and gives.

use axum::http::header;
use axum::response::IntoResponse;

/// `GET /openapi.json`.
pub async fn route() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], openapi())
}

/// The document.
#[must_use]
pub fn openapi() -> String {
    "{}".to_owned()
}
