//! The pool `default` of an installation: made once, and not again when somebody has deleted it.
//!
//! It is not in the chart, since a resource cannot be created together with its definition. That it was made stands on the
//! operators' Lease.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::leader::LEASE;
use crate::crd::resources::{WorkerPool, WorkerPoolSpec};

const NAME: &str = "default";
/// On the Lease.
const MADE: &str = "everloop.dev/default-pool-made";
const TRY_AGAIN: Duration = Duration::from_secs(2);

/// Makes it, where the configuration has one, trying until it is made or `shutdown`.
pub(super) async fn make(context: &Context, shutdown: &CancellationToken) {
    let Some(spec) = &context.config.default_pool else { return };
    while let Err(error) = try_make(context, spec).await {
        tracing::warn!(%error, "the pool {NAME:?} is not made yet; trying again");
        tokio::select! {
            () = tokio::time::sleep(TRY_AGAIN) => {}
            () = shutdown.cancelled() => return,
        }
    }
}

async fn try_make(context: &Context, spec: &WorkerPoolSpec) -> kube::Result<()> {
    let namespace = context.config.namespace.as_str();
    let leases = context.within::<Lease>(namespace);
    if leases.get(LEASE).await?.annotations().contains_key(MADE) {
        return Ok(());
    }
    let pools = context.within::<WorkerPool>(namespace);
    match pools.create(&PostParams::default(), &WorkerPool::new(NAME, spec.clone())).await {
        Ok(_) => tracing::info!(namespace, "the pool {NAME:?} is made"),
        Err(kube::Error::Api(status)) if status.code == 409 => {}
        Err(error) => return Err(error),
    }
    let mark = json!({"metadata": {"annotations": {MADE: jiff::Timestamp::now().to_string()}}});
    leases.patch(LEASE, &PatchParams::default(), &Patch::Merge(mark)).await?;
    Ok(())
}
