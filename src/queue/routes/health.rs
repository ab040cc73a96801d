//! What probes and monitors ask.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;

use crate::api::http::Ready;
use crate::queue::service::Shared;

/// `GET /healthz`: the process runs.
pub async fn live() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: whether this replica takes requests. It does while the store is away, too: to restart it or to take it out of
/// its service would help nobody, and its clients get an error with a code. `reason` says so.
pub async fn ready(State(service): State<Shared>) -> (StatusCode, Json<Ready>) {
    let stopping = service.shutdown.is_cancelled();
    let reason =
        if stopping { "stopping".to_owned() } else { service.store.now().await.err().map(|error| error.to_string()).unwrap_or_default() };
    let ready = Ready {
        ready: !stopping,
        reason,
        durability: service.info.durability.as_str().to_owned(),
        store: service.info.kind.clone(),
        store_id: service.info.id.clone(),
        partitions: service.info.partitions,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    (if stopping { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }, Json(ready))
}

/// A store that takes longer is away for those who measure.
const MEASURED_WITHIN: Duration = Duration::from_secs(1);

/// `GET /metrics`, in the OpenMetrics format. Without what the pools have to do when the store does not say.
pub async fn metrics(State(service): State<Shared>) -> impl IntoResponse {
    let pools = tokio::time::timeout(MEASURED_WITHIN, service.measured_loads()).await;
    let pools = pools.ok().and_then(Result::ok);
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], service.metrics.encode(pools.as_ref()))
}
