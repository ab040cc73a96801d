//! What a turn does to the store: from its commands to attempts, timers and the end of the run.

use super::shorthand::shortened;
use crate::api::definition::Kind;
use crate::api::journal::{Birth, Command, Entry, Event, Log};
use crate::api::{CommandNo, Definition, DurationMs, Head, Json, Name, RunKey, RunStatus, TimeMs};

/// The effects of a turn's commands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Effects {
    /// Activities to queue or to grant.
    pub schedule: Vec<NewAttempt>,
    /// Timers to set.
    pub timers: Vec<NewTimer>,
    /// Timers to forget.
    pub cancel_timers: Vec<CommandNo>,
    /// Signals to other runs.
    pub signals: Vec<NewSignal>,
    /// How the run ends, when it does.
    pub close: Option<RunStatus>,
}

/// A signal that a turn sends to another run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSignal {
    /// The number of its command.
    pub command: CommandNo,
    /// The receiver.
    pub to: RunKey,
    /// The event for its mailbox, JSON text.
    pub event: String,
}

/// An activity that a turn asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAttempt {
    /// The number of its command.
    pub command: CommandNo,
    /// The external queue, `namespace/name`; empty for the pool's own.
    pub queue: String,
    /// Start-to-close time-out in milliseconds.
    pub timeout_ms: u64,
    /// Heartbeat time-out in milliseconds; 0 for none.
    pub heartbeat_ms: u64,
    /// When it fails if nobody has begun it by then (schedule-to-start); 0 for never.
    pub start_by: TimeMs,
    /// When it fails if it has not ended by then (schedule-to-close); 0 for never.
    pub close_by: TimeMs,
}

/// A timer that a turn asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewTimer {
    /// The number of its command.
    pub command: CommandNo,
    /// When it falls due.
    pub due: TimeMs,
}

/// A command that the definition does not know: the worker and the service disagree about the version, or the worker is broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("command {command} asks for activity {name:?}, which version {version} does not declare")]
pub struct UnknownActivity {
    /// The number of the command.
    pub command: CommandNo,
    /// The name that it gave.
    pub name: String,
    /// The version, short.
    pub version: String,
}

/// From commands to effects. `at` is the turn's time: a timer is due at turn time and duration.
///
/// # Errors
/// [`UnknownActivity`].
pub fn effects(commands: &[Command], definition: &Definition, namespace: &Name, at: TimeMs) -> Result<Effects, UnknownActivity> {
    let mut effects = Effects::default();
    for command in commands {
        match command {
            Command::ScheduleActivity { n, name, .. } => {
                let unknown = || UnknownActivity { command: *n, name: name.clone(), version: definition.version().short().to_owned() };
                let activity = definition.activities.get(name).ok_or_else(unknown)?;
                let queue = match activity.kind() {
                    Ok(Kind::Queue(queue)) => format!("{namespace}/{queue}"),
                    Ok(Kind::Http(_) | Kind::Script(_)) => String::new(),
                    Err(_) => return Err(unknown()),
                };
                let timeouts = activity.timeouts.clone().unwrap_or_default();
                let by = |timeout: Option<DurationMs>| timeout.map_or(TimeMs(0), |timeout| at.plus(timeout));
                effects.schedule.push(NewAttempt {
                    command: *n,
                    queue,
                    timeout_ms: activity.start_to_close().0.max(1),
                    heartbeat_ms: timeouts.heartbeat.unwrap_or_default().0,
                    start_by: by(timeouts.schedule_to_start),
                    close_by: by(timeouts.schedule_to_close),
                });
            }
            Command::StartTimer { n, duration, .. } => effects.timers.push(NewTimer { command: *n, due: at.plus(*duration) }),
            Command::CancelTimer { timer, .. } => {
                // Set and forgotten in one turn: it never reaches the store.
                let before = effects.timers.len();
                effects.timers.retain(|t| t.command != *timer);
                if effects.timers.len() == before {
                    effects.cancel_timers.push(*timer);
                }
            }
            Command::SignalRun { n, run, name, payload, .. } => {
                let event = Event::SignalReceived { name: name.clone(), payload: payload.clone() };
                let to = RunKey { namespace: namespace.clone(), id: run.clone() };
                effects.signals.push(NewSignal { command: *n, to, event: Json::of(&event).get().to_owned() });
            }
            Command::Complete { .. } | Command::Fail { .. } | Command::Cancel { .. } => effects.close = command.end(),
        }
    }
    Ok(effects)
}

/// An entry's text around its events, which are put between them where the events are: in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryText {
    /// Up to and with the `[` of the events.
    pub before: String,
    /// From the `]` of the events on.
    pub after: String,
}

/// What an entry says beside its events and commands.
#[derive(Debug, Clone)]
pub struct EntryHead<'a> {
    /// Its number.
    pub turn: u32,
    /// The head that it makes.
    pub id: Head,
    /// The time inside of the turn.
    pub at: TimeMs,
    /// Which worker took it.
    pub worker: &'a str,
    /// With the first entry only.
    pub birth: Option<Birth>,
    /// The turn goes on in the next entry.
    pub continued: bool,
}

