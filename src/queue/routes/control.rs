//! What a person does to a run: terminate, pause, resume. Each is safe to repeat.

use axum::Json as Answered;
use axum::extract::State;

use crate::api::http::{Pause, Reason, Resume};
use crate::api::run::Blocked;
use crate::api::{Code, Command, Head, Json, Name, Problem, RunError, RunKey, RunView, Version};
use crate::machine::record::RunRecord;
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
    let done = service.try_control(&run, ControlKind::Terminate { entry }, None, head, &key.of("terminate")).await?;
    service.controlled(&run, done)
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
    Body(Pause { reason, holder }): Body<Pause>,
) -> Answer<Answered<RunView>> {
    let (holder, key) = (holder.unwrap_or_else(Blocked::people), key.of("pause"));
    let first = Blocked { reason: Blocked::PAUSED.into(), message: reason, holders: vec![holder.clone()] };
    let (mut blocked, mut over) = (first.clone(), None);
    for _ in 0..TRIES {
        let kind = ControlKind::Pause { blocked: Json::of(&blocked).get().to_owned() };
        let record = match service.try_control(&run, kind, over, new_head(), &key).await? {
            Controlled::Done(record) => record,
            Controlled::Moved(_) => {
                (blocked, over) = (first.clone(), None);
                continue;
            }
            other => return service.controlled(&run, other),
        };
        let head = record.head.parse::<Head>().ok();
        // Not blocked, or as before although the head is right: the repeat of a request that was done long ago.
        match view::blocked(&record).filter(|_| over.is_none() || over != head) {
            Some(found) if !found.held_by().contains(&holder) => {
                let holders = found.held_by().into_iter().chain([holder.clone()]).collect();
                (blocked, over) = (Blocked { holders, ..found }, head);
            }
            _ => return service.controlled(&run, Controlled::Done(record)),
        }
    }
    Err(moves(&run))
}

/// `POST /v1/namespaces/{ns}/runs/{id}/resume`.
pub async fn resume(
    State(service): State<Shared>,
    RunPath { run }: RunPath,
    key: IdempotencyKey,
    Body(Resume { version, holder }): Body<Resume>,
) -> Answer<Answered<RunView>> {
    let key = key.of("resume");
    for _ in 0..TRIES {
        let record = service.record(&run).await?;
        let (blocked, over) = (view::blocked(&record), record.head.parse::<Head>().ok());
        let kind = match blocked.as_ref().map_or(Ok(Release::Run), |blocked| released(blocked, holder.as_ref())) {
            Ok(Release::Run) => ControlKind::Resume { version: service.version_to_resume(&run, &record, version.as_deref()).await? },
            Ok(Release::Hold(rest)) => ControlKind::Pause { blocked: Json::of(&rest).get().to_owned() },
            // The repeat of one that was done is told so by its key.
            Err(why) if key.is_empty() => return Err(not_applicable(&run, &why)),
            Err(why) => match service.try_control(&run, ControlKind::Resume { version: None }, Some(Head(0)), new_head(), &key).await? {
                Controlled::Moved(_) => return Err(not_applicable(&run, &why)),
                other => return service.controlled(&run, other),
            },
        };
        let over = blocked.and(over);
        match service.try_control(&run, kind, over, new_head(), &key).await? {
            Controlled::Moved(_) => {}
            other => return service.controlled(&run, other),
        }
    }
    Err(moves(&run))
}

/// How often a decision is made anew because the run has moved meanwhile.
const TRIES: usize = 5;

/// What a release comes to.
enum Release {
    /// Nobody holds the run any more.
    Run,
    /// It stands still as before, for this.
    Hold(Blocked),
}

/// What is left of a block when a holder, or people, let go; or why they cannot.
fn released(blocked: &Blocked, holder: Option<&Name>) -> Result<Release, String> {
    let (holders, own) = (blocked.held_by(), holder.cloned().unwrap_or_else(Blocked::people));
    let rest: Vec<Name> = holders.iter().filter(|name| **name != own).cloned().collect();
    let names = || rest.iter().map(Name::as_str).collect::<Vec<_>>().join(", ");
    let paused = blocked.reason == Blocked::PAUSED;
    match (holders.contains(&own), rest.is_empty()) {
        (true, true) if paused || holder.is_none() => Ok(Release::Run),
        (false, true) if holder.is_none() => Ok(Release::Run),
        (true, _) => Ok(Release::Hold(Blocked { holders: rest, ..blocked.clone() })),
        (false, true) => Err(format!("{own} does not hold it")),
        (false, false) => Err(format!("it is held by {}, which must let go", names())),
    }
}

fn not_applicable(run: &RunKey, why: &str) -> Refused {
    let detail = format!("run {} cannot be resumed: {why}", run.id);
    Problem::new(Code::NotApplicable, detail).next("a hold of `kubernetes` is `spec.suspend` of its WorkflowRun").into()
}

fn moves(run: &RunKey) -> Refused {
    Problem::new(Code::Overloaded, format!("run {} moves faster than a decision on it is made", run.id))
        .next("repeat the request with the same Idempotency-Key")
        .into()
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

    async fn version_to_resume(&self, run: &RunKey, record: &RunRecord, asked: Option<&str>) -> Result<Option<Version>, Refused> {
        let stuck = view::blocked(record).is_some_and(|blocked| blocked.needs_other_source());
        match asked {
            Some("current") => self.current_version(run, record).await.map(Some),
            Some(version) => self.existing(version).await.map(Some),
            None if stuck => self.current_version(run, record).await.map(Some),
            None => Ok(None),
        }
    }

    async fn try_control(&self, run: &RunKey, kind: ControlKind, over: Option<Head>, head: Head, key: &str) -> Result<Controlled, Refused> {
        let control = Control { run: run.clone(), kind, over, head, key: key.to_owned(), now: self.clock.for_store() };
        Ok(self.store.control(control).await?)
    }

    fn controlled(&self, run: &RunKey, controlled: Controlled) -> Answer<Answered<RunView>> {
        match controlled {
            Controlled::Done(record) => {
                self.watchers.tell(run, News::End);
                Ok(Answered(view::summary(run, &record)?))
            }
            Controlled::NotFound => Err(run_not_found(run).into()),
            Controlled::Closed(status) => Err(run_closed(run, status).into()),
            Controlled::NotApplicable(record) => {
                let detail = format!("run {} is {}: only a paused or blocked run can be resumed", run.id, record.status());
                Err(Problem::new(Code::NotApplicable, detail).next(format!("`everloop get {}` shows its state", run.id)).into())
            }
            Controlled::Moved(_) => Err(moves(run)),
        }
    }
}
