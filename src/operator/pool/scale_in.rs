//! On the way to fewer pods: observes the pods and their workers, does what [`victims::plan`] says, and tells how many there may be.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use futures_util::{StreamExt as _, stream};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams};
use kube::runtime::events::EventType;
use serde_json::json;

use super::workers::{COST, are_mixed, staying, with_workers};
use super::{pods_of, told, wanted};
use crate::api::http::WorkerView;
use crate::api::{DurationMs, Name, TimeMs};
use crate::client::ClientError;
use crate::crd::resources::WorkerPool;
use crate::machine::scaling::victims::{self, Fleet, GOES, Memory, Plan};
use crate::operator::context::{Context, Error, is_over};
use crate::operator::status;

/// A mark is renewed with each pass, and lapses when there is none for so long.
const MARK: DurationMs = DurationMs::from_secs(10);
/// Requests that are under way at once for one pool.
const AT_ONCE: usize = 16;
/// Pools that are remembered; beyond it all are forgotten.
const POOLS_MAX: usize = 4_096;

/// What is remembered of each pool, by its uid; of one that is not known it is looked whether somebody has left something.
#[derive(Debug)]
pub(in crate::operator) struct ScaleIn {
    pools: Mutex<HashMap<String, Memory>>,
    began: Instant,
}

impl Default for ScaleIn {
    fn default() -> Self {
        Self { pools: Mutex::default(), began: Instant::now() }
    }
}

impl ScaleIn {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Memory>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn recall(&self, uid: &str) -> Option<Memory> {
        self.lock().get(uid).cloned()
    }

    fn remember(&self, uid: &str, memory: Memory) {
        let mut pools = self.lock();
        if pools.len() >= POOLS_MAX {
            pools.clear();
        }
        pools.insert(uid.to_owned(), memory);
    }

