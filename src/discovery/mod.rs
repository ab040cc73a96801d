//! Finding the queue service of a cluster, and a way to it: by the kubeconfig, or by the service account of a pod.
//!
//! Owns which Service is meant and which of its pods (`choose.rs`, which touches no network), and the way through the API server: a
//! listener of 127.0.0.1 each of whose connections is forwarded to a port of a pod. Invariants: a question to the API server has its
//! bound; nothing of the cluster is changed. Deliberately absent: what is said in HTTP over that way, and who wants it.

mod choose;
mod cluster;
mod error;
mod forward;

pub use choose::LABELS;
pub use error::{Error, Right};
pub use forward::Forward;

use kube::Api;
use kube::api::ListParams;

use crate::api::Name;
use choose::Place;
use cluster::Cluster;
use k8s_openapi::api::core::v1::Service;

/// The namespace of an installation, where nobody says another one.
pub const INSTALLATION_DEFAULT: &str = "everloop";

/// What is looked for.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The context of the kubeconfig; none: the current one.
    pub context: Option<String>,
    /// The namespace of the installation, and no other one; none: [`INSTALLATION_DEFAULT`], or else wherever there is one.
    pub installation: Option<Name>,
}

/// Finds the queue service and opens the way to it. A program for credentials that the kubeconfig names may ask a person, so it has no
/// bound; all else has.
///
/// # Errors
/// See [`Error`].
pub async fn find(wanted: Wanted) -> Result<Forward, Error> {
    let cluster = Cluster::of(wanted.context).await?;
    let place = look(&cluster, wanted.installation).await?;
    Forward::open(cluster, place).await
}

/// The usual namespace is asked first, since rights in one namespace are enough for that.
async fn look(cluster: &Cluster, installation: Option<Name>) -> Result<Place, Error> {
    let usual = installation.as_ref().map_or(INSTALLATION_DEFAULT, Name::as_str);
    let there = services(cluster, Some(usual)).await;
    let only = installation.is_some();
    let found = match there {
        Ok(services) if only || choose::service(&services) != Ok(None) => choose::service(&services),
        // One that is away is not asked twice: each answer has its bound.
        Err(error) if only || !matches!(error, Error::Refused { .. }) => return Err(error),
        // Whoever may look everywhere is told what is there; whoever may not, what is missing for the usual place.
        there => match (services(cluster, None).await, there) {
            (Ok(services), _) => choose::service(&services),
            (Err(Error::Refused { .. }), Err(refused)) => return Err(refused),
            (Err(Error::Refused { .. }), Ok(_)) => return Err(cluster.not_installed(Some(usual))),
            (Err(error), _) => return Err(error),
        },
    };
    match found {
        Ok(Some(place)) => Ok(place),
        Ok(None) => Err(cluster.not_installed(only.then_some(usual))),
        Err(namespaces) => Err(Error::Several { cluster: cluster.name.clone(), namespaces }),
    }
}

async fn services(cluster: &Cluster, namespace: Option<&str>) -> Result<Vec<Service>, Error> {
    let all = namespace.map_or_else(|| Api::all(cluster.client.clone()), |name| Api::namespaced(cluster.client.clone(), name));
    let right = Right::list("services", namespace);
    Ok(cluster.ask(right, all.list(&ListParams::default().labels(LABELS))).await?.items)
}
