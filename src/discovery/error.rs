//! Why there is no way to a queue service.

use std::fmt;

/// See the module. `cluster` says which one, in words: `the cluster of context "test"`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no cluster to look in, and why.
    #[error("{0}")]
    NoCluster(String),
    /// There is a kubeconfig, and it cannot be used.
    #[error("the kubeconfig cannot be used: {0}")]
    Kubeconfig(String),
    /// The API server does not answer, or not within its bound.
    #[error("{cluster} does not answer: {detail}")]
    Unreachable {
        /// Which.
        cluster: String,
        /// What was seen.
        detail: String,
    },
    /// It does not know who asks.
    #[error("{cluster} does not accept the credentials of the kubeconfig: {detail}")]
    Unknown {
        /// Which.
        cluster: String,
        /// What it said.
        detail: String,
    },
    /// Who asks may not.
    #[error("{cluster} refuses to {right}: {detail}")]
    Refused {
        /// Which.
        cluster: String,
        /// What is missing.
        right: Right,
        /// What it said.
        detail: String,
    },
    /// No Service has our labels.
    #[error("{cluster} has no Everloop: no Service with the labels {labels} in {place}", labels = super::LABELS)]
    NotInstalled {
        /// Which.
        cluster: String,
        /// Where it was looked for: `any namespace`, or which.
        place: String,
    },
    /// Services of several namespaces have our labels.
    #[error("{cluster} has more than one Everloop, in the namespaces {}", namespaces.join(", "))]
    Several {
        /// Which.
        cluster: String,
        /// Where they are.
        namespaces: Vec<String>,
    },
    /// No pod of the Service can be reached.
    #[error("the queue service {service} of {cluster} cannot be reached: {detail}")]
    NotReady {
        /// Which.
        cluster: String,
        /// `namespace/name`.
        service: String,
        /// Its namespace.
        namespace: String,
        /// What was seen of its pods.
        detail: String,
    },
}

/// Something that one must be allowed to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    /// As rules of RBAC have them.
    pub verbs: &'static [&'static str],
    /// Likewise, with the subresource.
    pub resource: &'static str,
    /// Where; none: in all namespaces.
    pub namespace: Option<String>,
}

impl Right {
    pub(super) fn list(resource: &'static str, namespace: Option<&str>) -> Self {
        Self { verbs: &["list"], resource, namespace: namespace.map(str::to_owned) }
    }

    /// Over a WebSocket that is `get`; from Kubernetes 1.35 on also `create`.
    pub(super) fn forward(namespace: &str) -> Self {
        Self { verbs: &["get", "create"], resource: "pods/portforward", namespace: Some(namespace.to_owned()) }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} in ", self.verbs.join(" and "), self.resource)?;
        match &self.namespace {
            Some(namespace) => write!(f, "namespace {namespace}"),
            None => f.write_str("all namespaces"),
        }
    }
}
