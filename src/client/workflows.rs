//! Definitions, workers, and the service itself.

use reqwest::Method;

use super::path::encode;
use super::send::Call;
use super::{Client, ClientError, new_key};
use crate::api::definition::Workflow;
use crate::api::http::{Applied, Ready, Workers, WorkflowView, Workflows};
use crate::api::{Json, Name, Origin};

impl Client {
    /// Makes a definition the current one of its workflow. Safe to repeat.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn apply(&self, workflow: &Workflow) -> Result<Applied, ClientError> {
        self.apply_as(workflow, None).await
    }

    /// Likewise, in the name of who holds the workflow from then on; absent: people.
    ///
    /// # Errors
    /// See [`ClientError`]; `WorkflowHeld`.
    pub async fn apply_as(&self, workflow: &Workflow, holder: Option<&Origin>) -> Result<Applied, ClientError> {
        let path = self.held(&workflow.name, holder);
        let body = Json::of(workflow).get().to_owned();
        self.call(Call::mutate(Method::PUT, path, new_key(), "application/json", body)).await
    }

    /// Retires a workflow, in the name of who holds it: it takes no new runs, and its open ones go on. Safe to repeat.
    ///
    /// # Errors
    /// See [`ClientError`]; `WorkflowNotFound`, `WorkflowHeld`.
    pub async fn retire(&self, name: &Name, holder: Option<&Origin>) -> Result<WorkflowView, ClientError> {
        self.call(Call::mutate(Method::DELETE, self.held(name, holder), new_key(), "application/json", String::new())).await
    }

    fn held(&self, name: &Name, holder: Option<&Origin>) -> String {
        let path = self.path(&["workflows", name.as_str()]);
        holder.map_or_else(|| path.clone(), |holder| format!("{path}?holder={}", encode(holder.as_str())))
    }

    /// All workflows of the namespace, by name.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn workflows(&self) -> Result<Workflows, ClientError> {
        self.call(Call::get(self.path(&["workflows"]))).await
    }

    /// One workflow with its definition.
    ///
    /// # Errors
    /// See [`ClientError`]; `WorkflowNotFound`.
    pub async fn workflow(&self, name: &Name) -> Result<WorkflowView, ClientError> {
        self.call(Call::get(self.path(&["workflows", name.as_str()]))).await
    }

    /// The workers of all pools.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn workers(&self) -> Result<Workers, ClientError> {
        self.call(Call::get("/v1/workers".into())).await
    }

    /// The workers of one pool.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn workers_of(&self, pool: &Name) -> Result<Workers, ClientError> {
        self.call(Call::get(format!("/v1/workers?pool={pool}"))).await
    }

    /// What the service is and whether it takes requests.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn ready(&self) -> Result<Ready, ClientError> {
        self.call(Call::get("/readyz".into())).await
    }
}
