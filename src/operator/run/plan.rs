//! What follows from a WorkflowRun and from what the queue service says of its run.

use std::time::Duration;

use kube::ResourceExt as _;

use crate::api::http::StartRun;
use crate::api::{Code, Json, Name, Origin, Problem, RunId, RunStatus, RunView};
use crate::client::ClientError;
use crate::crd::resources::{INPUT_BYTES_MAX, Reason, Standing, WorkflowRun, WorkflowRunStatus};
use crate::operator::context::{in_words, refusal};
use crate::operator::orphans::{ORIGIN, origin_of};
use crate::operator::status::{GRACE, since, time};

/// Holds an object until its run is asked to end.
pub(in crate::operator) const FINALIZER: &str = "everloop.dev/cancel";
/// A deleted object waits for the queue service at most for so long.
const CANCEL_WITHIN: Duration = Duration::from_mins(5);
/// A workflow that is missing is looked for again.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Of results and errors in a status.
const TEXT_BYTES_MAX: usize = 4_096;

/// What to do next.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// It is all said and done.
    Nothing,
    /// Set these finalizers.
    Finalizers(Vec<String>),
    /// Write this status.
    Write(Box<WorkflowRunStatus>),
    /// Ask for the run.
    Start(Box<Planned>),
    /// Look at the run, after asking it to end.
    Look { namespace: Name, id: RunId, cancel: bool, suspend: Option<bool> },
    /// Delete the object, after this time: its run has ended.
    Expire(Duration),
    /// Ask the run to end, and let the object go.
    Cancel { namespace: Name, id: RunId },
}

/// A start.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Planned {
    pub(super) namespace: Name,
    pub(super) id: RunId,
    pub(super) start: StartRun,
}

/// Under which name objects hold runs.
pub(super) fn holder() -> Name {
    ORIGIN.parse().expect("a name")
}

/// The finalizers of others.
pub(super) fn others(run: &WorkflowRun) -> Vec<String> {
    run.finalizers().iter().filter(|name| *name != FINALIZER).cloned().collect()
}

/// The next step.
pub(super) fn plan(run: &WorkflowRun, now: &str) -> Step {
    let before = run.status.clone().unwrap_or_default();
    let held = run.finalizers().iter().any(|name| name == FINALIZER);
    let closed = before.closed_at.is_some();
    let deleted = run.metadata.deletion_timestamp.is_some();
    if !held && deleted {
        return Step::Nothing;
    }
    let Some(namespace) = run.namespace().and_then(|namespace| namespace.parse::<Name>().ok()) else { return Step::Nothing };
    let id = before.run_id.as_deref().and_then(|id| id.parse::<RunId>().ok());
    if deleted {
        return match id {
            // An object that only attached to a run takes nothing with it.
            Some(id) if !closed && run.spec.run_id.is_none() => Step::Cancel { namespace, id },
            _ => Step::Finalizers(others(run)),
        };
    }
    if closed {
        return match run.spec.ttl_seconds_after_finished {
            _ if held => Step::Finalizers(others(run)),
            Some(ttl) => Step::Expire(rest(before.closed_at.as_deref(), ttl, now)),
            None => Step::Nothing,
        };
    }
    if !held {
        return Step::Finalizers(run.finalizers().iter().cloned().chain([FINALIZER.to_owned()]).collect());
    }
    let Some(id) = id else {
        let (id, generation) = (id_of(run), run.metadata.generation.unwrap_or(0));
        return match id.parse::<RunId>() {
            Ok(_) => Step::Write(Box::new(WorkflowRunStatus { observed_generation: generation, run_id: Some(id), ..before })),
            Err(error) => unless_said(run, stalled(run, &Reason::InvalidSpec, &error.to_string(), now)),
        };
    };
    if before.accepted_at.is_some() {
        let suspend = (run.spec.suspend != before.conditions.is_true("Suspended")).then_some(run.spec.suspend);
        return Step::Look { namespace, id, cancel: run.spec.cancel && !before.conditions.is_true("Cancelling"), suspend };
    }
    // An object that names its run may attach to one: it does not own it.
    let origin = match (&run.spec.run_id, run.uid()) {
        (None, Some(uid)) => origin_of(&uid),
        _ => ORIGIN.parse().ok(),
    };
    match start(run, id.clone(), origin) {
        Ok(start) => Step::Start(Box::new(Planned { namespace, id, start })),
        Err(message) => unless_said(run, stalled(run, &Reason::InvalidSpec, &message, now)),
    }
}

/// What is left of a time to live.
fn rest(closed_at: Option<&str>, ttl_seconds: u32, now: &str) -> Duration {
    let seconds = |text: &str| text.parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_second);
    let end = closed_at.map_or(0, seconds).saturating_add(i64::from(ttl_seconds));
    Duration::from_secs(u64::try_from(end - seconds(now)).unwrap_or(0))
}

