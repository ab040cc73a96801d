//! `Workflow`: its definition goes to the queue service; what that says of it comes back as conditions.

mod checked;
mod open;
mod orphans;
mod plan;
#[cfg(test)]
mod tests;

pub use checked::serve as check_source;
pub(super) use open::OpenRuns;

use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::ListParams;
use kube::core::PartialObjectMeta;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher;
use kube::{Api, ResourceExt};
use tokio_util::sync::CancellationToken;

use super::context::{Context, Error, is_over, refusal};
use super::drive::{drive, triggers};
use super::orphans::{origin_of, owner, watch};
use super::status;
use super::watched::watched;
use crate::api::http::Applied;
use crate::api::{Code, Name, Origin};
use crate::client::{Client, ClientError};
use crate::crd::resources::{AllowedNamespaces, From, WorkerPool, Workflow};
use plan::{Found, FoundPool, Planned, Verdict};

/// Runs the controller until `shutdown`.
pub(super) async fn control(context: Arc<Context>, shutdown: CancellationToken) {
    let all = watcher::Config::default();
    let (triggers, triggered) = triggers();
    let (controller, objects) = watched::<Workflow>(&context, |_| {}, |context| &context.workflow_gone);
    let (workflows, of_pools) = (objects.clone(), objects.clone());
    // Only the metadata: contents are read when a workflow that names one is looked at.
    let maps = context.all::<PartialObjectMeta<ConfigMap>>();
    let pools = context.all::<PartialObjectMeta<WorkerPool>>();
    let controller = controller
        .reconcile_on(triggered)
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
    let beside = context.clone();
    let orphans = watch("workflows whose object is gone", &beside.workflow_gone, async || orphans::look(&beside, &objects).await);
    tokio::select! {
        () = drive("Workflow", controller, reconcile, context, shutdown) => {}
        () = open::read(&beside, &objects, triggers) => {}
        () = orphans => {}
    }
}

async fn reconcile(workflow: Arc<Workflow>, context: Arc<Context>) -> Result<Action, Error> {
    if workflow.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let found = observe(&workflow, &context).await?;
    let mut away = None;
    let verdict = match planned(&workflow, &found, &context).await? {
        Err(verdict) => verdict,
        Ok(planned) => match apply(&workflow, &planned, &context).await {
            Ok(applied) => Verdict::applied(applied.version, planned),
            Err(error) if is_over(&error) => return Err(error.into()),
            Err(error) => match refusal(&error) {
                Some(problem) => Verdict::refused(problem),
                None => Verdict::away(away.insert(error)),
            },
        },
    };
    let open = context.open.of(&workflow.namespace().unwrap_or_default(), &workflow.name_any());
    let next = plan::status(&workflow, &verdict, open, &status::now());
    status::write(&context, &*workflow, workflow.status.as_ref(), &next).await?;
    if let Some(error) = away {
        return Err(error.into());
    }
    Ok(verdict.look_again.map_or_else(Action::await_change, Action::requeue))
}

/// Applies the definition in the name of this object. One of the same name that held it before is gone: a cluster has one of a name.
async fn apply(workflow: &Workflow, planned: &Planned, context: &Context) -> Result<Applied, ClientError> {
    let queue = context.queue(&planned.namespace);
    let holder = workflow.uid().as_deref().and_then(origin_of);
    match queue.apply_as(&planned.workflow, holder.as_ref()).await {
        Err(error) if error.code() == Some(Code::WorkflowHeld) => {
            let name = &planned.workflow.name;
            match queue.workflow(name).await?.holder {
                Some(before) if owner(&before).is_some() => retire(&queue, name, &before).await?,
                _ => return Err(error),
            }
            queue.apply_as(&planned.workflow, holder.as_ref()).await
        }
        applied => applied,
    }
}

/// Gives up what an object held that is gone. Somebody else may have been faster.
async fn retire(queue: &Client, name: &Name, holder: &Origin) -> Result<(), ClientError> {
    match queue.retire(name, Some(holder)).await {
        Err(error) if matches!(error.code(), Some(Code::WorkflowHeld | Code::WorkflowNotFound)) => Ok(()),
        retired => retired.map(|_| ()),
    }
}

/// The definition for the queue service, or what is wrong with the object.
async fn planned(workflow: &Workflow, found: &Found, context: &Context) -> Result<Result<Planned, Verdict>, Error> {
    let planned = match plan::plan(workflow, found, &context.config.namespace) {
        Ok(planned) => planned,
        Err(verdict) => return Ok(Err(verdict)),
    };
    Ok(match checked::findings(&planned.workflow.definition).await? {
        Ok(findings) => findings.first().map_or(Ok(planned), |finding| Err(Verdict::invalid_source(finding))),
        Err(how) => Err(Verdict::too_complex(&how)),
    })
}

/// What stands elsewhere: the ConfigMap's text and the pools of that name.
async fn observe(workflow: &Workflow, context: &Context) -> Result<Found, Error> {
    let namespace = workflow.namespace().unwrap_or_default();
    let mut found = Found { age: status::since(workflow.metadata.creation_timestamp.as_ref(), &status::now()), ..Found::default() };
    if let Some(reference) = &workflow.spec.source.config_map_key_ref {
        let map = context.within::<ConfigMap>(&namespace).get_opt(&reference.name).await?;
        found.map_exists = map.is_some();
        found.text = map.and_then(|map| map.data?.remove(&reference.key));
    }
    let (installation, wanted) = (context.config.namespace.as_str(), workflow.spec.pool.as_str());
    let pools_of = |place: &str| context.within::<WorkerPool>(place);
    found.pool = if pools_of(&namespace).get_metadata_opt(wanted).await?.is_some() {
        FoundPool::Own
    } else {
        match pools_of(installation).get_opt(wanted).await? {
            Some(pool) if admits(&pool.spec.allowed_namespaces, &namespace, context).await? => {
                // Labels of namespaces are not watched, and where namespaces are named each is watched by itself.
                FoundPool::Shared { unheard: pool.spec.allowed_namespaces.from == From::Selector || context.is_limited() }
            }
            Some(_) => FoundPool::NotAllowed,
            None => {
                let mut names = Vec::new();
                for place in std::iter::once(namespace.as_str()).chain((namespace != installation).then_some(installation)) {
                    let pools = pools_of(place).list_metadata(&ListParams::default()).await?;
                    names.extend(pools.items.iter().map(ResourceExt::name_any));
                }
                FoundPool::None { there_are: names }
            }
        }
    };
    Ok(found)
}

/// Whether a shared pool is for the workflows of a namespace.
async fn admits(allowed: &AllowedNamespaces, namespace: &str, context: &Context) -> Result<bool, Error> {
    match allowed.from {
        From::All => Ok(true),
        From::Same => Ok(false),
        From::Selector => {
            let namespaces = Api::<PartialObjectMeta<Namespace>>::all(context.cluster.clone());
            let labels = namespaces.get_opt(namespace).await?.unwrap_or_default().metadata.labels.unwrap_or_default();
            Ok(allowed.match_labels.iter().all(|(name, value)| labels.get(name) == Some(value)))
        }
    }
}
