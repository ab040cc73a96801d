//! A stored run in the words of its users.

use std::str::FromStr;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::api::run::{Blocked, Doing, PendingActivity};
use crate::api::{Command, Event, Json, RunError, RunKey, RunStatus, RunView, TimeMs};
use crate::machine::record::{AttemptRecord, RunRecord};
use crate::machine::run::Phase;
use crate::queue::watchers::Ended;
use crate::store::StoreError;
use crate::store::op::{Change, RunState};

/// Reads an id that was checked where it entered the store.
///
/// # Errors
/// [`StoreError::Damaged`].
pub fn stored<T: FromStr>(text: &str) -> Result<T, StoreError>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| StoreError::Damaged { operation: "read a run", detail: error.to_string() })
}

/// A run without its payloads, as in lists.
///
/// # Errors
/// [`StoreError::Damaged`].
pub fn summary(run: &RunKey, record: &RunRecord) -> Result<RunView, StoreError> {
    let session = if record.session.is_empty() { &record.holder } else { &record.session };
    Ok(RunView {
        id: run.id.clone(),
        namespace: run.namespace.clone(),
        uid: stored(&record.uid)?,
        workflow: stored(&record.workflow)?,
        version: stored(&record.version)?,
        pool: stored(&record.pool)?,
        status: record.status(),
        doing: match record.phase {
            Phase::Waiting => Doing::Waiting,
            Phase::Ready => Doing::Ready,
            Phase::Leased => Doing::Leased,
            Phase::Blocked => Doing::Blocked,
            Phase::Closed => Doing::Closed,
        },
        turns: record.turns,
        timers: record.timers,
        unread: record.mail,
        activities: record.attempts.iter().map(pending).collect(),
        session: session.clone(),
        input: None,
        result: None,
        error: None,
        blocked: blocked(record),
        origin: (!record.origin.is_empty()).then(|| stored(&record.origin)).transpose()?,
        started_at: record.started_at,
        closed_at: (record.closed_at > TimeMs(0)).then_some(record.closed_at),
    })
}

/// Why a run stands still.
#[must_use]
pub fn blocked(record: &RunRecord) -> Option<Blocked> {
    if record.phase != Phase::Blocked || record.blocked.is_empty() {
        return None;
    }
    let unreadable = |_| Blocked { reason: "Unknown".into(), message: record.blocked.clone(), holders: Vec::new() };
    Some(serde_json::from_str(&record.blocked).unwrap_or_else(unreadable))
}

fn pending(attempt: &AttemptRecord) -> PendingActivity {
    PendingActivity {
        command: attempt.command,
        phase: attempt.phase.as_str().to_owned(),
        attempt: attempt.attempt,
        scheduled_at: attempt.scheduled_at,
        session: attempt.session.clone(),
        last_error: attempt.last_error.clone(),
    }
}

/// A run with its input and how it ended.
///
/// # Errors
/// [`StoreError::Damaged`].
pub fn whole(run: &RunKey, state: &RunState) -> Result<RunView, StoreError> {
    let mut view = summary(run, &state.record)?;
    if let Ok(Event::Started { input }) = serde_json::from_str(&state.first) {
        view.input = Some(input);
    }
    if view.status.is_closed() && !state.last.is_empty() {
        (view.result, view.error) = last_command(&state.last)?.map_or((None, None), outcome);
    }
    Ok(view)
}

/// A run that changed, with how it ended; `None` when it was removed.
///
/// # Errors
/// [`StoreError::Damaged`].
pub fn changed(change: &Change) -> Result<Option<RunView>, StoreError> {
    let Some(record) = &change.record else { return Ok(None) };
    let mut view = RunView { activities: Vec::new(), ..summary(&change.run, record)? };
    if view.status.is_closed() && !change.last.is_empty() {
        (view.result, view.error) = last_command(&change.last)?.map_or((None, None), outcome);
    }
    Ok(Some(view))
}

