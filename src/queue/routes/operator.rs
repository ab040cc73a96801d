//! What operators ask, beside what everybody does.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use futures_util::future::try_join_all;
use serde::Deserialize;

use crate::api::http::{Followed, FollowedRun, Held, HeldWorkflow, OpenRuns, OpenVersion, Term};
use crate::api::{Code, Partition, Problem, RunKey};
use crate::queue::border::extract::Params;
use crate::queue::border::problem::{Answer, Refused};
use crate::queue::service::{Service, Shared};
use crate::queue::view::stored;

/// `POST /v1/operator/term`: a term for an operator that has become the leader. From now on requests of lower terms are refused.
pub async fn term(State(service): State<Shared>) -> Answer<Json<Term>> {
    let term = service.store.next_term().await?;
    tracing::info!(term, "an operator leads");
    Ok(Json(Term { term }))
}

/// `GET /v1/operator/held`: whose object may be gone.
pub async fn held(State(service): State<Shared>) -> Answer<Json<Held>> {
    let held = service.store.held_workflows().await?.into_iter();
    let workflows = held.map(|(namespace, record)| Ok(HeldWorkflow { namespace, holder: stored(&record.holder)?, name: record.name }));
    Ok(Json(Held { workflows: workflows.collect::<Result<_, Refused>>()? }))
}

/// `GET /v1/operator/open-runs`: how many runs of each version are open.
pub async fn open_runs(State(service): State<Shared>) -> Answer<Json<OpenRuns>> {
    let mut sums = BTreeMap::new();
    for counted in try_join_all(service.partitions().map(|partition| service.store.open_runs(partition))).await?.into_iter().flatten() {
        *sums.entry((counted.namespace, counted.workflow, counted.version)).or_insert(0) += counted.runs;
    }
    let versions = sums.into_iter().map(|((namespace, workflow, version), runs)| OpenVersion { namespace, workflow, version, runs });
    Ok(Json(OpenRuns { versions: versions.collect() }))
}

/// The query of followed runs.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    #[serde(default)]
    cursor: String,
}

/// `GET /v1/operator/followed?cursor=`: open runs with an origin, a slice of one partition at a time.
pub async fn followed(State(service): State<Shared>, Params(query): Params<Query>) -> Answer<Json<Followed>> {
    let (partition, after) = match query.cursor.as_str() {
        "" => (Partition(0), None),
        text => service.place(text)?,
    };
    let page = service.store.followed(partition, after.as_ref()).await?;
    let cursor = match page.runs.last() {
        Some((last, _)) if page.more => format!("{}.{last}", partition.0),
        _ if partition.0 + 1 < service.info.partitions => format!("{}.", partition.0 + 1),
        _ => String::new(),
    };
    let run = |(run, origin): (RunKey, _)| FollowedRun { namespace: run.namespace, id: run.id, origin };
    Ok(Json(Followed { runs: page.runs.into_iter().map(run).collect(), cursor }))
}

impl Service {
    /// The place of a cursor: a partition, and the last run that was told of it.
    fn place(&self, cursor: &str) -> Result<(Partition, Option<RunKey>), Refused> {
        let read = || {
            let (partition, run) = cursor.split_once('.')?;
            let partition = partition.parse().ok().filter(|number| *number < self.info.partitions)?;
            let after = if run.is_empty() { None } else { Some(run.parse().ok()?) };
            Some((Partition(partition), after))
        };
        let bad = || Problem::new(Code::InvalidRequest, format!("the cursor {cursor:?} is none of this route"));
        read().ok_or_else(|| bad().next("give the cursor of the answer before, or none").into())
    }
}
