//! `WorkflowRun`: an object starts one run, and a summary of the run comes back.
//!
//! The order of writes makes a start that no crash repeats: the finalizer, then the run's id in the status, then the start under that
//! id, then `acceptedAt`. Once that stands there the run is never asked for again.

mod plan;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use kube::api::{Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::runtime::{Controller, watcher};
use kube::{Api, ResourceExt as _};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::context::{Context, Error};
use super::drive::drive;
use super::status;
use crate::api::{Code, RunId};
use crate::client::{Client, ClientError};
use crate::crd::resources::{WorkflowRun, WorkflowRunStatus};
use plan::Step;

/// An open run is looked at again after a tenth of its age, within these bounds.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// Runs the controller until `shutdown`.
pub(super) async fn control(context: Arc<Context>, shutdown: CancellationToken) {
    let controller = Controller::new(context.all::<WorkflowRun>(), watcher::Config::default());
    drive("WorkflowRun", controller, reconcile, context, shutdown).await;
}

async fn reconcile(run: Arc<WorkflowRun>, context: Arc<Context>) -> Result<Action, Error> {
    let action = match plan::plan(&run, &status::now()) {
        Step::Nothing => Action::await_change(),
        Step::Finalizers(finalizers) => {
            set_finalizers(&context, &run, finalizers).await?;
            Action::await_change()
        }
        Step::Write(next) => {
            write(&context, &run, &next).await?;
            Action::await_change()
        }
        Step::Start(planned) => {
            let asked = context.queue(&planned.namespace).start(&planned.start, planned.start.id.as_ref().map_or("", RunId::as_str)).await;
            told(&context, &run, asked.map(|view| plan::accepted(&run, &view, &status::now()))).await?
        }
        Step::Look { namespace, id, cancel } => {
            let queue = context.queue(&namespace);
            if cancel {
                cancel_once(&queue, &run, &id, "the WorkflowRun asks for it").await?;
            }
            told(&context, &run, queue.run(&id).await.map(|view| plan::mirrored(&run, &view, &status::now()))).await?
        }
        Step::Cancel { namespace, id } => {
            if let Err(error) = cancel_once(&context.queue(&namespace), &run, &id, "the WorkflowRun was deleted").await {
                if status::since(run.metadata.deletion_timestamp.as_ref()) < plan::CANCEL_WITHIN {
                    return Err(error.into());
                }
                tracing::warn!(run = %id, %error, "a WorkflowRun goes although its run could not be cancelled");
            }
            set_finalizers(&context, &run, plan::others(&run)).await?;
            Action::await_change()
        }
    };
    Ok(action)
}

/// Asks a run to end, once for each object, however often an operator dies in between. A run that is over needs no asking.
async fn cancel_once(queue: &Client, run: &WorkflowRun, id: &RunId, reason: &str) -> Result<(), ClientError> {
    let key = format!("{}-cancel", run.uid().unwrap_or_default());
    match queue.cancel_as(id, reason, &key).await {
        Err(error) if matches!(error.code(), Some(Code::RunClosed | Code::RunNotFound)) => Ok(()),
        asked => asked,
    }
}

async fn set_finalizers(context: &Context, run: &WorkflowRun, finalizers: Vec<String>) -> Result<(), Error> {
    let api = Api::<WorkflowRun>::namespaced(context.cluster.clone(), &run.namespace().unwrap_or_default());
    let patch = json!({"metadata": {"resourceVersion": run.resource_version(), "finalizers": finalizers}});
    api.patch(&run.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(())
}

/// Writes what an answer of the queue service comes to.
async fn told(context: &Context, run: &WorkflowRun, answer: Result<WorkflowRunStatus, ClientError>) -> Result<Action, Error> {
    match answer {
        Ok(next) => {
            let closed = next.closed_at.is_some();
            write(context, run, &next).await?;
            let tenth = status::since(run.metadata.creation_timestamp.as_ref()) / 10;
            Ok(if closed { Action::await_change() } else { Action::requeue(tenth.clamp(LOOK_AGAIN.0, LOOK_AGAIN.1)) })
        }
        Err(ClientError::Refused(problem)) if problem.code.status() < 500 && problem.code != Code::Overloaded => {
            let (next, look_again) = plan::refused(run, &problem, &status::now());
            write(context, run, &next).await?;
            Ok(look_again.map_or_else(Action::await_change, Action::requeue))
        }
        Err(error) => {
            write(context, run, &plan::away(run, &error, &status::now())).await?;
            Err(error.into())
        }
    }
}

async fn write(context: &Context, run: &WorkflowRun, next: &WorkflowRunStatus) -> Result<(), Error> {
    status::write(context, run, run.status.as_ref(), next).await
}
