//! The operator: it brings what is said in the cluster's resources to the queue service, and tells in them what has become of it.
//!
//! One folder per resource. In each, `mod.rs` observes, applies and writes the status; `plan.rs` validates and decides, and touches no
//! network. Invariants: no status is written that says what it said before; a write that rests on what was observed carries
//! its resourceVersion. Deliberately absent: the store, and any decision about a run (the queue service makes those).

mod context;
mod default_pool;
mod drive;
mod leader;
mod metrics;
mod orphans;
mod pool;
mod published;
mod run;
pub mod setup;
mod status;
mod store;
mod watched;
mod workflow;

pub use leader::Times;
pub use metrics::Metrics;
pub use published::{Published, Unpublished, WantedPods};
pub use workflow::check_source;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::api::Name;
use crate::client::{ClientConfig, ClientError, Patience};
use crate::crd::resources::{WorkerPool, WorkerPoolSpec, Workflow, WorkflowRun};
use context::Context;
use leader::Candidate;

/// Between two looks for the definitions of the resources.
const LOOK_FOR_DEFINITIONS: Duration = Duration::from_secs(1);

/// How an operator runs.
#[derive(Debug, Clone)]
pub struct Config {
    /// Its name among the operators of the installation: another one for each process.
    pub name: String,
    /// The queue service, as the operator and the worker pods reach it.
    pub server: String,
    /// The namespace of the installation: pools in it may serve other namespaces, too.
    pub namespace: Name,
    /// The namespaces whose resources are looked at, beside the installation's; none: all.
    pub watch: Vec<Name>,
    /// The image of pools that name none.
    pub image: String,
    /// The pool `default` that is made in the installation's namespace, once.
    pub default_pool: Option<WorkerPoolSpec>,
    /// When another operator takes over.
    pub times: Times,
}

impl Config {
    /// Whether the pools of a namespace are looked at.
    fn looks_at(&self, namespace: &str) -> bool {
        self.watch.is_empty() || namespace == self.namespace.as_str() || self.watch.iter().any(|watched| namespace == watched.as_str())
    }

    /// Each namespace to be looked at, or all of them.
    fn places(&self) -> Vec<Option<Name>> {
        if self.watch.is_empty() {
            return vec![None];
        }
        let all: BTreeSet<Name> = self.watch.iter().chain([&self.namespace]).cloned().collect();
        all.into_iter().map(Some).collect()
    }
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

/// Runs the controllers until `shutdown`, whenever this operator leads, in the cluster of the kubeconfig or of the pod's service account.
///
/// # Errors
/// Only at the start; see [`Error`].
pub async fn run(config: Config, metrics: Arc<Metrics>, published: Arc<Published>, shutdown: CancellationToken) -> Result<(), Error> {
    let cluster = kube::Config::infer().await.map_err(|e| Error::Cluster(e.to_string()))?;
    // Short: a service that is away is a condition of the object and not a reason to hold a place among those worked on.
    let patience = Patience { unreachable: Duration::ZERO, unanswered: Duration::from_secs(3) };
    let queue = crate::client::Client::new(ClientConfig {
        server: config.server.clone(),
        namespace: config.namespace.clone(),
        token: None,
        patience,
    })?;
    let asked = kube::Client::try_from(cluster.clone()).map_err(|e| Error::Cluster(e.to_string()))?;
    published.begin(asked, config.clone());
    let candidate = Candidate::new(cluster, &config.namespace, config.name.clone(), config.times, metrics.clone(), published)
        .map_err(|e| Error::Cluster(e.to_string()))?;
    tracing::info!(server = config.server, namespace = %config.namespace, name = config.name, "operator started");
    let (config, metrics, shutdown) = (&config, &metrics, &shutdown);
    let work = |cluster: kube::Client| {
        let controllers = {
            let cluster = cluster.clone();
            move |queue: crate::client::Client| {
                let context = |place| Arc::new(Context::new(cluster.clone(), queue.clone(), config.clone(), place, metrics.clone()));
                control(config.places().into_iter().map(context).collect(), shutdown.clone())
            }
        };
        store::guarded(cluster, queue.clone(), config, metrics, shutdown.clone(), controllers)
    };
    candidate.lead(shutdown.clone(), work).await.map_err(|e| Error::Cluster(e.to_string()))?;
    tracing::info!("operator stopped");
    Ok(())
}

/// All controllers of all places, until `shutdown`.
async fn control(places: Vec<Arc<Context>>, shutdown: CancellationToken) {
    let Some(first) = places.first() else { return };
    tokio::select! {
        () = definitions(first) => {}
        () = shutdown.cancelled() => return,
    }
    let controllers = places.iter().map(|context| async {
        tokio::join!(
            workflow::control(context.clone(), shutdown.clone()),
            run::control(context.clone(), shutdown.clone()),
            pool::control(context.clone(), shutdown.clone()),
        )
    });
    tokio::join!(default_pool::make(first, &shutdown), join_all(controllers));
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
