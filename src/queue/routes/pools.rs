//! What the pools have to do, for those who scale them.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use crate::api::DurationMs;
use crate::api::http::{PoolLoad, Pools};
use crate::queue::border::extract::{Params, PoolPath, wait};
use crate::queue::border::problem::Answer;
use crate::queue::service::{Service, Shared};
use crate::store::StoreError;

/// The query of the pools.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// The mark of the answer before.
    #[serde(default)]
    seen: String,
    wait: Option<DurationMs>,
}

/// Without a word it is looked so often: ages grow, and a word can be missed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What begins together is told together.
const SETTLE: Duration = Duration::from_millis(10);

/// `GET /v1/pools?seen=&wait=`: when the numbers are others than those of the mark `seen`, or after `wait`.
pub async fn list(State(service): State<Shared>, Params(query): Params<Query>) -> Answer<Json<Pools>> {
    let until = Instant::now() + wait(query.wait);
    loop {
        let mut told = std::pin::pin!(service.loads.changed().notified());
        told.as_mut().enable();
        let pools = service.pools().await?;
        let now = Instant::now();
        if pools.seen != query.seen || now >= until || service.shutdown.is_cancelled() {
            return Ok(Json(pools));
        }
        tokio::select! {
            () = told => tokio::time::sleep(SETTLE).await,
            () = tokio::time::sleep_until(until.min(now + LOOK_EVERY).into()) => {}
            () = service.shutdown.cancelled() => {}
        }
    }
}

/// `GET /v1/pools/{pool}`: one of them; all zero when nothing is known of it.
pub async fn get(State(service): State<Shared>, PoolPath { pool }: PoolPath) -> Answer<Json<PoolLoad>> {
    let signals = service.read_loads().await?.remove(&pool).unwrap_or_default();
    Ok(Json(PoolLoad { pool, signals }))
}

impl Service {
    async fn pools(&self) -> Result<Pools, StoreError> {
        let pools: Vec<_> = self.read_loads().await?.into_iter().map(|(pool, signals)| PoolLoad { pool, signals }).collect();
        let mut mark = DefaultHasher::new();
        for PoolLoad { pool, signals } in &pools {
            let (turns, activities) = (&signals.turns, &signals.activities);
            (pool.as_str(), turns.backlog, turns.busy, activities.backlog, activities.busy).hash(&mut mark);
            // What waits gets older.
            ((turns.oldest.0 + activities.oldest.0) / 1_000).hash(&mut mark);
            signals.timers.iter().map(|due| due.count).sum::<u64>().hash(&mut mark);
        }
        Ok(Pools { seen: format!("{:016x}", mark.finish()), pools })
    }
}
