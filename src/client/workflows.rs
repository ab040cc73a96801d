//! Definitions, workers, and the service itself.

use reqwest::Method;

use super::send::Call;
use super::{Client, ClientError, new_key};
use crate::api::definition::Workflow;
use crate::api::http::{Applied, Ready, Term, Workers, WorkflowView, Workflows};
use crate::api::{Json, Name};

impl Client {
    /// Makes a definition the current one of its workflow. Safe to repeat.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn apply(&self, workflow: &Workflow) -> Result<Applied, ClientError> {
        let path = self.path(&["workflows", workflow.name.as_str()]);
        let body = Json::of(workflow).get().to_owned();
        self.call(Call::mutate(Method::PUT, path, new_key(), "application/json", body)).await
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

    /// A term for an operator that has become the leader: from now on calls of lower terms are refused. Each call gives a higher one.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn next_term(&self) -> Result<u64, ClientError> {
        let call = Call::mutate(Method::POST, "/v1/operator/term".into(), new_key(), "application/json", "{}".into());
        self.call::<Term>(call).await.map(|given| given.term)
    }

    /// What the service is and whether it takes requests.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn ready(&self) -> Result<Ready, ClientError> {
        self.call(Call::get("/readyz".into())).await
    }
}
