//! The operator: it brings what is said in the cluster's resources to the queue service, and tells in them what has become of it.
//!
//! One folder per resource. In each, `mod.rs` observes, applies and writes the status; `plan.rs` validates and decides, and touches no
//! network. Invariants: no status is written that says what it said before; a write that rests on what was observed carries
//! its resourceVersion. Deliberately absent: the store, and any decision about a run (the queue service makes those).

mod context;
mod pool;
mod run;
mod status;
mod workflow;

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use kube::runtime::Controller;
use kube::runtime::controller::Action;
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::api::Name;
use crate::client::{ClientConfig, ClientError, Patience};
use crate::crd::resources::{WorkerPool, Workflow, WorkflowRun};
use context::Context;

/// Objects of one kind that are worked on at once.
const CONCURRENCY: u16 = 16;
/// Between two looks for the definitions of the resources.
const LOOK_FOR_DEFINITIONS: Duration = Duration::from_secs(1);

/// How an operator runs.
#[derive(Debug, Clone)]
pub struct Config {
    /// The queue service, as the operator and the worker pods reach it.
    pub server: String,
    /// The namespace of the installation: pools in it serve all namespaces.
    pub namespace: Name,
    /// The only namespace whose resources are looked at; absent: all.
    pub watch: Option<Name>,
    /// The image of pools that name none.
    pub image: String,
}

/// Why an operator cannot run. What happens later is waited for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No kubeconfig and no service account, or one that cannot be read.
    #[error("failed to find the cluster: {0}")]
    Cluster(String),
    /// The address of the queue service cannot be used.
    #[error(transparent)]
    Server(#[from] ClientError),
}

/// Runs the controllers until `shutdown`, in the cluster of the kubeconfig or of the pod's service account.
///
/// # Errors
/// Only at the start; see [`Error`].
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    let cluster = Client::try_default().await.map_err(|e| Error::Cluster(e.to_string()))?;
    // Short: a service that is away is a condition of the object and not a reason to hold a place among those worked on.
    let patience = Patience { unreachable: Duration::ZERO, unanswered: Duration::from_secs(3) };
    let queue = crate::client::Client::new(ClientConfig {
        server: config.server.clone(),
        namespace: config.namespace.clone(),
        token: None,
        patience,
    })?;
    let context = Arc::new(Context::new(cluster, queue, config));
    tokio::select! {
        () = definitions(&context) => {}
        () = shutdown.cancelled() => return Ok(()),
    }
    tracing::info!(server = context.config.server, namespace = %context.config.namespace, "operator started");
    tokio::join!(
        workflow::control(context.clone(), shutdown.clone()),
        run::control(context.clone(), shutdown.clone()),
        pool::control(context.clone(), shutdown.clone()),
    );
    tracing::info!("operator stopped");
    Ok(())
}

/// Runs a controller until `shutdown`.
async fn drive<K, F>(
    controller: Controller<K>,
    reconcile: fn(Arc<K>, Arc<Context>) -> F,
    context: Arc<Context>,
    shutdown: CancellationToken,
) where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
    F: Future<Output = Result<Action, context::Error>> + Send + 'static,
{
    controller
        .with_config(kube::runtime::controller::Config::default().concurrency(CONCURRENCY))
        .graceful_shutdown_on(shutdown.cancelled_owned())
        .run(reconcile, |object, error, context| context.failed(&*object, error), context)
        .for_each(|_| std::future::ready(()))
        .await;
}

/// Waits until the API server knows the resources: they may be applied after the operator.
async fn definitions(context: &Context) {
    let mut told = false;
    loop {
        let one = kube::api::ListParams::default().limit(1);
        let (workflows, runs, pools) = (context.all::<Workflow>(), context.all::<WorkflowRun>(), context.all::<WorkerPool>());
        let known = tokio::try_join!(workflows.list_metadata(&one), runs.list_metadata(&one), pools.list_metadata(&one));
        match known {
            Ok(_) => return,
            Err(error) if !told => {
                told = true;
                tracing::warn!(%error, "the resources of everloop.dev cannot be listed yet: apply `crds/`; trying again");
            }
            Err(_) => {}
        }
        tokio::time::sleep(LOOK_FOR_DEFINITIONS).await;
    }
}