    fn now(&self) -> TimeMs {
        TimeMs(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

/// How many pods there may be now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scaled {
    pub(super) replicas: i32,
    pub(super) victims: u32,
    /// Those of them that take on no work.
    pub(super) resting: u32,
    /// Something is to be done soon.
    pub(super) goes_on: bool,
}

/// Goes a step towards so many pods.
pub(super) async fn towards(pool: &WorkerPool, wanted: i32, context: &Context) -> Result<Scaled, Error> {
    let uid = pool.uid().unwrap_or_default();
    let there = Scaled { replicas: wanted, victims: 0, resting: 0, goes_on: false };
    let Some(deployment) = context.beside::<Deployment>(pool).get_opt(&wanted::child_name(pool)).await? else { return Ok(there) };
    // What somebody else has written is put back at once: it is no number of ours.
    let ours = context.pools.last(&uid, "Deployment").and_then(|applied| applied.data.pointer("/spec/replicas")?.as_i64());
    let replicas =
        ours.and_then(|number| i32::try_from(number).ok()).or(deployment.spec.as_ref().and_then(|spec| spec.replicas)).unwrap_or(1);
    let state = deployment.status.unwrap_or_default();
    let memory = context.scale_in.recall(&uid);
    if wanted >= replicas && state.replicas.unwrap_or(0) <= wanted && memory.as_ref().is_some_and(Memory::is_empty) {
        return Ok(there);
    }
    let pods = pods_of(pool, context).await?;
    let pods = staying(&pods);
    let stuck = state.conditions.iter().flatten().any(|condition| condition.type_ == "Progressing" && condition.status == "False");
    let memory = memory.unwrap_or_default();
    let has_cost = pods.iter().any(|pod| pod.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(COST)));
    // Of a pool that is as it should be nobody needs to know it.
    let asks = wanted < replicas || !memory.is_empty() || has_cost;
    let workers = if asks { workers(pool, context).await? } else { None };
    let seen = with_workers(&pods, workers.as_deref());
    let number = |number: i32| u32::try_from(number).unwrap_or(0);
    let fleet = Fleet {
        pods: &seen,
        wanted: number(wanted),
        replicas: number(replicas),
        // A rollout that does not come to its end holds up nothing.
        rolling: are_mixed(&pods) && !stuck,
        limit: DurationMs::from_secs(u64::try_from(pool.spec.termination_grace_period_seconds).unwrap_or(0)),
    };
    let (plan, memory) = victims::plan(&fleet, memory, context.scale_in.now());
    let goes_on = !memory.is_empty();
    context.scale_in.remember(&uid, memory);
    perform(pool, &pods, &plan, context).await?;
    tell(pool, &plan, context).await;
    let Plan { replicas, victims, resting, .. } = plan;
    Ok(Scaled { replicas: i32::try_from(replicas).unwrap_or(i32::MAX), victims, resting, goes_on })
}

/// The workers of the pool; absent when the queue service does not say.
async fn workers(pool: &WorkerPool, context: &Context) -> Result<Option<Vec<WorkerView>>, Error> {
    let Ok(name) = pool.name_any().parse::<Name>() else { return Ok(None) };
    let name = wanted::queue_pool(&pool.namespace().unwrap_or_default(), &name, &context.config.namespace);
    match context.queue(&context.config.namespace).workers_of(&name).await {
        Ok(workers) => Ok(Some(workers.workers)),
        Err(error) if is_over(&error) => Err(error.into()),
        Err(error) => {
            tracing::debug!(%error, pool = pool.name_any(), "it is not known what the workers have");
            Ok(None)
        }
    }
}

/// Tells the workers and the ReplicaSet. What is not done now is part of the next plan.
async fn perform(pool: &WorkerPool, pods: &[&Pod], plan: &Plan, context: &Context) -> Result<(), Error> {
    let queue = context.queue(&context.config.namespace);
    let marks = plan.mark.iter().map(|session| (session.clone(), true)).chain(plan.unmark.iter().map(|session| (session.clone(), false)));
    let marks: Vec<(String, bool)> = marks.collect();
    let told: Vec<Result<(), ClientError>> = stream::iter(marks)
        .map(|(session, drains)| {
            let queue = queue.clone();
            async move { if drains { queue.drain_worker(&session, MARK).await } else { queue.work_on(&session).await } }
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    for error in told.into_iter().filter_map(Result::err) {
        if is_over(&error) {
            return Err(error.into());
        }
        tracing::debug!(%error, pool = pool.name_any(), "a worker was not told whether it is to be drained");
    }
    let api = context.beside::<Pod>(pool);
    let mut costs = Vec::new();
    for (name, cost) in &plan.costs {
        let Some(pod) = pods.iter().find(|pod| pod.metadata.name.as_ref() == Some(name)) else { continue };
        let cost = cost.map(|cost| cost.to_string());
        let metadata = json!({"uid": pod.uid(), "resourceVersion": pod.resource_version(), "annotations": {COST: cost}});
        costs.push((name.clone(), json!({ "metadata": metadata })));
    }
    let written: Vec<kube::Result<Pod>> = stream::iter(costs)
        .map(|(name, patch)| {
            let api = api.clone();
            let by = PatchParams { field_manager: Some(status::MANAGER.into()), ..PatchParams::default() };
            async move { api.patch(&name, &by, &Patch::Merge(patch)).await }
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    for error in written.into_iter().filter_map(Result::err) {
        match &error {
            // It has changed meanwhile, or is gone.
            kube::Error::Api(answer) if [404, 409].contains(&answer.code) => {}
            _ => return Err(error.into()),
        }
    }
    Ok(())
}

/// Counts, and tells people what they should know.
async fn tell(pool: &WorkerPool, plan: &Plan, context: &Context) {
    let metrics = &context.metrics;
    metrics.victims("gone", plan.gone);
    metrics.victims("unplanned", plan.unplanned);
    metrics.victims("taken_back", plan.taken_back);
    metrics.victims("past_limit", u32::try_from(plan.overdue.len()).unwrap_or(u32::MAX));
    let (namespace, name) = (pool.namespace().unwrap_or_default(), pool.name_any());
    if plan.unplanned > 0 {
        tracing::warn!(namespace, name, pods = plan.unplanned, "pods went in the place of those that were to go");
    }
    let marked = plan.costs.iter().filter(|(_, cost)| *cost == Some(GOES)).count();
    if plan.gone > 0 || plan.taken_back > 0 || marked > 0 {
        tracing::info!(namespace, name, plan.gone, plan.taken_back, marked, plan.replicas, "on the way to fewer pods");
    }
    for overdue in &plan.overdue {
        context.event(pool, EventType::Normal, "PastDrainLimit", &told::overdue(pool, overdue)).await;
    }
}
