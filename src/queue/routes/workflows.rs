//! Definitions: `PUT` makes a version current, `DELETE` retires it, `GET` tells.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use crate::api::definition::Workflow;
use crate::api::http::{Applied, WorkflowView, Workflows};
use crate::api::{Code, Definition, Name, Origin, Problem};
use crate::queue::apply;
use crate::queue::border::body::Body;
use crate::queue::border::extract::{IdempotencyKey, Namespace, Params, VersionPath, WorkflowPath};
use crate::queue::border::problem::{Answer, Refused, workflow_not_found};
use crate::queue::definitions;
use crate::queue::service::{Service, Shared};
use crate::queue::view::stored;
use crate::store::StoreError;
use crate::store::op::{Define, Defined, Retire, WorkflowRecord};

/// The query of a change of a workflow.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// Who asks; absent: people.
    holder: Option<Origin>,
}

/// `PUT /v1/namespaces/{ns}/workflows/{name}?holder=`. Applying the same again changes nothing. Of a workflow that is retired: revives it.
pub async fn put(
    State(service): State<Shared>,
    path: WorkflowPath,
    Params(query): Params<Query>,
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
        holder: query.holder,
        key: key.of("apply"),
        now: service.clock.for_store(),
    };
    let (record, unchanged) = done(&service, &path.namespace, service.store.define(define).await?)?;
    if !unchanged {
        tracing::info!(namespace = %path.namespace, workflow = %record.name, version = record.version.short(), "applied");
    }
    Ok(Json(Applied { name: record.name, version: record.version, pool: record.pool, unchanged }))
}

/// `DELETE /v1/namespaces/{ns}/workflows/{name}?holder=`: no new runs of it; those that are open go on. Retiring it again changes nothing.
pub async fn retire(
    State(service): State<Shared>,
    path: WorkflowPath,
    Params(query): Params<Query>,
    key: IdempotencyKey,
) -> Answer<Json<WorkflowView>> {
    let (namespace, name) = (path.namespace, path.name);
    let (key, now) = (key.of("retire"), service.clock.for_store());
    let retire = Retire { namespace: namespace.clone(), name: name.clone(), holder: query.holder, key, now };
    let defined = service.store.retire(retire).await?.ok_or_else(|| workflow_not_found(&namespace, &name))?;
    let (record, unchanged) = done(&service, &namespace, defined)?;
    if !unchanged {
        tracing::info!(%namespace, workflow = %record.name, "retired");
    }
    Ok(Json(view(record)?))
}

/// What is current now and whether it was before, unless somebody else holds the workflow.
fn done(service: &Service, namespace: &Name, defined: Defined) -> Result<(WorkflowRecord, bool), Refused> {
    match defined {
        Defined::Done { record, unchanged } => {
            service.definitions.set_current(namespace, record.clone());
            Ok((record, unchanged))
        }
        Defined::Held(record) => Err(workflow_held(&record).into()),
    }
}

fn workflow_held(record: &WorkflowRecord) -> Problem {
    let name = &record.name;
    let (by, next) = if record.holder.is_empty() {
        ("people, who applied it by hand".to_owned(), format!("`everloop retire {name}` gives it up; then apply it here"))
    } else {
        let holder = &record.holder;
        let gone = format!("`everloop retire {name} --holder {holder}`");
        (format!("{holder}, an object of that uid"), format!("change that object, or delete it; if it is gone for good: {gone}"))
    };
    Problem::new(Code::WorkflowHeld, format!("workflow {name} is held by {by}")).next(next)
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
    Ok(Json(WorkflowView { definition, ..view(record)? }))
}

/// `GET /v1/namespaces/{ns}/workflows`.
pub async fn list(State(service): State<Shared>, Namespace { name }: Namespace) -> Answer<Json<Workflows>> {
    let workflows = service.store.workflows(&name).await?;
    Ok(Json(Workflows { workflows: workflows.into_iter().map(view).collect::<Result<_, _>>()? }))
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

fn view(record: WorkflowRecord) -> Result<WorkflowView, StoreError> {
    let holder = (!record.holder.is_empty()).then(|| stored(&record.holder)).transpose()?;
    Ok(WorkflowView {
        name: record.name,
        version: record.version,
        pool: record.pool,
        retention: crate::api::DurationMs(record.retention_ms),
        defined_at: record.defined_at,
        holder,
        retired: record.retired,
        definition: None,
    })
}
