//! The routes: each extracts, calls, and maps the answer. One file per group.

mod activities;
mod changes;
mod commit;
mod control;
mod health;
mod journal;
pub mod openapi;
mod operator;
mod pools;
mod queues;
mod runs;
mod signals;
mod start;
mod worker;
mod workers;
mod workflows;

use axum::Router;
use axum::routing::{delete, get, post, put};

use super::border;
use super::service::Shared;

/// All routes. A `/` in a run's id comes as `%2F`, so an id is one segment.
pub fn router(service: Shared) -> Router {
    Router::new()
        .route("/v1/namespaces/{ns}/workflows", get(workflows::list))
        .route("/v1/namespaces/{ns}/workflows/{name}", get(workflows::get).put(workflows::put).delete(workflows::retire))
        .route("/v1/namespaces/{ns}/runs", get(runs::list).post(start::start))
        .route("/v1/namespaces/{ns}/runs/{id}", get(runs::get))
        .route("/v1/namespaces/{ns}/runs/{id}/journal", get(journal::journal))
        .route("/v1/namespaces/{ns}/runs/{id}/signals/{name}", post(signals::signal))
        .route("/v1/namespaces/{ns}/runs/{id}/cancel", post(signals::cancel))
        .route("/v1/namespaces/{ns}/runs/{id}/terminate", post(control::terminate))
        .route("/v1/namespaces/{ns}/runs/{id}/pause", post(control::pause))
        .route("/v1/namespaces/{ns}/runs/{id}/resume", post(control::resume))
        .route("/v1/namespaces/{ns}/queues/{queue}/poll", post(queues::poll))
        .route("/v1/versions/{version}", get(workflows::version))
        .route("/v1/activities/settle", post(activities::settle))
        .route("/v1/activities/{token}/complete", post(activities::complete))
        .route("/v1/activities/{token}/fail", post(activities::fail))
        .route("/v1/activities/{token}/heartbeat", post(activities::heartbeat))
        .route("/v1/changes", get(changes::changes))
        .route("/v1/operator/term", post(operator::term))
        .route("/v1/operator/held", get(operator::held))
        .route("/v1/operator/open-runs", get(operator::open_runs))
        .route("/v1/operator/followed", get(operator::followed))
        .route("/v1/pools", get(pools::list))
        .route("/v1/pools/{pool}", get(pools::get))
        .route("/v1/workers", get(workers::list))
        .route("/v1/workers/{id}/drain", put(workers::drain).delete(workers::works_on))
        .route("/v1/worker/session", post(worker::open))
        .route("/v1/worker/session/{id}", delete(worker::goodbye))
        .route("/v1/worker/session/{id}/renew", post(worker::renew))
        .route("/v1/worker/session/{id}/leases", get(worker::leases))
        .route("/v1/worker/session/{id}/stream", get(worker::stream))
        .route("/v1/worker/poll", post(worker::poll))
        .route("/v1/worker/commit", post(commit::commit))
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/openapi.json", get(openapi::route))
        .fallback(border::not_found)
        .method_not_allowed_fallback(border::method_not_allowed)
        .layer(axum::middleware::from_fn_with_state(service.clone(), border::border))
        .with_state(service)
}
