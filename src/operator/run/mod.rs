//! `WorkflowRun`: an object starts one run, and a summary of the run comes back.
//!
//! The order of writes makes a start that no crash repeats: the finalizer, then the run's id in the status, then the start under that
//! id, then `acceptedAt`. Once that stands there the run is never asked for again.
//!
//! What becomes of the run comes from the queue service's feed of changes ([`following`]), not by asking for each.

mod following;
mod orphans;
mod plan;
#[cfg(test)]
mod tests;

pub(super) use plan::FINALIZER;

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt as _;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::runtime::controller::Action;
use kube::runtime::events::EventType;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::context::{Context, Error, is_over, refusal};
use super::drive::{drive, triggers};
use super::orphans::watch;
use super::status;
use super::watched::watched;
use crate::api::{Code, Name, RunId, RunView};
use crate::client::{Client, ClientError};
use crate::crd::resources::{WorkflowRun, WorkflowRunStatus};
pub(super) use following::Following;
use following::{LOOK_AGAIN, News};
use plan::Step;

/// Runs the controller until `shutdown`.
pub(super) async fn control(context: Arc<Context>, shutdown: CancellationToken) {
    let (triggers, triggered) = triggers();
    let (controller, objects) = watched(&context, plan::slim, |context| &context.run_gone);
    let controller = controller.reconcile_on(triggered);
    let beside = context.clone();
    let orphans = watch("runs whose object is gone", &beside.run_gone, async || orphans::look(&beside, &objects).await);
    tokio::select! {
        () = drive("WorkflowRun", controller, reconcile, context, shutdown) => {}
        () = following::read(&beside, objects.clone(), triggers) => {}
        () = orphans => {}
    }
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
            let (of, start) = (Followed::new(&context, &run, &planned.namespace, &planned.id), &planned.start);
            let round = context.following.begin(of.namespace, of.id, &of.name);
            let asked = context.queue(of.namespace).start(start, of.id.as_str()).await;
            // It may have ended before, and how is not in this answer: then it is looked at.
            let round = asked.as_ref().is_ok_and(|view| !view.status.is_closed()).then_some(round);
            of.told(asked, |view| plan::accepted(&run, view, &status::now()), round).await?
        }
        Step::Look { namespace, id, cancel, suspend } => {
            let (of, queue) = (Followed::new(&context, &run, &namespace, &id), context.queue(&namespace));
            if let Err(error) = pass_on(&queue, &run, &id, cancel, suspend).await {
                // It is to be looked at when the service is back: what is said now is not to stay.
                context.following.doubt(&namespace, &id, &of.name);
                return not_passed_on(&context, &run, error).await;
            }
            let mirrored = |view: &RunView| plan::mirrored(&run, view, &status::now());
            match context.following.news(&namespace, &id, &of.name) {
                News::Told(view) => of.told(Ok((*view).clone()), mirrored, None).await?,
                News::Look(round) => {
                    context.metrics.looks.inc();
                    of.told(queue.run(&id).await, mirrored, Some(round)).await?
                }
                News::None(look_after) => {
                    write(&context, &run, &plan::observed(&run, &status::now())).await?;
                    Action::requeue(look_after)
                }
            }
        }
        Step::Expire(Duration::ZERO) => {
            expire(&context, &run).await?;
            Action::await_change()
        }
        Step::Expire(after) => Action::requeue(after),
        Step::Cancel { namespace, id } => {
            if let Err(error) = cancel_once(&context.queue(&namespace), &run, &id, "the WorkflowRun was deleted").await {
                let Some(note) = plan::given_up(&run, &id, &error, &status::now()) else {
                    return not_passed_on(&context, &run, error).await;
                };
                tracing::warn!(run = %id, %error, "a WorkflowRun goes although its run could not be cancelled");
                context.event(&*run, EventType::Warning, plan::NOT_CANCELLED, &note).await;
            }
            set_finalizers(&context, &run, plan::others(&run)).await?;
            context.following.end(&namespace, &id, &run.name_any());
            Action::await_change()
        }
    };
    Ok(action)
}

/// Passes on what the object asks of its open run.
async fn pass_on(queue: &Client, run: &WorkflowRun, id: &RunId, cancel: bool, suspend: Option<bool>) -> Result<(), ClientError> {
    if cancel {
        cancel_once(queue, run, id, "the WorkflowRun asks for it").await?;
    }
    match suspend {
        Some(suspend) => hold(queue, run, id, suspend).await,
        None => Ok(()),
    }
}

