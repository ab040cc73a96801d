//! Open runs whose object is gone are asked to end.

use kube::runtime::reflector::Store;

use super::{cancel_key, over, plan};
use crate::crd::resources::WorkflowRun;
use crate::operator::context::{Context, Error};
use crate::operator::orphans::{exists, owner};

/// Cancels what no object owns any more. A run that an object only attached to has no owner.
pub(super) async fn look(context: &Context, objects: &Store<WorkflowRun>) -> Result<(), Error> {
    for run in context.queue(&context.config.namespace).followed_runs().await? {
        let Some(uid) = owner(&run.origin) else { continue };
        let Some(name) = plan::object_of(&run.id, uid) else { continue };
        if !context.is_looked_at(&run.namespace) || exists(context, objects, &run.namespace, name, uid).await? {
            continue;
        }
        over(context.queue(&run.namespace).cancel_as(&run.id, "its WorkflowRun is gone", &cancel_key(uid)).await)?;
        context.metrics.orphaned("WorkflowRun");
        tracing::info!(namespace = %run.namespace, run = %run.id, "asked to end: its WorkflowRun is gone");
    }
    Ok(())
}
