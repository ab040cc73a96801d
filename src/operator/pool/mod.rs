//! `WorkerPool`: a Deployment of worker pods and what belongs to it, applied as wholes, and told about.

mod auto;
mod compare;
mod measured;
mod memory;
mod overlay;
mod pods;
mod roll;
mod scale_in;
mod starts;
#[cfg(test)]
mod tests;
mod told;
mod wanted;
mod workers;

pub(super) use auto::Auto;
pub(super) use memory::Memory;
pub(super) use roll::Turn;
pub(super) use scale_in::ScaleIn;
pub(super) use wanted::queue_pool;

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{ApiResource, ListParams, Patch, PatchParams};
use kube::core::{DynamicObject, PartialObjectMeta};
use kube::runtime::controller::Action;
use kube::runtime::events::EventType;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::{Controller, watcher};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::context::{Context, Error};
use super::drive::{drive, triggers};
use super::status;
use crate::crd::resources::{Mode, WorkerPool, WorkerPoolStatus};
use told::Fleet;

/// A name that is taken, a right that is missing, or a policy that refuses may change without telling us.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// What pods still have is not told.
const LOOK_AGAIN_WHILE_DRAINING: Duration = Duration::from_millis(500);

/// Whose turn it is, and what the queue service is, is not told.
const LOOK_AGAIN_IN_TURN: Duration = Duration::from_secs(2);

/// Runs the controller until `shutdown`.
pub(super) async fn control(context: Arc<Context>, shutdown: CancellationToken) {
    let all = watcher::Config::default();
    let ours = all.clone().labels(wanted::MANAGED);
    let (triggers, triggered) = triggers();
    // Of what belongs to a pool only the metadata is watched: that something has changed is all that is to be known.
    let controller = Controller::new(context.all::<WorkerPool>(), all.clone())
        .reconcile_on(triggered)
        .owns(context.all::<Deployment>(), ours.clone())
        .owns(context.all::<ServiceAccount>(), ours.clone())
        .owns(context.all::<PodDisruptionBudget>(), ours)
        .watches(context.all::<PartialObjectMeta<Pod>>(), all.labels(wanted::WORKERS), |pod| {
            let pool = pod.labels().get(wanted::POOL)?;
            Some(ObjectRef::new(pool).within(&pod.namespace()?))
        });
    let (beside, objects) = (context.clone(), controller.store());
    tokio::select! {
        () = drive("WorkerPool", controller, reconcile, context, shutdown) => {}
        () = auto::follow(&beside, objects, triggers) => {}
    }
}

async fn reconcile(pool: Arc<WorkerPool>, context: Arc<Context>) -> Result<Action, Error> {
    if pool.metadata.deletion_timestamp.is_some() {
        // What belongs to it goes with it.
        return Ok(Action::await_change());
    }
    let (next, action) = match applied(&pool, &context).await {
        Ok(fleet) => {
            let again = if fleet.goes_on {
                Action::requeue(LOOK_AGAIN_WHILE_DRAINING)
            } else if fleet.waits.is_some() {
                Action::requeue(LOOK_AGAIN_IN_TURN)
            } else {
                Action::await_change()
            };
            (told::status(&pool, &fleet, &status::now()), again)
        }
        Err(Stop::Say(next, again)) => (*next, again.map_or_else(Action::await_change, Action::requeue)),
        Err(Stop::Failed(error)) => match told::refused(&pool, &error, &status::now()) {
            Some(next) => (next, Action::requeue(LOOK_AGAIN)),
            None => return Err(error),
        },
    };
    status::write(&context, &*pool, pool.status.as_ref(), &next).await?;
    // Whether another program obeys is not for us to tell.
    if pool.spec.scaling.mode == Mode::Auto
        && let Some((reason, note)) = told::turned(pool.status.as_ref(), &next)
    {
        context.event(&*pool, EventType::Normal, reason, &note).await;
    }
    Ok(action)
}

