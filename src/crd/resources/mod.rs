//! The custom resources as the API server knows them: types, schemas with their rules, columns.
//!
//! What an object says is read leniently, so that one wrong object never stops a watch; what it means is judged where it is used.
//! Within `v1alpha1` schemas only widen: old objects stay writable.

mod reason;
mod schema;
pub mod status;
#[cfg(test)]
mod tests;
mod worker_pool;
mod workflow;
mod workflow_run;

pub use reason::Reason;
pub use status::{Condition, Conditions, HasConditions, Standing};
pub use worker_pool::{
    AllowedNamespaces, DECISIONS_MAX, From, Mode, Scaling, ScalingDecision, Slots, WorkerPool, WorkerPoolSpec, WorkerPoolStatus,
};
pub use workflow::{KeyRef, OPEN_VERSIONS_MAX, OpenVersion, Source, Workflow, WorkflowSpec, WorkflowStatus};
pub use workflow_run::{INPUT_BYTES_MAX, WorkflowRun, WorkflowRunSpec, WorkflowRunStatus};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;

/// The definitions of all resources, by name.
#[must_use]
pub fn definitions() -> Vec<CustomResourceDefinition> {
    vec![WorkerPool::crd(), WorkflowRun::crd(), Workflow::crd()].into_iter().map(schema::finished).collect()
}