/// Writes what was not said before.
fn unless_said(run: &WorkflowRun, next: WorkflowRunStatus) -> Step {
    if run.status.as_ref() == Some(&next) { Step::Nothing } else { Step::Write(Box::new(next)) }
}

/// The run of an object: its own, or the one that it names. The uid makes an object of the same name that comes later another run.
fn id_of(run: &WorkflowRun) -> String {
    run.spec.run_id.clone().unwrap_or_else(|| format!("{}{}", run.name_any(), suffix(&run.uid().unwrap_or_default())))
}

fn suffix(uid: &str) -> String {
    format!("-{}", uid.chars().take(8).collect::<String>())
}

/// The name of the object that owns a run, by the run's id: the other way round than [`id_of`].
pub(super) fn object_of<'a>(id: &'a RunId, uid: &str) -> Option<&'a str> {
    id.as_str().strip_suffix(&suffix(uid))
}

/// Takes out of the cache what no pass reads any more: the input of a run that was accepted, and what is said of one that has ended and is
/// never written again.
pub(super) fn slim(run: &mut WorkflowRun) {
    let Some(status) = run.status.as_mut() else { return };
    if status.accepted_at.is_some() {
        (run.spec.input, run.spec.input_json) = (None, None);
    }
    if status.closed_at.is_some() {
        (status.result, status.error) = (None, None);
        status.conditions.0.clear();
    }
}

fn start(run: &WorkflowRun, id: RunId, origin: Option<Origin>) -> Result<StartRun, String> {
    let input = match (&run.spec.input, &run.spec.input_json) {
        (Some(value), None) => Json::of(value),
        (None, Some(text)) => Json::checked(text).map_err(|e| format!("`spec.inputJSON` is no JSON: {e}"))?,
        (None, None) => Json::default(),
        (Some(_), Some(_)) => return Err("give `input` or `inputJSON`, not both".to_owned()),
    };
    let bytes = input.get().len();
    if bytes > INPUT_BYTES_MAX {
        let field = if run.spec.input.is_some() { "input" } else { "inputJSON" };
        return Err(format!(
            "`spec.{field}` has {bytes} bytes as JSON, and an object may carry {INPUT_BYTES_MAX}: put the data elsewhere, such as a ConfigMap, and its name into the input, or start the run over HTTP (`everloop run`), which takes up to 1 MiB"
        ));
    }
    let workflow = run.spec.workflow.parse::<Name>().map_err(|e| format!("`spec.workflow`: {e}"))?;
    Ok(StartRun { workflow, id: Some(id), input, origin })
}

/// The status of a run that was just accepted. Perhaps it has ended, when this is not the first time that it is asked for: the answer of
/// a start has no result, so that is told after a look.
pub(super) fn accepted(run: &WorkflowRun, view: &RunView, now: &str) -> WorkflowRunStatus {
    // It has been asked to start and nothing else.
    let plain =
        WorkflowRun { spec: crate::crd::resources::WorkflowRunSpec { cancel: false, suspend: false, ..run.spec.clone() }, ..run.clone() };
    let mut next = mirrored(&plain, &RunView { status: RunStatus::Running, closed_at: None, ..view.clone() }, now);
    next.accepted_at = time(view.started_at).or_else(|| Some(now.to_owned()));
    next
}

/// The status that mirrors a run.
pub(super) fn mirrored(run: &WorkflowRun, view: &RunView, now: &str) -> WorkflowRunStatus {
    let mut next = standing(run, Standing::READY, &Reason::Accepted, "the run is accepted", now);
    let generation = next.observed_generation;
    let mut set = |kind, status, reason: &Reason, message: &str| next.conditions.set(kind, status, reason, message, generation, now);
    let phase = Reason::Run(view.status);
    let closed = view.status.is_closed();
    let (status, message) = if closed { ("True", "the run has ended") } else { ("False", "the run is open") };
    set("Closed", status, &phase, message);
    let error = view.error.as_ref().map(|error| format!("{}: {}", error.kind, error.message));
    let (status, message) = match (closed, view.status) {
        (false, _) => ("Unknown", "the run is open"),
        (true, RunStatus::Completed) => ("True", "the run has a result"),
        (true, _) => ("False", error.as_deref().unwrap_or("the run has no result")),
    };
    set("Succeeded", status, &phase, message);
    if let Some(blocked) = &view.blocked {
        set("Stalled", "True", &Reason::Blocked(blocked.reason.clone()), &blocked.message);
    }
    next.phase = Some(if view.blocked.is_some() { "Blocked".to_owned() } else { phase.to_string() });
    next.version = Some(view.version.to_string());
    let result = view.result.as_ref().map(|result| result.get().to_owned());
    next.result_truncated = result.as_ref().is_some_and(|result| result.len() > TEXT_BYTES_MAX);
    next.result = result.map(cut);
    next.error = error.map(cut);
    next.closed_at = view.closed_at.and_then(time);
    asked(run, &mut next, now);
    next
}

