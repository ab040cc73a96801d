//! Who is there, and who is to be drained.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use futures_util::future::try_join_all;
use serde::Deserialize;

use crate::api::http::{Drain, Draining, WorkerView, Workers};
use crate::api::limits::DRAIN_MARK_MAX;
use crate::api::{Code, DurationMs, Name, Problem, SessionId};
use crate::queue::border::body::Body;
use crate::queue::border::extract::{Params, SessionPath};
use crate::queue::border::problem::Answer;
use crate::queue::service::Shared;
use crate::queue::sessions::pool_of;
use crate::store::op::Leased;

/// The query of the workers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    pool: Option<Name>,
}

/// `GET /v1/workers?pool=`: the sessions that have not ended, with what is leased to them.
pub async fn list(State(service): State<Shared>, Params(query): Params<Query>) -> Answer<Json<Workers>> {
    let sessions = service.all_sessions().await?;
    service.look_for_marks().await?;
    let mut leases: BTreeMap<SessionId, Leased> = sessions.into_iter().map(|session| (session, Leased::default())).collect();
    let now = service.clock.for_store();
    for load in try_join_all(service.partitions().map(|partition| service.store.load(partition, now))).await? {
        for (session, more) in load.leases {
            let leased = leases.entry(session).or_default();
            leased.turns += more.turns;
            leased.attempts += more.attempts;
        }
    }
    let view = |(session, leased): (SessionId, Leased)| {
        let pool = pool_of(&session).ok()?;
        let draining = service.is_draining(&session);
        let Leased { turns, attempts } = leased;
        Some(WorkerView { session: session.to_string(), pool: Some(pool), leases: turns + attempts, turns, activities: attempts, draining })
    };
    let wanted = |worker: &WorkerView| query.pool.as_ref().is_none_or(|pool| worker.pool.as_ref() == Some(pool));
    Ok(Json(Workers { workers: leases.into_iter().filter_map(view).filter(wanted).collect() }))
}

/// `PUT /v1/workers/{id}/drain`: nothing new is granted to the worker for so long, and it is told.
pub async fn drain(
    State(service): State<Shared>,
    SessionPath { session }: SessionPath,
    Body(drain): Body<Drain>,
) -> Answer<Json<Draining>> {
    pool_of(&session)?;
    if drain.ttl == DurationMs(0) || drain.ttl > DRAIN_MARK_MAX {
        let problem =
            Problem::new(Code::InvalidRequest, format!("a worker is drained for more than 0 and up to {DRAIN_MARK_MAX} at a time"));
        return Err(problem.next("give a `ttl` such as 10s, and repeat the request while it is to be drained").into());
    }
    let until = service.drain(&session, Some(drain.ttl)).await?;
    tracing::debug!(%session, "a worker is to be drained");
    Ok(Json(Draining { until }))
}

/// `DELETE /v1/workers/{id}/drain`: it works on.
pub async fn works_on(State(service): State<Shared>, SessionPath { session }: SessionPath) -> Answer<StatusCode> {
    pool_of(&session)?;
    service.drain(&session, None).await?;
    tracing::debug!(%session, "a worker is not to be drained any more");
    Ok(StatusCode::NO_CONTENT)
}
