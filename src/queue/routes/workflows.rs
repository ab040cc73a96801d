//! Definitions: `PUT` makes a version current, `GET` tells.

use axum::Json;
use axum::extract::State;

use crate::api::definition::Workflow;
use crate::api::http::{Applied, WorkflowView, Workflows};
use crate::api::{Code, Definition, Name, Problem};
use crate::queue::apply;
use crate::queue::border::body::Body;
use crate::queue::border::extract::{IdempotencyKey, Namespace, VersionPath, WorkflowPath};
use crate::queue::border::problem::{Answer, Refused, workflow_not_found};
use crate::queue::definitions;
use crate::queue::service::Shared;
use crate::store::op::{Define, WorkflowRecord};

/// `PUT /v1/namespaces/{ns}/workflows/{name}`. Applying the same again changes nothing.
pub async fn put(
    State(service): State<Shared>,
    path: WorkflowPath,
    key: IdempotencyKey,
    Body(workflow): Body<Workflow>,
) -> Answer<Json<Applied>> {
    let workflow = checked(path.name.clone(), workflow).await?;
    let define = Define {
        namespace: path.namespace.clone(),
        name: path.name,
        version: workflow.definition.version(),
        definition: workflow.definition.canonical(),
        pool: workflow.pool,
        retention: workflow.retention.unwrap_or(service.config.retention),
        key: key.of("apply"),
        now: service.clock.for_store(),
    };
    let defined = service.store.define(define).await?;
    let record = defined.record;
    service.definitions.set_current(&path.namespace, record.clone());
    if !defined.unchanged {
        tracing::info!(namespace = %path.namespace, workflow = %record.name, version = record.version.short(), "applied");
    }
    Ok(Json(Applied { name: record.name, version: record.version, pool: record.pool, unchanged: defined.unchanged }))
}

async fn checked(name: Name, workflow: Workflow) -> Result<Workflow, Refused> {
    let check = move || apply::check(&name, &workflow).map(|()| workflow);
    let failed = |error: tokio::task::JoinError| {
        tracing::error!(%error, "the check of a definition failed");
        Problem::new(Code::Internal, "the service failed on this definition; its log says more")
    };
    tokio::task::spawn_blocking(check).await.map_err(failed)?
}

/// `GET /v1/namespaces/{ns}/workflows/{name}`.
pub async fn get(State(service): State<Shared>, path: WorkflowPath) -> Answer<Json<WorkflowView>> {
    let found = service.definitions.refresh(&*service.store, &path.namespace, &path.name).await?;
    let record = found.ok_or_else(|| workflow_not_found(&path.namespace, &path.name))?;
    let definition = definitions::definition(&*service.store, &record.version).await?;
    Ok(Json(WorkflowView { definition, ..view(record) }))
}

/// `GET /v1/namespaces/{ns}/workflows`.
pub async fn list(State(service): State<Shared>, Namespace { name }: Namespace) -> Answer<Json<Workflows>> {
    let workflows = service.store.workflows(&name).await?;
    Ok(Json(Workflows { workflows: workflows.into_iter().map(view).collect() }))
}

/// `GET /v1/versions/{version}`. Never changes.
pub async fn version(State(service): State<Shared>, VersionPath { version }: VersionPath) -> Answer<Json<Definition>> {
    let found = definitions::definition(&*service.store, &version).await?;
    let missing = || {
        Problem::new(Code::VersionNotFound, format!("there is no version {}", version.as_str()))
            .next("`everloop workflows` shows the current versions")
    };
    Ok(Json(found.ok_or_else(missing)?))
}

fn view(record: WorkflowRecord) -> WorkflowView {
    WorkflowView {
        name: record.name,
        version: record.version,
        pool: record.pool,
        retention: crate::api::DurationMs(record.retention_ms),
        defined_at: record.defined_at,
        definition: None,
    }
}
