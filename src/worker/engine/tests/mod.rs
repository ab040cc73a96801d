//! The engine driven through its seam, as a worker drives it. One file per subject.

mod abort;
mod cancel;
mod determinism;
mod errors;
mod forbidden;
mod globals;
mod golden;
mod limits;
mod memory;
mod replay;
mod signals;
mod steps;
mod timers;
mod torture;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::api::definition::Activity;
use crate::api::ids::RunKey;
use crate::api::journal::{Command, Entry, Event, FORMAT};
use crate::api::run::Blocked;
use crate::api::{Definition, Head, Json, RunError, TimeMs};

use super::seam::{Engine, EngineLimits, TurnInput, TurnOutcome, TurnOutput};
use super::{Hooks, QuickJsEngine};

/// The time of every first turn: 2023-11-14T22:13:20Z.
pub const START_MS: u64 = 1_700_000_000_000;

/// A run with the journal that a worker would have committed.
pub struct Run {
    definition: Arc<Definition>,
    id: String,
    uid: String,
    head: u64,
    at: u64,
    pub journal: Vec<Entry>,
}

impl Run {
    /// A run of a source whose activities are `a` to `e`, `pay` and `notify`.
    pub fn new(source: &str) -> Self {
        Self::numbered(source, 1)
    }

    pub fn numbered(source: &str, number: u32) -> Self {
        let activities = ["a", "b", "c", "d", "e", "pay", "notify"];
        Self::with_activities(source, &activities, number)
    }

    pub fn with_activities(source: &str, activities: &[&str], number: u32) -> Self {
        let activities: BTreeMap<String, Activity> = activities.iter().map(|name| ((*name).to_owned(), Activity::default())).collect();
        Self {
            definition: Arc::new(Definition { source: source.to_owned(), activities }),
            id: format!("order-{number}"),
            uid: format!("01890000-0000-7000-8000-{number:012}"),
            head: 1,
            at: START_MS,
            journal: Vec::new(),
        }
    }

    /// The same journal under another source.
    pub fn under(&self, source: &str) -> Self {
        let definition = Arc::new(Definition { source: source.to_owned(), ..(*self.definition).clone() });
        Self { definition, id: self.id.clone(), uid: self.uid.clone(), head: self.head, at: self.at, journal: self.journal.clone() }
    }

    pub fn uid(&self) -> crate::api::Uid {
        self.uid.parse().unwrap()
    }

    pub fn input(&self, journal: bool, events: Vec<Event>) -> TurnInput {
        TurnInput {
            run: RunKey { namespace: "shop".parse().unwrap(), id: self.id.parse().unwrap() },
            uid: self.uid(),
            workflow: "order-status".into(),
            version: self.definition.version(),
            definition: self.definition.clone(),
            base: Head(self.head),
            turn: Head(self.head + 1),
            number: u32::try_from(self.journal.len()).unwrap(),
            at: TimeMs(self.at),
            journal: journal.then(|| Arc::new(self.journal.clone())),
            events,
        }
    }

    /// Takes a turn, cached when it can be, and commits it. A second passes after it.
    pub fn take(&mut self, engine: &mut QuickJsEngine, events: Vec<Event>) -> TurnOutcome {
        let mut outcome = engine.turn(self.input(false, events.clone()));
        while matches!(outcome, TurnOutcome::NotCached | TurnOutcome::Yielded) {
            outcome = engine.turn(self.input(true, events.clone()));
        }
        if let TurnOutcome::Done(output) = &outcome {
            self.commit(events, output);
        }
        outcome
    }

    pub fn commit(&mut self, events: Vec<Event>, output: &TurnOutput) {
        self.head += 1;
        self.journal.push(Entry {
            v: FORMAT,
            turn: u32::try_from(self.journal.len()).unwrap(),
            id: Head(self.head),
            at: TimeMs(self.at),
            worker: "w".into(),
            birth: None,
            events,
            commands: output.commands.clone(),
            logs: output.logs.clone(),
            continued: false,
        });
        self.at += 1000;
    }

    pub fn turn(&mut self, engine: &mut QuickJsEngine, events: Vec<Event>) -> TurnOutput {
        match self.take(engine, events) {
            TurnOutcome::Done(output) => output,
            other => panic!("the turn did not end well: {other:?}"),
        }
    }

