//! What an installation does once: Jobs of the chart, which end.

mod password;
mod release_runs;

pub use password::make as make_password;
pub use release_runs::release as release_runs;

/// Why a step of an installation did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No kubeconfig and no service account, or one that cannot be read.
    #[error("failed to find the cluster: {0}")]
    Cluster(String),
    /// The API server does not answer, or refuses.
    #[error("failed to {operation}: {source}")]
    Api {
        /// What was asked for.
        operation: String,
        /// Its answer.
        source: kube::Error,
    },
    /// A Secret that somebody else has made for something else.
    #[error("the Secret {secret} has no key {key:?}: add it (`kubectl edit secret {secret}`), or remove the Secret to have one made")]
    NoKey {
        /// Its name.
        secret: String,
        /// What it should have.
        key: String,
    },
    /// Somebody writes faster than we do.
    #[error("{0} WorkflowRuns still hold their finalizer: run this again")]
    Left(usize),
    /// The operator works against us.
    #[error("pods of the operator are still there after {0} s: see `kubectl get pods -l app.kubernetes.io/component=operator`")]
    OperatorStays(u64),
}

fn failed(operation: impl Into<String>) -> impl FnOnce(kube::Error) -> Error {
    let operation = operation.into();
    |source| Error::Api { operation, source }
}

async fn cluster() -> Result<kube::Client, Error> {
    kube::Client::try_default().await.map_err(|e| Error::Cluster(e.to_string()))
}