/// Why not all of a pool's objects are as they are wanted.
enum Stop {
    Failed(Error),
    /// What is to be said, and when to look again.
    Say(Box<WorkerPoolStatus>, Option<Duration>),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<kube::Error> for Stop {
    fn from(error: kube::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// Applies a pool's objects; how the pods are then.
async fn applied(pool: &WorkerPool, context: &Context) -> Result<Fleet, Stop> {
    let invalid = |what: String| Stop::Say(Box::new(told::invalid(pool, &what, &status::now())), None);
    let (wanted, following) = match pool.spec.scaling.mode {
        Mode::Auto => {
            auto::limits(pool).map_err(invalid)?;
            let following = context.auto.wanted(&pool.uid().unwrap_or_default());
            (auto::replicas(pool, following.as_ref()), following)
        }
        Mode::External => {
            auto::limits(pool).map_err(invalid)?;
            (pool.spec.replicas, context.auto.wanted(&pool.uid().unwrap_or_default()))
        }
        Mode::Fixed => (pool.spec.replicas, None),
    };
    let (image, waits) = roll::image(pool, context).await?;
    let scaled = scale_in::towards(pool, wanted, context).await?;
    let [account, budget, deployment] = wanted::wanted(pool, scaled.replicas, &image, &context.config).map_err(invalid)?;
    one_applied(pool, context, &ApiResource::erase::<ServiceAccount>(&()), account).await?;
    one_applied(pool, context, &ApiResource::erase::<PodDisruptionBudget>(&()), budget).await?;
    let deployment = one_applied(pool, context, &ApiResource::erase::<Deployment>(&()), deployment).await?;
    let state = deployment.data.get("status").cloned().and_then(|state| serde_json::from_value(state).ok()).unwrap_or_default();
    let generation = deployment.metadata.generation.unwrap_or(0);
    let scale_in::Scaled { replicas, victims, resting, goes_on } = scaled;
    let mut fleet = Fleet { generation, state, trouble: None, wanted, replicas, victims, resting, goes_on, waits, following };
    // Pods that were not ready before may be now: then it is known how long they took.
    let was_ready = pool.status.as_ref().map_or(0, |status| status.ready_replicas);
    let measures = auto::follows(pool) && (fleet.state.ready_replicas.unwrap_or(0) > was_ready || !context.auto.has_looked(pool));
    let mut pods = None;
    if !fleet.is_complete() || measures {
        let list = pods_of(pool, context).await?;
        fleet.trouble = pods::trouble(&list);
        pods = Some(list);
    }
    if fleet.is_complete() && fleet.waits.is_none() {
        context.turn.end(&pool.uid().unwrap_or_default());
    }
    context.auto.seen(pool, &fleet, pods.as_deref());
    Ok(fleet)
}

/// All pods of a pool.
async fn pods_of(pool: &WorkerPool, context: &Context) -> kube::Result<Vec<Pod>> {
    let of_pool = ListParams::default().labels(&format!("{},{}={}", wanted::WORKERS, wanted::POOL, pool.name_any()));
    Ok(context.beside::<Pod>(pool).list(&of_pool).await?.items)
}

/// Whether the pool is not any more what is known here: a child that claims to be of a later one may be wrong.
async fn is_outdated(pool: &WorkerPool, context: &Context) -> kube::Result<bool> {
    let now = context.beside::<WorkerPool>(pool).get_metadata_opt(&pool.name_any()).await?;
    Ok(now.is_none_or(|now| now.metadata.generation != pool.metadata.generation))
}

/// Applies one object, unless it is as it is wanted; how it is then.
async fn one_applied(pool: &WorkerPool, context: &Context, kind: &ApiResource, mut wanted: Value) -> Result<DynamicObject, Stop> {
    let api = Api::<DynamicObject>::namespaced_with(context.cluster.clone(), &pool.namespace().unwrap_or_default(), kind);
    let name = wanted::child_name(pool);
    let (uid, found) = (pool.uid().unwrap_or_default(), api.get_opt(&name).await?);
    let say = |next, again| Err(Stop::Say(Box::new(next), Some(again)));
    if let Some(found) = &found {
        if !compare::is_ours(found, pool) {
            return say(told::name_taken(pool, &kind.kind, &name, &status::now()), LOOK_AGAIN);
        }
        if compare::is_of_a_later(found, pool) && is_outdated(pool, context).await? {
            return Err(Stop::Failed(Error::Outdated));
        }
        if compare::was_applied_from(found, &wanted)
            && let Some(applied) = context.pools.last(&uid, &kind.kind)
        {
            let Some(field) = compare::first_difference(found, &applied, &wanted) else { return Ok(found.clone()) };
            if let Err(again) = context.pools.may_put_back(&uid, &kind.kind, Instant::now()) {
                let manager = compare::last_other_manager(found);
                return say(told::contested(pool, &kind.kind, &field, manager.as_deref(), &status::now()), again);
            }
        }
        // One that was deleted in between is not made again by accident, and one that was written in between is looked at again.
        wanted["metadata"]["uid"] = json!(found.uid());
        wanted["metadata"]["resourceVersion"] = json!(found.resource_version());
    }
    let object = api.patch(&name, &PatchParams::apply(status::MANAGER).force(), &Patch::Apply(&wanted)).await?;
    context.pools.applied(&uid, &kind.kind, &object);
    if let Some(found) = found.filter(|found| compare::was_applied_from(found, &wanted))
        && let Some(field) = compare::first_difference(&found, &object, &wanted)
    {
        context.pools.was_put_back(&uid, &kind.kind, Instant::now());
        let note = format!("`{field}` of {} {name} was changed by hand and is put back; change the WorkerPool, or its /scale", kind.kind);
        context.event(pool, EventType::Normal, "PutBack", &note).await;
    }
    Ok(object)
}