/// A run as it was, after it has ended.
#[must_use]
pub fn ended(view: RunView, ended: &Ended) -> RunView {
    let (result, error) = outcome(ended.command.clone());
    RunView {
        version: ended.version.clone(),
        status: ended.status,
        doing: Doing::Closed,
        turns: ended.turns,
        timers: 0,
        unread: 0,
        activities: Vec::new(),
        session: String::new(),
        result,
        error,
        blocked: None,
        closed_at: Some(ended.at),
        ..view
    }
}

/// What the last command of a run makes of it.
fn outcome(last: Command) -> (Option<Json>, Option<RunError>) {
    match last {
        Command::Complete { result, .. } => (Some(result), None),
        Command::Fail { error, .. } => (None, Some(error)),
        Command::Cancel { reason, .. } => (None, Some(RunError::new(RunStatus::Cancelled.as_str(), reason))),
        Command::ScheduleActivity { .. } | Command::StartTimer { .. } | Command::CancelTimer { .. } | Command::SignalRun { .. } => {
            (None, None)
        }
    }
}

/// The commands of an entry, not yet read.
#[derive(Deserialize)]
struct Commands<'a> {
    #[serde(borrow)]
    commands: Vec<&'a RawValue>,
}

fn commands(entry: &str) -> Result<Vec<&RawValue>, StoreError> {
    serde_json::from_str::<Commands<'_>>(entry).map(|entry| entry.commands).map_err(damaged)
}

#[expect(clippy::needless_pass_by_value, reason = "`map_err` gives it by value")]
fn damaged(error: serde_json::Error) -> StoreError {
    StoreError::Damaged { operation: "read a journal entry", detail: error.to_string() }
}

fn last_command(entry: &str) -> Result<Option<Command>, StoreError> {
    commands(entry)?.last().map(|raw| read(raw)).transpose()
}

/// The activities that a journal entry scheduled.
pub struct Scheduled<'a> {
    commands: Vec<&'a RawValue>,
    /// The number of the first command.
    first: u32,
}

impl<'a> Scheduled<'a> {
    /// Reads the entry, and its commands only as far as is asked for.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub fn of(entry: &'a str) -> Result<Self, StoreError> {
        let commands = commands(entry)?;
        let first = commands.first().map(|raw| read(raw)).transpose()?.map_or(0, |first| first.number());
        Ok(Self { commands, first })
    }

    /// The name and the argument of an activity.
    ///
    /// # Errors
    /// [`StoreError::Damaged`]: the entry has no such command.
    pub fn find(&self, command: u32) -> Result<(String, Json), StoreError> {
        // Numbers rise by one within an entry.
        let place = command.checked_sub(self.first).and_then(|n| usize::try_from(n).ok());
        match place.and_then(|place| self.commands.get(place)).map(|raw| read(raw)).transpose()? {
            Some(Command::ScheduleActivity { n, name, argument, .. }) if n == command => Ok((name, argument)),
            _ => Err(StoreError::Damaged { operation: "read a journal entry", detail: format!("it schedules no activity {command}") }),
        }
    }
}

fn read(command: &RawValue) -> Result<Command, StoreError> {
    serde_json::from_str(command.get()).map_err(damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_activity_is_found_in_its_entry_to_the_letter() {
        let entry = r#"{"v":1,"events":[{"x":1}],"commands":[{"StartTimer":{"n":4,"name":"sleep","duration":"1s","at":""}},{"ScheduleActivity":{"n":5,"name":"pay","argument":{"z":0.10},"at":"3:9"}}]}"#;
        let scheduled = Scheduled::of(entry).unwrap();
        let (name, argument) = scheduled.find(5).unwrap();
        assert_eq!((name.as_str(), argument.get()), ("pay", r#"{"z":0.10}"#));
        for wrong in [3, 4, 6] {
            assert!(scheduled.find(wrong).is_err(), "{wrong}");
        }
    }
}