/// What the object asks of its open run, and has been passed on before this is written.
fn asked(run: &WorkflowRun, next: &mut WorkflowRunStatus, now: &str) {
    let generation = run.metadata.generation.unwrap_or(0);
    let mut set = |kind, status, reason: Reason, message| next.conditions.set(kind, status, &reason, message, generation, now);
    if run.spec.cancel {
        set("Cancelling", "True", Reason::CancelRequested, "the run was asked to end");
    }
    if run.spec.suspend {
        set("Suspended", "True", Reason::SuspendRequested, "the run is held by this object");
    } else if run.status.as_ref().is_some_and(|status| status.conditions.get("Suspended").is_some()) {
        set("Suspended", "False", Reason::SuspendTakenBack, "the run is not held by this object");
    }
}

/// The status of an accepted run of which there are no news: what the object itself has asked for.
pub(super) fn observed(run: &WorkflowRun, now: &str) -> WorkflowRunStatus {
    let generation = run.metadata.generation.unwrap_or(0);
    let mut next = WorkflowRunStatus { observed_generation: generation, ..run.status.clone().unwrap_or_default() };
    asked(run, &mut next, now);
    next
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
    text
}

/// The status after a refusal, and when to try again.
pub(super) fn refused(run: &WorkflowRun, problem: &Problem, now: &str) -> (WorkflowRunStatus, Option<Duration>) {
    let accepted = run.status.as_ref().is_some_and(|status| status.accepted_at.is_some());
    let missing = matches!(problem.code, Code::WorkflowNotFound | Code::WorkflowRetired);
    let message = match problem.code {
        Code::RunNotFound if accepted => "the run was accepted and the store does not know it any more: it was removed after its retention, or the store is another one; it is not started again".to_owned(),
        _ => in_words(problem),
    };
    if missing && since(run.metadata.creation_timestamp.as_ref(), now) < GRACE {
        let mut next = standing(run, Standing::RECONCILING, &problem.code.into(), &message, now);
        next.phase = Some("Pending".to_owned());
        return (next, Some(LOOK_AGAIN / 5));
    }
    (stalled(run, &problem.code.into(), &message, now), missing.then_some(LOOK_AGAIN))
}

/// The status while the queue service does not answer.
pub(super) fn away(run: &WorkflowRun, error: &ClientError, now: &str) -> WorkflowRunStatus {
    let accepted = run.status.as_ref().is_some_and(|status| status.accepted_at.is_some());
    let is = if accepted { Standing::READY_RECONCILING } else { Standing::RECONCILING };
    let deleted = run.metadata.deletion_timestamp.is_some();
    let then = if deleted { "; trying again to cancel the run, for five minutes after the deletion" } else { "; trying again" };
    standing(run, is, &Reason::QueueServiceAway, &format!("{error}{then}"), now)
}

/// The status while what the object asks for cannot be passed on: the queue service is away, or refuses it for now.
pub(super) fn not_passed_on(run: &WorkflowRun, error: &ClientError, now: &str) -> WorkflowRunStatus {
    match refusal(error) {
        Some(problem) => stalled(run, &problem.code.into(), &problem.to_string(), now),
        None => away(run, error, now),
    }
}

/// The reason of the event when a deleted object goes without the acknowledgement of its cancel.
pub(super) const NOT_CANCELLED: &str = "NotCancelled";

/// What is told when a deleted object has waited for long enough and goes; nothing while it waits.
pub(super) fn given_up(run: &WorkflowRun, id: &RunId, error: &ClientError, now: &str) -> Option<String> {
    let waited = since(run.metadata.deletion_timestamp.as_ref(), now);
    (waited >= CANCEL_WITHIN).then(|| {
        format!(
            "the object goes, and run {id} could not be asked to end for five minutes: {error}; it is asked when the queue service is back, or by `everloop cancel {id}`"
        )
    })
}

fn stalled(run: &WorkflowRun, reason: &Reason, message: &str, now: &str) -> WorkflowRunStatus {
    let mut next = standing(run, Standing::STALLED, reason, message, now);
    next.phase = Some("Stalled".to_owned());
    next
}

/// The status before, with this said of where the object stands.
fn standing(run: &WorkflowRun, standing: Standing, reason: &Reason, message: &str, now: &str) -> WorkflowRunStatus {
    let generation = run.metadata.generation.unwrap_or(0);
    let mut next = WorkflowRunStatus { observed_generation: generation, ..run.status.clone().unwrap_or_default() };
    next.conditions.stand(standing, reason, message, generation, now);
    next
}