/// Says why what the object asks for is not passed on yet. It is tried again.
async fn not_passed_on(context: &Context, run: &WorkflowRun, error: ClientError) -> Result<Action, Error> {
    if !is_over(&error) {
        write(context, run, &plan::not_passed_on(run, &error, &status::now())).await?;
    }
    Err(error.into())
}

/// Asks a run to end, once for each object, however often an operator dies in between. A run that is over needs no asking.
async fn cancel_once(queue: &Client, run: &WorkflowRun, id: &RunId, reason: &str) -> Result<(), ClientError> {
    over(queue.cancel_as(id, reason, &cancel_key(&run.uid().unwrap_or_default())).await)
}

fn cancel_key(uid: &str) -> String {
    format!("{uid}-cancel")
}

/// A run that is over, or not there any more, has been asked.
fn over(asked: Result<(), ClientError>) -> Result<(), ClientError> {
    match asked {
        Err(error) if matches!(error.code(), Some(Code::RunClosed | Code::RunNotFound)) => Ok(()),
        asked => asked,
    }
}

/// Passes `spec.suspend` on, once for each change of the object. A run that is over cannot be held, and one that is not held by us is let go.
async fn hold(queue: &Client, run: &WorkflowRun, id: &RunId, suspend: bool) -> Result<(), ClientError> {
    let holder = plan::holder();
    let key = format!("{}-suspend-{}", run.uid().unwrap_or_default(), run.metadata.generation.unwrap_or(0));
    let done =
        if suspend { queue.hold(id, &holder, "the WorkflowRun asks for it", &key).await } else { queue.let_go(id, &holder, &key).await };
    match done {
        Err(error) if matches!(error.code(), Some(Code::RunClosed | Code::RunNotFound | Code::NotApplicable)) => Ok(()),
        done => done,
    }
}

/// Deletes this very object, as it was observed.
async fn expire(context: &Context, run: &WorkflowRun) -> Result<(), Error> {
    let api = context.beside::<WorkflowRun>(run);
    let seen = Preconditions { uid: run.uid(), resource_version: run.resource_version() };
    match api.delete(&run.name_any(), &DeleteParams::background().preconditions(seen)).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        deleted => deleted.map(|_| ()).map_err(Error::from),
    }
}

async fn set_finalizers(context: &Context, run: &WorkflowRun, finalizers: Vec<String>) -> Result<(), Error> {
    let api = context.beside::<WorkflowRun>(run);
    let patch = json!({"metadata": {"resourceVersion": run.resource_version(), "finalizers": finalizers}});
    api.patch(&run.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(())
}

/// An object and the run that it follows.
struct Followed<'a> {
    context: &'a Context,
    run: &'a WorkflowRun,
    namespace: &'a Name,
    id: &'a RunId,
    name: String,
}

impl<'a> Followed<'a> {
    fn new(context: &'a Context, run: &'a WorkflowRun, namespace: &'a Name, id: &'a RunId) -> Self {
        Self { context, run, namespace, id, name: run.name_any() }
    }

    /// Writes what the queue service said of the run. `round`: since when nothing can have been missed; `None` when that is not known,
    /// or was before.
    async fn told(
        &self,
        answer: Result<RunView, ClientError>,
        next: impl FnOnce(&RunView) -> WorkflowRunStatus,
        round: Option<u64>,
    ) -> Result<Action, Error> {
        let following = &self.context.following;
        match answer {
            Ok(view) => {
                let next = next(&view);
                let closed = next.closed_at.is_some();
                write(self.context, self.run, &next).await?;
                if closed {
                    following.end(self.namespace, self.id, &self.name);
                    return Ok(Action::await_change());
                }
                Ok(Action::requeue(round.map_or(LOOK_AGAIN, |round| following.known(self.namespace, self.id, &self.name, round, &view))))
            }
            Err(error) if is_over(&error) => Err(error.into()),
            Err(error) => {
                if let Some(problem) = refusal(&error) {
                    let (next, look_again) = plan::refused(self.run, problem, &status::now());
                    write(self.context, self.run, &next).await?;
                    if look_again.is_none() {
                        following.end(self.namespace, self.id, &self.name);
                    }
                    return Ok(look_again.map_or_else(Action::await_change, Action::requeue));
                }
                write(self.context, self.run, &plan::away(self.run, &error, &status::now())).await?;
                Err(error.into())
            }
        }
    }
}

async fn write(context: &Context, run: &WorkflowRun, next: &WorkflowRunStatus) -> Result<(), Error> {
    status::write(context, run, run.status.as_ref(), next).await
}
