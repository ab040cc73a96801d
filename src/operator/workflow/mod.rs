//! `Workflow`: its definition goes to the queue service; what that says of it comes back as conditions.

mod plan;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::core::PartialObjectMeta;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::{Controller, watcher};
use kube::{Api, ResourceExt as _};
use tokio_util::sync::CancellationToken;

use super::context::{Context, Error};
use super::drive::drive;
use super::status;
use crate::client::ClientError;
use crate::crd::resources::{WorkerPool, Workflow};
use plan::{Found, Verdict};

/// Runs the controller until `shutdown`.
pub(super) async fn control(context: Arc<Context>, shutdown: CancellationToken) {
    let all = watcher::Config::default();
    let controller = Controller::new(context.all::<Workflow>(), all.clone());
    let (workflows, of_pools) = (controller.store(), controller.store());
    // Of ConfigMaps only the metadata: their contents are read when a workflow that names one is looked at.
    let maps = context.all::<PartialObjectMeta<ConfigMap>>();
    let pools = context.all::<WorkerPool>();
    let controller = controller
        .watches(maps, all.clone(), move |map| {
            let names = move |workflow: &Arc<Workflow>| {
                let reference = workflow.spec.source.config_map_key_ref.as_ref();
                reference.is_some_and(|reference| reference.name == map.name_any()) && workflow.namespace() == map.namespace()
            };
            workflows.state().into_iter().filter(names).map(|workflow| ObjectRef::from_obj(&*workflow)).collect::<Vec<_>>()
        })
        .watches(pools, all, move |pool| {
            let names = move |workflow: &Arc<Workflow>| workflow.spec.pool == pool.name_any();
            of_pools.state().into_iter().filter(names).map(|workflow| ObjectRef::from_obj(&*workflow)).collect::<Vec<_>>()
        });
    drive("Workflow", controller, reconcile, context, shutdown).await;
}

async fn reconcile(workflow: Arc<Workflow>, context: Arc<Context>) -> Result<Action, Error> {
    if workflow.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let found = observe(&workflow, &context).await?;
    let mut away = None;
    let verdict = match plan::plan(&workflow, &found, &context.config.namespace) {
        Err(verdict) => verdict,
        Ok(planned) => match context.queue(&planned.namespace).apply(&planned.workflow).await {
            Ok(applied) => Verdict::applied(&applied, planned.pool_missing),
            Err(ClientError::Refused(problem)) => Verdict::refused(&problem),
            Err(error) => Verdict::away(away.insert(error)),
        },
    };
    let next = plan::status(&workflow, &verdict, &status::now());
    status::write(&context, &*workflow, workflow.status.as_ref(), &next).await?;
    if let Some(error) = away {
        return Err(error.into());
    }
    Ok(verdict.look_again.map_or_else(Action::await_change, Action::requeue))
}

/// What stands elsewhere: the ConfigMap's text and the pools of that name.
async fn observe(workflow: &Workflow, context: &Context) -> Result<Found, Error> {
    let namespace = workflow.namespace().unwrap_or_default();
    let mut found = Found { age: status::since(workflow.metadata.creation_timestamp.as_ref()), ..Found::default() };
    if let Some(reference) = &workflow.spec.source.config_map_key_ref {
        let map = Api::<ConfigMap>::namespaced(context.cluster.clone(), &namespace).get_opt(&reference.name).await?;
        found.map_exists = map.is_some();
        found.text = map.and_then(|map| map.data?.remove(&reference.key));
    }
    let installation = context.config.namespace.as_str();
    for place in std::iter::once(namespace.as_str()).chain((namespace != installation).then_some(installation)) {
        let pools = Api::<WorkerPool>::namespaced(context.cluster.clone(), place).list_metadata(&kube::api::ListParams::default()).await?;
        found.pools.extend(pools.items.iter().map(|pool| (place.to_owned(), pool.name_any())));
    }
    Ok(found)
}
