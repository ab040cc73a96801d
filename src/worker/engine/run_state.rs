//! What the engine knows of one run outside of its realm: its commands, its time, its randomness.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use crate::api::journal::{Command, Entry, Log};
use crate::api::{CommandNo, DurationMs, Json, Name, RunError, RunId, TimeMs, Uid, Version, limits};

use super::random::Random;

/// What many runs have in common. Each refers to it: its texts would be half of what the engine keeps of a run.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    pub namespace: Name,
    pub workflow: String,
    pub version: Version,
}

/// What the code may know of its run.
#[derive(Debug, Clone)]
pub struct Facts {
    pub kind: Rc<Kind>,
    pub id: RunId,
    pub uid: Uid,
    pub started_at: TimeMs,
}

/// What is kept of a run between its turns. Many runs wait in memory, so it is small.
#[derive(Debug)]
pub struct Kept {
    pub facts: Facts,
    random: Random,
    tick: u32,
    next: CommandNo,
    /// Names of signals that the code has asked for, in order.
    listening: Vec<Box<str>>,
    /// Where pending activities and timers were asked for: an activity's error names it, an interval's next timer inherits it.
    #[expect(clippy::box_collection, reason = "runs that wait for no activity have none, and an empty table takes 48 bytes")]
    positions: Option<Box<HashMap<CommandNo, String>>>,
    /// `Some` while the journal is replayed.
    recorded: Option<Box<Recorded>>,
}

/// A run whose turn is being taken.
#[derive(Debug)]
pub struct RunState {
    kept: Kept,
    /// The time inside of the turn.
    pub at: TimeMs,
    /// The function has ended; nothing that comes after it counts.
    pub closed: bool,
    /// Commands issued and not yet handed out or compared.
    issued: Vec<Command>,
    /// Commands in this turn, for the limit.
    in_turn: usize,
    logs: Vec<Log>,
    logs_dropped: usize,
}

/// The commands of the journal, in order: a replayed command takes its position from the recorded one, since looking at the
/// stack costs more than all the rest of a replayed step.
#[derive(Debug)]
pub struct Recorded {
    entries: Arc<Vec<Entry>>,
    entry: usize,
    command: usize,
    /// Look at the stack nevertheless: the journal's positions are not those of a code that does something else.
    locate: bool,
}

impl Recorded {
    pub fn new(entries: Arc<Vec<Entry>>, locate: bool) -> Self {
        Self { entries, entry: 0, command: 0, locate }
    }

    fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn next(&mut self) -> Option<&Command> {
        while self.entries.get(self.entry)?.commands.len() <= self.command {
            self.entry += 1;
            self.command = 0;
        }
        self.command += 1;
        self.entries.get(self.entry)?.commands.get(self.command - 1)
    }
}

impl RunState {
    /// Whether turns of the journal are being taken.
    pub fn is_replaying(&self) -> bool {
        self.kept.recorded.as_ref().is_some_and(|recorded| !recorded.is_empty())
    }

    /// A run before its first turn, whose journal is to be replayed.
    pub fn new(facts: Facts, recorded: Recorded) -> Self {
        Self::of(Kept {
            random: Random::of(&facts.uid),
            facts,
            tick: 0,
            next: 0,
            listening: Vec::new(),
            positions: None,
            recorded: Some(Box::new(recorded)),
        })
    }

    /// A run whose next turn begins.
    pub fn of(kept: Kept) -> Self {
        Self { at: kept.facts.started_at, kept, closed: false, issued: Vec::new(), in_turn: 0, logs: Vec::new(), logs_dropped: 0 }
    }

    /// Its turn is over: commands and logs are handed out.
    pub fn into_kept(self) -> Kept {
        debug_assert!(self.closed || self.issued.is_empty(), "commands that nobody has taken");
        let positions = self.kept.positions.filter(|positions| !positions.is_empty());
        Kept { positions, ..self.kept }
    }

    pub fn facts(&self) -> &Facts {
        &self.kept.facts
    }

    pub fn random(&mut self) -> &mut Random {
        &mut self.kept.random
    }

    /// Counts jobs and events: two pieces of code with equal ticks are one synchronous piece.
    pub fn tick(&self) -> u32 {
        self.kept.tick
    }

    /// A job or an event begins.
    pub fn count_tick(&mut self) {
        self.kept.tick += 1;
    }

    /// The replay is over, if there was one.
    pub fn end_replay(&mut self) {
        self.kept.recorded = None;
    }

    /// The code asks for signals of this name.
    pub fn listen(&mut self, name: String) {
        let names = &mut self.kept.listening;
        if let Err(place) = names.binary_search_by(|known| known.as_ref().cmp(name.as_str())) {
            names.insert(place, name.into());
        }
    }

