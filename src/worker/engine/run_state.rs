//! What the engine knows of one run outside of its realm: its commands, its time, its randomness.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::api::ids::RunKey;
use crate::api::journal::{Command, Entry, Log};
use crate::api::{CommandNo, DurationMs, Json, RunError, RunId, TimeMs, Uid, Version, limits};

use super::random::Random;

/// What the code may know of its run.
#[derive(Debug, Clone)]
pub struct Facts {
    pub key: RunKey,
    pub uid: Uid,
    pub workflow: String,
    pub version: Version,
    pub started_at: TimeMs,
}

/// One run.
#[derive(Debug)]
pub struct RunState {
    pub facts: Facts,
    /// The time inside of the turn.
    pub at: TimeMs,
    pub random: Random,
    /// Counts jobs and events: two pieces of code with equal ticks are one synchronous piece.
    pub tick: u32,
    /// The function has ended; nothing that comes after it counts.
    pub closed: bool,
    /// Names of signals that the code has asked for.
    pub listening: BTreeSet<String>,
    /// Where pending activities and timers were asked for: an activity's error names it, an interval's next timer inherits it.
    pub positions: HashMap<CommandNo, String>,
    /// `Some` while the journal is replayed.
    pub recorded: Option<Recorded>,
    /// Commands issued and not yet handed out or compared.
    issued: Vec<Command>,
    next: CommandNo,
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
        self.recorded.as_ref().is_some_and(|recorded| !recorded.is_empty())
    }

    pub fn new(facts: Facts) -> Self {
        Self {
            at: facts.started_at,
            random: Random::of(&facts.uid),
            facts,
            tick: 0,
            closed: false,
            listening: BTreeSet::new(),
            positions: HashMap::new(),
            recorded: None,
            issued: Vec::new(),
            next: 0,
            in_turn: 0,
            logs: Vec::new(),
            logs_dropped: 0,
        }
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
        match &mut self.recorded {
            // Past the journal's end: the rest of a turn that was committed in part.
            Some(recorded) if !recorded.locate => recorded.next().map_or_else(look, |command| command.position().to_owned()),
            _ => look(),
        }
    }

    pub fn schedule(&mut self, name: String, argument: Json, at: String) -> CommandNo {
        let n = self.number();
        self.positions.insert(n, at.clone());
        self.issued.push(Command::ScheduleActivity { n, name, argument, at });
        n
    }

    pub fn start_timer(&mut self, name: String, duration: DurationMs, at: String) -> CommandNo {
        let n = self.number();
        if name == "setInterval" {
            self.positions.insert(n, at.clone());
        }
        self.issued.push(Command::StartTimer { n, name, duration, at });
        n
    }

    pub fn cancel_timer(&mut self, timer: CommandNo, at: String) {
        let n = self.number();
        self.positions.remove(&timer);
        self.issued.push(Command::CancelTimer { n, timer, at });
    }

    pub fn signal_run(&mut self, run: RunId, name: String, payload: Json, at: String) -> CommandNo {
        let n = self.number();
        self.positions.insert(n, at.clone());
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
        self.next += 1;
        self.next - 1
    }

    /// Writes to the log of the turn; silent in a replay.
    pub fn log(&mut self, level: String, mut text: String) {
        if self.recorded.is_some() {
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
