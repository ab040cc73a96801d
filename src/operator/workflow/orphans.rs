//! Workflows whose object is gone are retired: no new runs, and the open ones go on.

use kube::runtime::reflector::Store;

use super::retire;
use crate::crd::resources::Workflow;
use crate::operator::context::{Context, Error};
use crate::operator::orphans::{exists, owner};

/// Retires what no object holds any more.
pub(super) async fn look(context: &Context, objects: &Store<Workflow>) -> Result<(), Error> {
    for held in context.queue(&context.config.namespace).held_workflows().await? {
        let Some(uid) = owner(&held.holder) else { continue };
        if !context.is_looked_at(&held.namespace) || exists(context, objects, &held.namespace, held.name.as_str(), uid).await? {
            continue;
        }
        retire(&context.queue(&held.namespace), &held.name, &held.holder).await?;
        context.metrics.orphaned("Workflow");
        tracing::info!(namespace = %held.namespace, workflow = %held.name, "retired: its Workflow is gone");
    }
    Ok(())
}
