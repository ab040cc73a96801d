//! Who is there.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use futures_util::future::try_join_all;

use crate::api::http::{WorkerView, Workers};
use crate::machine::record::EXTERNAL;
use crate::queue::border::problem::Answer;
use crate::queue::service::Shared;
use crate::queue::sessions::pool_of;

/// `GET /v1/workers`: sessions that hold leases, and those that talk to this replica.
pub async fn list(State(service): State<Shared>) -> Answer<Json<Workers>> {
    let mut leases: BTreeMap<String, u64> = service.sessions.all().into_iter().map(|session| (session.to_string(), 0)).collect();
    for counts in try_join_all(service.partitions().map(|partition| service.store.counts(partition))).await? {
        for (session, count) in counts.leases {
            if session != EXTERNAL {
                *leases.entry(session).or_default() += count;
            }
        }
    }
    let view = |(session, leases): (String, u64)| {
        let pool = session.parse().ok().and_then(|id| pool_of(&id).ok());
        WorkerView { session, pool, leases }
    };
    Ok(Json(Workers { workers: leases.into_iter().map(view).collect() }))
}
