//! A journal as people read it: per turn its number, when, on which worker, what had happened (←), what the code asked for
//! (→) and what it said (│).

use std::collections::BTreeMap;

use super::table::cut;
use super::when::precise;
use crate::api::journal::{Command, Entry, Event};
use crate::api::run::RunError;
use crate::api::{CommandNo, TimeMs};

/// Room for `99999  +59m59.9s  `.
const TURN_WIDTH: usize = 6;
const AT_WIDTH: usize = 12;
/// A worker's name longer than this moves the rest of its line.
const WORKER_WIDTH: usize = 18;

/// Renders entries one after the other; it remembers what the commands of earlier ones were.
pub struct Timeline {
    began: Option<TimeMs>,
    names: BTreeMap<CommandNo, String>,
    width: usize,
}

impl Timeline {
    /// Lines are cut at `width` characters.
    pub fn new(width: usize) -> Self {
        Self { began: None, names: BTreeMap::new(), width }
    }

    /// The whole of a journal, heading included.
    pub fn render(width: usize, entries: &[Entry]) -> String {
        let mut timeline = Self::new(width);
        let turns: String = entries.iter().map(|entry| timeline.entry(entry)).collect();
        Self::heading() + &turns
    }

    /// The names of the columns.
    pub fn heading() -> String {
        format!("{:TURN_WIDTH$}{:AT_WIDTH$}{:WORKER_WIDTH$}WHAT\n", "TURN", "AT", "WORKER")
    }

    /// One turn, some lines. Entries must come in order, from the first one on.
    pub fn entry(&mut self, entry: &Entry) -> String {
        let began = *self.began.get_or_insert(entry.at);
        let mut what = Vec::new();
        for event in &entry.events {
            what.push(format!("← {}", self.event(event)));
        }
        for log in &entry.logs {
            what.push(format!("│ {} {}", log.level, log.text));
        }
        for command in &entry.commands {
            what.push(format!("→ {}", self.command(command)));
        }
        if entry.continued {
            what.push("… goes on in the next entry".into());
        }
        if what.is_empty() {
            what.push("(nothing)".into());
        }
        let at = format!("+{}", precise(entry.at.since(began)));
        let first = format!("{:<TURN_WIDTH$}{at:<AT_WIDTH$}{:<WORKER_WIDTH$}", entry.turn, format!("{} ", entry.worker));
        let indent = " ".repeat(TURN_WIDTH + AT_WIDTH + WORKER_WIDTH);
        let room = self.width.saturating_sub(indent.len()).max(24);
        let lines = what.iter().enumerate().map(|(n, line)| format!("{}{}\n", if n == 0 { &first } else { &indent }, cut(line, room)));
        lines.collect()
    }

    fn event(&self, event: &Event) -> String {
        let name = |n: CommandNo| format!("#{n} {}", self.names.get(&n).map_or("?", String::as_str));
        match event {
            Event::Started { input } => format!("started {}", input.get()),
            Event::ActivityCompleted { command, attempt, result } => {
                format!("{}{} = {}", name(*command), of_attempt(*attempt), result.get())
            }
            Event::ActivityFailed { command, attempt, error } => {
                format!("{}{} failed: {}", name(*command), of_attempt(*attempt), brief(error))
            }
            Event::TimerFired { command } => format!("{} fired", name(*command)),
            Event::SignalReceived { name, payload } => format!("signal {name} {}", payload.get()),
            Event::SignalDelivered { command } => format!("{} delivered", name(*command)),
            Event::SignalRefused { command, error } => format!("{} refused: {}", name(*command), brief(error)),
            Event::CancelRequested { reason } if reason.is_empty() => "cancel requested".into(),
            Event::CancelRequested { reason } => format!("cancel requested: {reason}"),
        }
    }

    fn command(&mut self, command: &Command) -> String {
        match command {
            Command::ScheduleActivity { n, name, argument, .. } => {
                self.names.insert(*n, name.clone());
                format!("#{n} {name}({})", argument.get())
            }
            Command::StartTimer { n, name, duration, .. } => {
                let name = format!("{name}({duration})");
                let text = format!("#{n} {name}");
                self.names.insert(*n, name);
                text
            }
            Command::CancelTimer { n, timer, .. } => format!("#{n} cancels #{timer} {}", self.names.get(timer).map_or("?", String::as_str)),
            Command::SignalRun { n, run, name, payload, .. } => {
                let what = format!("signal {name} to {run}");
                let text = format!("#{n} {what} {}", payload.get());
                self.names.insert(*n, what);
                text
            }
            Command::Complete { result, .. } => format!("completed {}", result.get()),
            Command::Fail { error, .. } => format!("failed: {}", brief(error)),
            Command::Cancel { reason, .. } if reason.is_empty() => "cancelled".into(),
            Command::Cancel { reason, .. } => format!("cancelled: {reason}"),
        }
    }
}

/// Only worth a word when it was not the first.
fn of_attempt(attempt: u32) -> String {
    if attempt > 1 { format!(" (attempt {attempt})") } else { String::new() }
}

/// `Type: message`.
pub fn brief(error: &RunError) -> String {
    if error.message.is_empty() { error.kind.clone() } else { format!("{}: {}", error.kind, error.message) }
}