    /// Starts the run with an input.
    pub fn start(&mut self, engine: &mut QuickJsEngine, input: &str) -> TurnOutput {
        self.turn(engine, vec![started(input)])
    }

    pub fn blocked(&mut self, engine: &mut QuickJsEngine, events: Vec<Event>) -> Blocked {
        match self.take(engine, events) {
            TurnOutcome::Blocked(blocked) => blocked,
            other => panic!("the run is not blocked: {other:?}"),
        }
    }

    pub fn breach(&mut self, engine: &mut QuickJsEngine, events: Vec<Event>) -> RunError {
        match self.take(engine, events) {
            TurnOutcome::LimitExceeded(error) => error,
            other => panic!("no limit was exceeded: {other:?}"),
        }
    }
}

pub fn engine() -> QuickJsEngine {
    QuickJsEngine::new(EngineLimits::default())
}

/// Shares the realms of sources that begin with `// shareable: ` and the names of their top level.
pub fn hooks(share: bool) -> Hooks {
    let shareable = |source: &str| -> Option<Vec<String>> {
        let names = source.lines().next()?.strip_prefix("// shareable:")?;
        Some(names.split_whitespace().map(str::to_owned).collect())
    };
    Hooks { shareable, share, ..Hooks::default() }
}

pub fn sharing_engine(share: bool) -> QuickJsEngine {
    QuickJsEngine::with_hooks(EngineLimits::default(), hooks(share))
}

pub fn json(text: &str) -> Json {
    Json::checked(text).unwrap()
}

pub fn started(input: &str) -> Event {
    Event::Started { input: json(input) }
}

pub fn done(command: u32, result: &str) -> Event {
    Event::ActivityCompleted { command, attempt: 1, result: json(result) }
}

pub fn failed(command: u32, kind: &str, message: &str) -> Event {
    Event::ActivityFailed { command, attempt: 1, error: RunError::new(kind, message) }
}

pub fn fired(command: u32) -> Event {
    Event::TimerFired { command }
}

pub fn signalled(name: &str, payload: &str) -> Event {
    Event::SignalReceived { name: name.into(), payload: json(payload) }
}

pub fn cancelled(reason: &str) -> Event {
    Event::CancelRequested { reason: reason.into() }
}

/// A turn's commands, one line each, without positions.
pub fn brief(output: &TurnOutput) -> Vec<String> {
    output.commands.iter().map(brief_command).collect()
}

pub fn brief_command(command: &Command) -> String {
    match command {
        Command::ScheduleActivity { n, name, argument, .. } => format!("{n} {name}({})", argument.get()),
        Command::StartTimer { n, name, duration, .. } => format!("{n} {name} {duration}"),
        Command::CancelTimer { n, timer, .. } => format!("{n} cancel {timer}"),
        Command::SignalRun { n, run, name, payload, .. } => format!("{n} {name} to {run} {}", payload.get()),
        Command::Complete { n, result } => format!("{n} = {}", result.get()),
        Command::Fail { n, error } => format!("{n} ! {}: {}", error.kind, error.message),
        Command::Cancel { n, reason } => format!("{n} x {reason}"),
    }
}

/// Runs a body that ends in its first turn, and gives its result as JSON text.
pub fn evaluate(body: &str) -> String {
    let source = format!("import * as everloop from \"everloop\";\nexport default async function main(input) {{\n{body}\n}}\n");
    let output = Run::new(&source).start(&mut engine(), "null");
    match output.commands.last() {
        Some(Command::Complete { result, .. }) => result.get().to_owned(),
        other => panic!("{body} did not complete: {other:?}"),
    }
}

/// The error that a body ends with in its first turn.
pub fn throws(body: &str) -> RunError {
    let source = format!("import * as everloop from \"everloop\";\nexport default async function main(input) {{\n{body}\n}}\n");
    let output = Run::new(&source).start(&mut engine(), "null");
    match output.commands.last() {
        Some(Command::Fail { error, .. }) => error.clone(),
        other => panic!("{body} did not fail: {other:?}"),
    }
}
