//! What a person does to a run: terminate, pause, resume. Each is safe to repeat.

use axum::Json as Answered;
use axum::extract::State;

use crate::api::http::{Reason, Resume};
use crate::api::run::Blocked;
use crate::api::{Code, Command, Head, Json, Problem, RunError, RunKey, RunView, Version};
use crate::machine::record::RunRecord;
use crate::machine::run::Phase;
use crate::machine::turn::{EntryHead, entry_text};
use crate::queue::border::body::Body;
use crate::queue::border::extract::{IdempotencyKey, RunPath};
use crate::queue::border::problem::{Answer, Refused, run_closed, run_not_found, workflow_not_found};
use crate::queue::service::{Service, Shared, new_head};
use crate::queue::view::{self, stored};
use crate::queue::watchers::News;
use crate::store::op::{Control, ControlKind, Controlled};

/// Who the journal says took a terminated run's last entry.
const SERVICE: &str = "queue";

/// `POST /v1/namespaces/{ns}/runs/{id}/terminate`.
pub async fn terminate(
    State(service): State<Shared>,
    RunPath { run }: RunPath,
    key: IdempotencyKey,
    Body(Reason { reason }): Body<Reason>,
) -> Answer<Answered<RunView>> {
    let record = service.record(&run).await?;
    let head = new_head();
    let entry = closing_entry(&service, &record, head, reason);
    service.control(run, ControlKind::Terminate { entry }, head, key.of("terminate")).await
}

fn closing_entry(service: &Service, record: &RunRecord, head: Head, reason: String) -> String {
    let message = if reason.is_empty() { "terminated".to_owned() } else { reason };
    let fail = Command::Fail { n: record.next_command, error: RunError::new("Terminated", message) };
    let at = record.at.max(service.clock.now());
    let entry = EntryHead { turn: record.turns, id: head, at, worker: SERVICE, birth: None, continued: false };
    entry_text(entry, &[fail], &[]).with_events::<&str>(&[])
}

/// `POST /v1/namespaces/{ns}/runs/{id}/pause`.
pub async fn pause(
    State(service): State<Shared>,
    RunPath { run }: RunPath,
    key: IdempotencyKey,
    Body(Reason { reason }): Body<Reason>,
) -> Answer<Answered<RunView>> {
    let blocked = Blocked { reason: Blocked::PAUSED.into(), message: reason };
    let blocked = Json::of(&blocked).get().to_owned();
    service.control(run, ControlKind::Pause { blocked }, new_head(), key.of("pause")).await
}

/// `POST /v1/namespaces/{ns}/runs/{id}/resume`.
pub async fn resume(
    State(service): State<Shared>,
    RunPath { run }: RunPath,
    key: IdempotencyKey,
    Body(Resume { version }): Body<Resume>,
) -> Answer<Answered<RunView>> {
    let record = service.record(&run).await?;
    let stuck = record.phase == Phase::Blocked && view::blocked(&record).is_some_and(|blocked| blocked.needs_other_source());
    let version = match version.as_deref() {
        Some("current") => Some(service.current_version(&run, &record).await?),
        Some(version) => Some(service.existing(version).await?),
        None if stuck => Some(service.current_version(&run, &record).await?),
        None => None,
    };
    service.control(run, ControlKind::Resume { version }, new_head(), key.of("resume")).await
}

impl Service {
    async fn record(&self, run: &RunKey) -> Result<RunRecord, Refused> {
        let state = self.store.run(run).await?;
        Ok(state.ok_or_else(|| run_not_found(run))?.record)
    }

    async fn current_version(&self, run: &RunKey, record: &RunRecord) -> Result<Version, Refused> {
        let workflow = stored(&record.workflow)?;
        let current = self.definitions.refresh(&*self.store, &run.namespace, &workflow).await?;
        Ok(current.ok_or_else(|| workflow_not_found(&run.namespace, &workflow))?.version)
    }

    async fn existing(&self, version: &str) -> Result<Version, Refused> {
        let version: Version = version.parse()?;
        if self.definitions.known(&*self.store, &version).await?.is_some() {
            return Ok(version);
        }
        let problem = Problem::new(Code::VersionNotFound, format!("there is no version {}", version.as_str()));
        Err(problem.next("use \"current\", or apply the workflow first").into())
    }

    async fn control(&self, run: RunKey, kind: ControlKind, head: Head, key: String) -> Answer<Answered<RunView>> {
        match self.store.control(Control { run: run.clone(), kind, head, key, now: self.clock.for_store() }).await? {
            Controlled::Done(record) => {
                self.watchers.tell(&run, News::End);
                Ok(Answered(view::summary(&run, &record)?))
            }
            Controlled::NotFound => Err(run_not_found(&run).into()),
            Controlled::Closed(status) => Err(run_closed(&run, status).into()),
            Controlled::NotApplicable(record) => {
                let detail = format!("run {} is {}: only a paused or blocked run can be resumed", run.id, record.status());
                Err(Problem::new(Code::NotApplicable, detail).next(format!("`everloop get {}` shows its state", run.id)).into())
            }
        }
    }
}
