//! What a cluster asks a process that serves nothing else: whether it lives, whether it is ready, and its metrics.
//!
//! `/healthz` is answered as long as the process serves; `/readyz` is 200 or 503, with the reason as text; `/metrics` is in the
//! OpenMetrics format.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// A role that can be asked.
pub(super) trait Probed: Send + Sync + 'static {
    /// Whether it does its work now; a sentence when it does not.
    ///
    /// # Errors
    /// That sentence.
    fn ready(&self) -> Result<(), String>;

    /// Its metrics, in the OpenMetrics format.
    fn metrics(&self) -> String;
}

/// Answers until `shutdown`; `more` beside.
///
/// # Errors
/// The listener broke.
pub(super) async fn serve(
    listener: TcpListener,
    probed: Arc<dyn Probed>,
    more: Router,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let routes = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(probed)
        .merge(more);
    axum::serve(listener, routes).with_graceful_shutdown(shutdown.cancelled_owned()).await
}

async fn ready(State(probed): State<Arc<dyn Probed>>) -> impl IntoResponse {
    match probed.ready() {
        Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
    }
}

async fn metrics(State(probed): State<Arc<dyn Probed>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], probed.metrics())
}