/// Composes the text of an entry. The first one of a run is in shorthand.
#[must_use]
pub fn entry_text(head: EntryHead<'_>, commands: &[Command], logs: &[Log]) -> EntryText {
    let is_first = head.birth.is_some();
    let entry = Entry {
        v: crate::api::journal::FORMAT,
        turn: head.turn,
        id: head.id,
        at: head.at,
        worker: head.worker.to_owned(),
        birth: head.birth,
        events: Vec::new(),
        commands: commands.to_vec(),
        logs: logs.to_vec(),
        continued: head.continued,
    };
    let text = Json::of(&entry).get().to_owned();
    // Before the events stand only numbers, ids and the worker's name, whose quotes JSON escapes.
    let split = text.find(EVENTS).map_or(text.len(), |at| at + EVENTS.len());
    let (before, after) = text.split_at(split);
    if is_first && let Some((before, after)) = shortened(before, after) {
        return EntryText { before, after };
    }
    EntryText { before: before.to_owned(), after: after.to_owned() }
}

const EVENTS: &str = r#","events":["#;

impl EntryText {
    /// The whole text, with these events.
    #[must_use]
    pub fn with_events<T: AsRef<str>>(&self, events: &[T]) -> String {
        let length = events.iter().map(|e| e.as_ref().len() + 1).sum::<usize>();
        let mut text = String::with_capacity(self.before.len() + length + self.after.len());
        text.push_str(&self.before);
        for (i, event) in events.iter().enumerate() {
            if i > 0 {
                text.push(',');
            }
            text.push_str(event.as_ref());
        }
        text.push_str(&self.after);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::definition::Activity;
    use crate::machine::shorthand::written_out;

    #[test]
    fn a_timer_set_and_forgotten_in_one_turn_never_reaches_the_store() {
        let start = |n| Command::StartTimer { n, name: "sleep".into(), duration: DurationMs(10), at: String::new() };
        let commands = [
            start(0),
            start(1),
            Command::CancelTimer { n: 2, timer: 1, at: String::new() },
            Command::CancelTimer { n: 3, timer: 9, at: String::new() },
        ];
        let definition = Definition { source: String::new(), activities: std::collections::BTreeMap::default() };
        let effects = effects(&commands, &definition, &"default".parse().unwrap(), TimeMs(5)).unwrap();
        assert_eq!(effects.timers, [NewTimer { command: 0, due: TimeMs(15) }]);
        assert_eq!(effects.cancel_timers, [9]);
    }

    #[test]
    fn activities_find_their_queue_and_undeclared_ones_are_refused() {
        let script = Activity { script: Some("x".into()), ..Activity::default() };
        let queue = Activity { queue: Some("drivers".parse().unwrap()), ..Activity::default() };
        let definition = Definition { source: String::new(), activities: [("a".to_owned(), script), ("b".to_owned(), queue)].into() };
        let ask = |n, name: &str| Command::ScheduleActivity { n, name: name.into(), argument: Json::null(), at: String::new() };
        let shop = "shop".parse().unwrap();
        let both = effects(&[ask(0, "a"), ask(1, "b")], &definition, &shop, TimeMs(0)).unwrap();
        assert_eq!(both.schedule.iter().map(|s| s.queue.as_str()).collect::<Vec<_>>(), ["", "shop/drivers"]);
        assert_eq!(both.schedule[0].timeout_ms, 60_000);
        assert_eq!(effects(&[ask(0, "c")], &definition, &shop, TimeMs(0)).unwrap_err().name, "c");
    }

    #[test]
    fn a_first_entry_is_in_shorthand_and_reads_as_it_was_meant() {
        let birth = Birth {
            uid: "01a22e8b-d60c-7769-a10c-303393d0e5d7".parse().unwrap(),
            workflow: "order".into(),
            version: "ab".repeat(32).parse().unwrap(),
            engine: "quickjs-ng 0.16.2".into(),
            flags: vec![],
        };
        let head = EntryHead { turn: 0, id: Head(7), at: TimeMs(9), worker: "w", birth: Some(birth.clone()), continued: false };
        let commands = [Command::ScheduleActivity { n: 0, name: "pay".into(), argument: Json::of(&"x\u{1}"), at: "3:9".into() }];
        let text = entry_text(head, &commands, &[]).with_events(&[r#"{"Started":{"input":"\u0001"}}"#]);
        assert!(text.len() < 180, "{text:?}");
        let entry: Entry = serde_json::from_str(&written_out(text.into())).unwrap();
        assert_eq!((entry.birth, entry.commands.as_slice(), entry.id), (Some(birth), &commands[..], Head(7)));
    }

    #[test]
    fn an_entry_put_together_in_the_store_reads_as_one_made_whole() {
        let head = EntryHead { turn: 1, id: Head(7), at: TimeMs(9), worker: r#"w","events":["#, birth: None, continued: false };
        let commands = [Command::Complete { n: 3, result: Json::null() }];
        let text = entry_text(head, &commands, &[]).with_events(&[r#"{"TimerFired":{"command":2}}"#, r#"{"TimerFired":{"command":1}}"#]);
        let entry: Entry = serde_json::from_str(&text).unwrap();
        assert_eq!(entry.events, [Event::TimerFired { command: 2 }, Event::TimerFired { command: 1 }]);
        assert_eq!(entry.commands, commands);
    }
}
