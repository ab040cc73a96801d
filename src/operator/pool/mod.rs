//! `WorkerPool`: a Deployment of worker pods, applied as a whole, and told about.

mod plan;
#[cfg(test)]
mod tests;

pub(super) use plan::queue_pool;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::runtime::events::EventType;
use kube::runtime::{Controller, watcher};
use kube::{Api, ResourceExt as _};
use tokio_util::sync::CancellationToken;

use super::context::{Context, Error};
use super::drive::drive;
use super::status;
use crate::crd::resources::WorkerPool;

/// A name that is taken may become free without telling us.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Runs the controller until `shutdown`.
pub(super) async fn control(context: Arc<Context>, shutdown: CancellationToken) {
    let all = watcher::Config::default();
    let controller = Controller::new(context.all::<WorkerPool>(), all.clone()).owns(context.all::<Deployment>(), all.labels(plan::MANAGED));
    drive("WorkerPool", controller, reconcile, context, shutdown).await;
}

async fn reconcile(pool: Arc<WorkerPool>, context: Arc<Context>) -> Result<Action, Error> {
    if pool.metadata.deletion_timestamp.is_some() {
        // Its Deployment belongs to it and goes with it.
        return Ok(Action::await_change());
    }
    let api = Api::<Deployment>::namespaced(context.cluster.clone(), &pool.namespace().unwrap_or_default());
    let name = plan::deployment_name(&pool);
    let found = api.get_opt(&name).await?;
    let (next, action) = if found.as_ref().is_some_and(|found| !plan::is_ours(found, &pool)) {
        (plan::name_taken(&pool, &name, &status::now()), Action::requeue(LOOK_AGAIN))
    } else {
        let wanted = plan::deployment(&pool, &context.config);
        let deployment = match found {
            Some(found) if plan::has_all_of(&found, &wanted) => found,
            found => {
                let applied = api.patch(&name, &PatchParams::apply(status::MANAGER).force(), &Patch::Apply(&wanted)).await?;
                if found.is_some_and(|found| plan::was_applied_from(&found, &wanted)) {
                    let note = format!("Deployment {name} was changed by hand and is put back; change the WorkerPool, or its /scale");
                    context.event(&*pool, EventType::Normal, "PutBack", &note).await;
                }
                applied
            }
        };
        (plan::status(&pool, &deployment, &status::now()), Action::await_change())
    };
    status::write(&context, &*pool, pool.status.as_ref(), &next).await?;
    Ok(action)
}
