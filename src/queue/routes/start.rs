//! Starting a run.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::runs::wait_for_end;
use crate::api::http::StartRun;
use crate::api::ids::hex;
use crate::api::{Code, DurationMs, Event, Name, Problem, RunId, RunKey, RunView, Uid};
use crate::machine::record::RunRecord;
use crate::queue::border::body::Body;
use crate::queue::border::extract::{IdempotencyKey, Namespace, Params, wait};
use crate::queue::border::problem::{Answer, Refused, workflow_not_found};
use crate::queue::facts::RunFacts;
use crate::queue::outcome;
use crate::queue::service::{Service, Shared, new_head};
use crate::queue::view::{self, stored};
use crate::queue::waiters::{Free, Reservation};
use crate::queue::watchers::News;
use crate::store::StoreError;
use crate::store::op::{Define, Grants, Start, Started, WorkflowRecord};

/// The query of a start.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    wait: Option<DurationMs>,
}

/// How often a start follows a version that changes under it.
const TRIES: usize = 5;

/// `POST /v1/namespaces/{ns}/runs`: 201 when the run is new, 200 when an equal start was accepted before.
pub async fn start(
    State(service): State<Shared>,
    Namespace { name: namespace }: Namespace,
    Params(query): Params<Query>,
    key: IdempotencyKey,
    Body(start): Body<StartRun>,
) -> Answer<(StatusCode, Json<RunView>)> {
    start.input.check()?;
    let by_key = start.id.is_none() && key.0.is_some();
    let id = match &start.id {
        Some(id) => id.clone(),
        None => run_id(&namespace, key.0.as_deref())?,
    };
    let run = RunKey { namespace, id };
    // Before it begins: its end may come at once.
    let watch = service.watchers.watch(&run, News::End);
    let (new, record) = service.start(&run, &start, by_key).await?;
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    let (wait, view) = (wait(query.wait), RunView { input: Some(start.input), ..view::summary(&run, &record)? });
    let view = if wait > Duration::ZERO { wait_for_end(&service, &run, wait, new.then_some((watch, view))).await? } else { view };
    Ok((status, Json(view)))
}

/// The id of a start that names none: from its key, so that a repeat finds the run; else random.
fn run_id(namespace: &Name, key: Option<&str>) -> Result<RunId, Refused> {
    let id = match key {
        Some(key) => format!("run-{}", &hash(&["key", namespace.as_str(), key])[..20]),
        None => format!("run-{:020x}", rand::random::<u128>() >> 48),
    };
    Ok(id.parse()?)
}

/// SHA-256 over length-prefixed parts, in hexadecimal digits.
fn hash(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hex(&hash.finalize())
}

impl Service {
    async fn start(&self, run: &RunKey, start: &StartRun, by_key: bool) -> Result<(bool, RunRecord), Refused> {
        let event = outcome::text(&Event::Started { input: start.input.clone() });
        let mut input_hash = hash(&[start.workflow.as_str(), start.input.get()]);
        input_hash.truncate(16);
        let missing = || workflow_not_found(&run.namespace, &start.workflow);
        let mut current = self.definitions.current(&*self.store, &run.namespace, &start.workflow).await?.ok_or_else(missing)?;
        for _ in 0..TRIES {
            let reservation = self.waiters.reserve(Some(&current.pool), Free { turns: 1, activities: 0 }, self.partition(run));
            let uid: Uid = uuid::Uuid::now_v7().to_string().parse()?;
            let op = Start {
                run: run.clone(),
                uid,
                head: new_head(),
                workflow: start.workflow.clone(),
                version: current.version.clone(),
                event: event.clone(),
                input_hash: input_hash.clone(),
                origin: start.origin.clone(),
                now: self.clock.for_store(),
                offer: reservation.as_ref().map(Reservation::offer),
            };
            let started = self.store.start(op).await?;
            let (grant, answer) = match started {
                Started::New { record, grant } => {
                    self.metrics.starts.inc();
                    if record.pool != current.pool.as_str() {
                        // Another replica has changed it: the next start offers slots of the right pool.
                        self.definitions.refresh(&*self.store, &run.namespace, &start.workflow).await?;
                    }
                    self.facts.put(run, RunFacts { pool: stored(&record.pool)?, version: current.version.clone() });
                    (grant, Some(Ok((true, record))))
                }
                Started::Existing(record) => (None, Some(Ok((false, record)))),
                Started::Taken(record) => (None, Some(Err(taken(run, &record, by_key)))),
                Started::Retired(record) => {
                    let problem = workflow_retired(&record);
                    self.definitions.set_current(&run.namespace, record);
                    (None, Some(Err(problem)))
                }
                Started::VersionChanged(record) => {
                    self.definitions.set_current(&run.namespace, record.clone());
                    current = record;
                    (None, None)
                }
                Started::WorkflowNotFound => {
                    let found = self.definitions.refresh(&*self.store, &run.namespace, &start.workflow).await?;
                    current = found.ok_or_else(missing)?;
                    if current.retired {
                        return Err(workflow_retired(&current).into());
                    }
                    self.define_again(&run.namespace, &current).await?;
                    (None, None)
                }
            };
            self.hand_over(reservation, Grants { turns: grant.into_iter().collect(), attempts: Vec::new() }).await;
            if let Some(answer) = answer {
                return answer.map_err(Refused::from);
            }
        }
        Err(Problem::new(Code::Overloaded, format!("workflow {} changes faster than a run of it starts", start.workflow))
            .next("repeat the request with the same Idempotency-Key")
            .into())
    }

    /// The workflow is known, but not in the run's partition: whoever defined it was cut off in the middle.
    async fn define_again(&self, namespace: &Name, record: &WorkflowRecord) -> Result<(), StoreError> {
        let Some(definition) = self.store.definition(&record.version).await? else { return Ok(()) };
        let define = Define {
            namespace: namespace.clone(),
            name: record.name.clone(),
            version: record.version.clone(),
            definition,
            pool: record.pool.clone(),
            retention: DurationMs(record.retention_ms),
            holder: (!record.holder.is_empty()).then(|| stored(&record.holder)).transpose()?,
            key: String::new(),
            now: self.clock.for_store(),
        };
        self.store.define(define).await.map(|_| ())
    }
}

fn workflow_retired(record: &WorkflowRecord) -> Problem {
    Problem::new(Code::WorkflowRetired, format!("workflow {} is retired: it takes no new runs", record.name))
        .next("apply it again, and it takes runs again")
}

fn taken(run: &RunKey, record: &RunRecord, by_key: bool) -> Problem {
    if by_key {
        return Problem::new(Code::IdempotencyKeyReused, "the Idempotency-Key was used for a start with another workflow or input")
            .next("use a new key for a new start");
    }
    let detail = format!("run {} exists, of workflow {} and with another input or workflow than this start", run.id, record.workflow);
    Problem::new(Code::RunIdTaken, detail).next(format!("choose another id; `everloop get {}` shows the run", run.id))
}