    /// Names of signals that the code has asked for, in order.
    pub fn listening(&self) -> Vec<String> {
        self.kept.listening.iter().map(|name| String::from(name.as_ref())).collect()
    }

    fn put_position(&mut self, command: CommandNo, at: String) {
        self.kept.positions.get_or_insert_default().insert(command, at);
    }

    /// Where a command was asked for that pends no more.
    pub fn take_position(&mut self, command: CommandNo) -> Option<String> {
        self.kept.positions.as_mut()?.remove(&command)
    }

    /// A turn begins.
    pub fn begin_turn(&mut self, at: TimeMs) {
        self.at = at;
        self.in_turn = 0;
    }

    /// Whether a further command is within the turn's limit; counts it.
    pub fn admit_command(&mut self, max: usize) -> bool {
        self.in_turn += 1;
        self.in_turn <= max
    }

    /// The position of the next command: the recorded one in a replay, otherwise what `look` finds.
    pub fn position(&mut self, look: impl FnOnce() -> String) -> String {
        match &mut self.kept.recorded {
            // Past the journal's end: the rest of a turn that was committed in part.
            Some(recorded) if !recorded.locate => recorded.next().map_or_else(look, |command| command.position().to_owned()),
            _ => look(),
        }
    }

    pub fn schedule(&mut self, name: String, argument: Json, at: String) -> CommandNo {
        let n = self.number();
        self.put_position(n, at.clone());
        self.issued.push(Command::ScheduleActivity { n, name, argument, at });
        n
    }

    pub fn start_timer(&mut self, name: String, duration: DurationMs, at: String) -> CommandNo {
        let n = self.number();
        if name == "setInterval" {
            self.put_position(n, at.clone());
        }
        self.issued.push(Command::StartTimer { n, name, duration, at });
        n
    }

    pub fn cancel_timer(&mut self, timer: CommandNo, at: String) {
        let n = self.number();
        self.take_position(timer);
        self.issued.push(Command::CancelTimer { n, timer, at });
    }

    pub fn signal_run(&mut self, run: RunId, name: String, payload: Json, at: String) -> CommandNo {
        let n = self.number();
        self.put_position(n, at.clone());
        self.issued.push(Command::SignalRun { n, run, name, payload, at });
        n
    }

    /// The function returned.
    pub fn complete(&mut self, result: Json) {
        self.close(|n| Command::Complete { n, result });
    }

    /// The function threw.
    pub fn fail(&mut self, error: RunError) {
        self.close(|n| Command::Fail { n, error });
    }

    /// The function let the cancel's error pass.
    pub fn cancelled(&mut self, reason: String) {
        self.close(|n| Command::Cancel { n, reason });
    }

    fn close(&mut self, command: impl FnOnce(CommandNo) -> Command) {
        if !self.closed {
            self.closed = true;
            let n = self.number();
            self.issued.push(command(n));
        }
    }

    fn number(&mut self) -> CommandNo {
        self.kept.next += 1;
        self.kept.next - 1
    }

    /// Writes to the log of the turn; silent in a replay.
    pub fn log(&mut self, level: String, mut text: String) {
        if self.kept.recorded.is_some() {
            return;
        }
        if self.logs.len() >= limits::TURN_LOGS_MAX {
            self.logs_dropped += 1;
            return;
        }
        truncate(&mut text, limits::LOG_LINE_BYTES_MAX);
        self.logs.push(Log { level, text });
    }

    /// The lines of this turn; the last one says how many are missing.
    pub fn take_logs(&mut self) -> Vec<Log> {
        let mut logs = std::mem::take(&mut self.logs);
        let dropped = std::mem::take(&mut self.logs_dropped);
        if dropped > 0 {
            let text = format!("{dropped} further lines of this turn were dropped: a turn keeps {}", limits::TURN_LOGS_MAX);
            logs.push(Log { level: "warn".into(), text });
        }
        logs
    }

    /// Commands that nobody has taken.
    pub fn issued(&self) -> &[Command] {
        &self.issued
    }

    /// Takes the first `count` of them, or all.
    pub fn take_issued(&mut self, count: usize) -> Vec<Command> {
        let rest = self.issued.split_off(count.min(self.issued.len()));
        std::mem::replace(&mut self.issued, rest)
    }
}

/// Cuts a text to at most `max` bytes, at a character, with a mark where it was cut.
pub fn truncate(text: &mut String, max: usize) {
    const MARK: &str = "...";
    if text.len() > max {
        text.truncate(text.floor_char_boundary(max - MARK.len()));
        text.push_str(MARK);
    }
}
