//! Before an installation goes: the operator ends, and WorkflowRuns lose our finalizer, or their namespaces could never be deleted.
//! No run is cancelled: all stay in the store.

use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::core::PartialObjectMeta;
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;

use super::{Error, cluster, failed};
use crate::api::Name;
use crate::crd::resources::WorkflowRun;
use crate::operator::leader::LEASE;
use crate::operator::run::FINALIZER;

const OPERATOR: &str = "everloop-operator";
const OPERATOR_PODS: &str = "app.kubernetes.io/name=everloop,app.kubernetes.io/component=operator";
/// A pod's grace, and some.
const WAIT_FOR_PODS: Duration = Duration::from_mins(2);
const LOOK_AGAIN: Duration = Duration::from_millis(500);
const PAGE: u32 = 500;
/// An object that is written by others meanwhile is tried so often.
const ROUNDS: usize = 5;

/// Ends the operator, and releases the runs of these namespaces, of all where there are none; how many.
///
/// # Errors
/// The API server is away or refuses, the operator's pods do not end, or an object is written by others all the time.
pub async fn release(installation: &Name, namespaces: &[Name]) -> Result<usize, Error> {
    let cluster = cluster().await?;
    end_operator(&cluster, installation).await?;
    let mut places: Vec<Option<&Name>> = namespaces.iter().chain([installation]).map(Some).collect();
    places.sort_unstable();
    places.dedup();
    if namespaces.is_empty() {
        places = vec![None];
    }
    let mut released = 0;
    for place in places {
        let runs = match place {
            Some(namespace) => Api::<WorkflowRun>::namespaced(cluster.clone(), namespace.as_str()),
            None => Api::all(cluster.clone()),
        };
        for _ in 0..ROUNDS {
            let held = held(&runs).await?;
            if held.is_empty() {
                break;
            }
            for run in &held {
                released += usize::from(release_one(&cluster, run).await?);
            }
        }
        let left = held(&runs).await?.len();
        if left > 0 {
            return Err(Error::Left(left));
        }
    }
    // With it goes the mark that the default pool was made: another installation makes its own.
    let leases = Api::<Lease>::namespaced(cluster, installation.as_str());
    gone(leases.delete(LEASE, &DeleteParams::default()).await).map_err(failed(format!("delete the Lease {LEASE}")))?;
    Ok(released)
}

async fn end_operator(cluster: &Client, installation: &Name) -> Result<(), Error> {
    let deployments = Api::<Deployment>::namespaced(cluster.clone(), installation.as_str());
    let deleted = deployments.delete(OPERATOR, &DeleteParams::background()).await;
    gone(deleted).map_err(failed(format!("delete the Deployment {OPERATOR}")))?;
    let (pods, began) = (Api::<Pod>::namespaced(cluster.clone(), installation.as_str()), Instant::now());
    loop {
        let all = pods.list_metadata(&ListParams::default().labels(OPERATOR_PODS)).await.map_err(failed("list the operator's pods"))?;
        if all.items.is_empty() {
            return Ok(());
        }
        if began.elapsed() > WAIT_FOR_PODS {
            return Err(Error::OperatorStays(WAIT_FOR_PODS.as_secs()));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Whether it was there or not: now it is gone.
fn gone<T>(deleted: kube::Result<T>) -> kube::Result<()> {
    match deleted {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(error),
    }
}

/// The objects that have our finalizer.
async fn held(runs: &Api<WorkflowRun>) -> Result<Vec<PartialObjectMeta<WorkflowRun>>, Error> {
    let (mut held, mut page) = (Vec::new(), ListParams::default().limit(PAGE));
    loop {
        let list = match runs.list_metadata(&page).await {
            Ok(list) => list,
            // The definition of the resource is gone, and with it every object.
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(Vec::new()),
            Err(error) => return Err(failed("list WorkflowRuns")(error)),
        };
        held.extend(list.items.into_iter().filter(|run| run.finalizers().iter().any(|name| name == FINALIZER)));
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(held),
        }
    }
}

/// Whether it was released; not when it has changed in between.
async fn release_one(cluster: &Client, run: &PartialObjectMeta<WorkflowRun>) -> Result<bool, Error> {
    let others: Vec<&String> = run.finalizers().iter().filter(|name| *name != FINALIZER).collect();
    let patch = json!({"metadata": {"resourceVersion": run.resource_version(), "finalizers": others}});
    let runs = Api::<WorkflowRun>::namespaced(cluster.clone(), &run.namespace().unwrap_or_default());
    match runs.patch_metadata(&run.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => Ok(false),
        Err(error) => Err(failed(format!("release WorkflowRun {}", run.name_any()))(error)),
    }
}
