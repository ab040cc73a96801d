//! One turn on its way: from the lease or the finished attempt that it follows from, through the engine, to the commits.
//! Pure: nothing here waits or sends.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::api::journal::{Birth, Command, Event, Log};
use crate::api::limits::{COMMIT_BYTES_MAX, COMMIT_COMMANDS_MAX};
use crate::api::worker::{ActivityWork, AttemptOutcome, TurnCommit, TurnWork};
use crate::api::{CommandNo, Definition, Entry, Head, Name, RunError, RunKey, Seq, TimeMs, Uid, Version};
use crate::worker::engine::{TurnInput, TurnOutput};

/// What a turn follows from.
#[derive(Debug)]
pub(super) enum Source {
    /// A lease, which stands under the number of the request that it was granted to.
    Lease(Seq),
    /// An attempt that has ended here: the turn is committed together with its outcome.
    Attempt(Box<Ended>),
    /// A step that was done at once: the turn goes in the item of the one before.
    Step,
}

/// An attempt that has ended and is not committed.
#[derive(Debug)]
pub(super) struct Ended {
    /// What it was.
    pub(super) work: ActivityWork,
    /// The activity.
    pub(super) name: String,
    /// What it came to.
    pub(super) outcome: AttemptOutcome,
}

/// One turn. It moves with each accepted part: base, number, next command and events are those of what is still to do.
#[derive(Debug)]
pub(super) struct TurnJob {
    /// The session's number in this process: what belongs to an earlier one is void.
    pub(super) generation: u64,
    pub(super) run: RunKey,
    pub(super) uid: Uid,
    pub(super) workflow: Name,
    pub(super) version: Version,
    /// The head that it is computed from.
    pub(super) base: Head,
    /// The head that its last part makes.
    pub(super) id: Head,
    pub(super) number: u32,
    pub(super) next_command: CommandNo,
    /// The time of the turn before; then its own.
    pub(super) at: TimeMs,
    pub(super) events: Vec<Event>,
    /// How many of the events came out of the mailbox.
    pub(super) consumed: u32,
    pub(super) source: Source,
    /// Of a closing turn that was shown more events: how many there were in all, the first time.
    pub(super) seen: u32,
    /// Deaths of workers that had the run's turn, since its last commit.
    pub(super) deaths: u32,
    /// Times that it exceeded a limit, that the engine broke, or that a process of its own died.
    pub(super) strikes: u8,
    /// The run fails with this instead of running: a limit was exceeded twice, the journal is full.
    pub(super) verdict: Option<RunError>,
    /// Parts that are not committed yet.
    pub(super) parts: VecDeque<Part>,
}

/// What one commit takes of a turn.
#[derive(Debug, PartialEq)]
pub(super) struct Part {
    pub(super) commands: Vec<Command>,
    pub(super) logs: Vec<Log>,
}

/// A random head.
pub(super) fn new_head() -> Head {
    Head(rand::random())
}

impl TurnJob {
    /// A leased turn; the events are read already.
    pub(super) fn leased(generation: u64, work: TurnWork, events: Vec<Event>) -> Self {
        Self {
            generation,
            run: work.run,
            uid: work.uid,
            workflow: work.workflow,
            version: work.version,
            base: work.head,
            id: new_head(),
            number: work.number,
            next_command: work.next_command,
            at: work.at,
            consumed: u32::try_from(events.len()).unwrap_or(u32::MAX),
            events,
            source: Source::Lease(work.seq),
            seen: 0,
            deaths: work.deaths,
            strikes: 0,
            verdict: None,
            parts: VecDeque::new(),
        }
    }

    /// The turn that follows this one, which is not committed yet, from one event.
    pub(super) fn follow(&self, turn: &TurnCommit, event: Event) -> Self {
        Self {
            generation: self.generation,
            run: self.run.clone(),
            uid: self.uid.clone(),
            workflow: self.workflow.clone(),
            version: self.version.clone(),
            base: turn.id,
            id: new_head(),
            number: turn.number + 1,
            next_command: turn.next_command,
            at: turn.at,
            events: vec![event],
            consumed: 0,
            source: Source::Step,
            seen: 0,
            deaths: 0,
            strikes: 0,
            verdict: None,
            parts: VecDeque::new(),
        }
    }

    /// It is committed with an attempt's outcome.
    pub(super) fn is_optimistic(&self) -> bool {
        matches!(self.source, Source::Attempt(_))
    }

    /// What the engine gets. Without a journal it answers from memory or not at all.
    pub(super) fn input(&self, definition: Arc<Definition>, journal: Option<Arc<Vec<Entry>>>, at: TimeMs) -> TurnInput {
        TurnInput {
            run: self.run.clone(),
            uid: self.uid.clone(),
            workflow: self.workflow.to_string(),
            version: self.version.clone(),
            definition,
            base: self.base,
            turn: self.id,
            number: self.number,
            at,
            journal: if self.number == 0 { Some(Arc::default()) } else { journal },
            events: self.events.clone(),
        }
    }

    /// More mail waits before the closing turn: it is taken again, from the base, with that too. `mail`: how much there is in all.
    pub(super) fn add_events(&mut self, events: Vec<Event>, mail: u32) {
        self.consumed = self.consumed.saturating_add(u32::try_from(events.len()).unwrap_or(u32::MAX));
        self.events.extend(events);
        if self.seen == 0 {
            self.seen = mail;
        }
        self.id = new_head();
        self.parts.clear();
    }

    /// The turn is nothing but the end of the run.
    pub(super) fn fail(&mut self, error: RunError) {
        self.id = new_head();
        let commands = vec![Command::Fail { n: self.next_command, error: error.clone() }];
        self.parts = VecDeque::from([Part { commands, logs: Vec::new() }]);
        self.verdict = Some(error);
    }

    /// The next commit, or `None` when all parts are committed. Takes the part out.
    pub(super) fn next_commit(&mut self, engine: &str, flags: &[u32]) -> Option<TurnCommit> {
        let part = self.parts.pop_front()?;
        let continued = !self.parts.is_empty();
        let birth = (self.number == 0).then(|| Birth {
            uid: self.uid.clone(),
            workflow: self.workflow.to_string(),
            version: self.version.clone(),
            engine: engine.to_owned(),
            flags: flags.to_vec(),
        });
        let count = CommandNo::try_from(part.commands.len()).unwrap_or(CommandNo::MAX);
        Some(TurnCommit {
            base: self.base,
            id: if continued { new_head() } else { self.id },
            number: self.number,
            version: self.version.clone(),
            at: self.at,
            consumed: self.consumed,
            next_command: self.next_command.saturating_add(count),
            birth,
            commands: part.commands,
            logs: part.logs,
            continued,
            seen: self.seen,
        })
    }

    /// A commit of this turn was accepted: what is left begins after it.
    pub(super) fn committed(&mut self, commit: &TurnCommit) {
        self.base = commit.id;
        self.number = commit.number + 1;
        self.next_command = commit.next_command;
        self.events.clear();
        self.consumed = 0;
    }
}

/// Cuts a turn into what fits in one commit each; one part at least. What the code said goes with the first.
pub(super) fn parts(output: TurnOutput) -> VecDeque<Part> {
    let mut parts = VecDeque::new();
    let mut bytes = log_bytes(&output.logs);
    let mut part = Part { commands: Vec::new(), logs: output.logs };
    for command in output.commands {
        let size = command_bytes(&command);
        if part.commands.len() == COMMIT_COMMANDS_MAX || (!part.commands.is_empty() && bytes + size > COMMIT_BYTES_MAX) {
            let next = Part { commands: Vec::new(), logs: Vec::new() };
            parts.push_back(std::mem::replace(&mut part, next));
            bytes = 0;
        }
        bytes += size;
        part.commands.push(command);
    }
    parts.push_back(part);
    parts
}

/// About how many bytes lines have in the journal.
fn log_bytes(logs: &[Log]) -> usize {
    logs.iter().map(|log| log.text.len() + 32).sum()
}

/// About how many bytes a turn has in the journal.
pub(super) fn turn_bytes(turn: &TurnCommit) -> usize {
    log_bytes(&turn.logs) + turn.commands.iter().map(command_bytes).sum::<usize>()
}

/// About how many bytes it has in the journal.
fn command_bytes(command: &Command) -> usize {
    const FRAME: usize = 96;
    FRAME
        + match command {
            Command::ScheduleActivity { name, argument, at, .. } => name.len() + argument.get().len() + at.len(),
            Command::StartTimer { name, at, .. } => name.len() + at.len(),
            Command::CancelTimer { at, .. } => at.len(),
            Command::SignalRun { run, name, payload, at, .. } => run.as_str().len() + name.len() + payload.get().len() + at.len(),
            Command::Complete { result, .. } => result.get().len(),
            Command::Fail { error, .. } => error_bytes(error),
            Command::Cancel { reason, .. } => reason.len(),
        }
}

fn error_bytes(error: &RunError) -> usize {
    let details = error.details.as_ref().map_or(0, |d| d.get().len());
    error.kind.len() + error.message.len() + error.stack.len() + details + error.cause.as_ref().map_or(0, |c| error_bytes(c))
}

/// The event that a completed attempt becomes, or `None` when the service has to decide what its outcome means.
pub(super) fn completed_event(work: &ActivityWork, outcome: &AttemptOutcome) -> Option<Event> {
    match outcome {
        AttemptOutcome::Completed { result } => {
            Some(Event::ActivityCompleted { command: work.command, attempt: work.attempt, result: result.clone() })
        }
        AttemptOutcome::Failed { .. } => None,
    }
}

/// Turns for tests.
#[cfg(test)]
pub(super) mod samples {
    use super::*;
    use crate::api::Json;

    /// A run's first turn, leased, with this input.
    pub(in crate::worker) fn first(input: Json) -> TurnJob {
        let work = TurnWork {
            run: "default/r".parse().unwrap(),
            uid: "018bcfe5-6800-7000-8000-000000000000".parse().unwrap(),
            workflow: "w".parse().unwrap(),
            version: "a".repeat(64).parse().unwrap(),
            head: Head(1),
            seq: 4,
            number: 0,
            next_command: 0,
            at: TimeMs(9),
            started_at: TimeMs(9),
            deaths: 0,
            events: vec![],
        };
        TurnJob::leased(0, work, vec![Event::Started { input }])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Json;

    fn schedule(n: CommandNo, bytes: usize) -> Command {
        let argument = Json::of(&"x".repeat(bytes));
        Command::ScheduleActivity { n, name: "a".into(), argument, at: String::new() }
    }

    fn output(commands: Vec<Command>) -> TurnOutput {
        TurnOutput { commands, ..TurnOutput::default() }
    }

    fn job() -> TurnJob {
        samples::first(Json::null())
    }

    #[test]
    fn a_long_turn_is_committed_in_parts_that_are_chained_by_their_heads() {
        let mut job = job();
        job.parts = parts(output((0..2_500).map(|n| schedule(n, 1)).collect()));
        let id = job.id;
        let mut commits = Vec::new();
        while let Some(commit) = job.next_commit("e", &[]) {
            job.committed(&commit);
            commits.push(commit);
        }
        let sizes: Vec<_> = commits.iter().map(|c| (c.number, c.commands.len(), c.consumed, c.continued, c.next_command)).collect();
        assert_eq!(sizes, [(0, 1_000, 1, true, 1_000), (1, 1_000, 0, true, 2_000), (2, 500, 0, false, 2_500)]);
        assert!(commits.windows(2).all(|pair| pair[0].id == pair[1].base));
        assert_eq!((commits[0].base, commits[2].id), (Head(1), id), "the context stands at the last part's head");
        assert_eq!(commits.iter().map(|c| c.birth.is_some()).collect::<Vec<_>>(), [true, false, false]);
    }

    #[test]
    fn parts_are_bounded_in_bytes_and_an_empty_turn_is_one_part() {
        let million = 1_000_000;
        let cut = parts(output((0..5).map(|n| schedule(n, million)).collect()));
        assert_eq!(cut.iter().map(|p| p.commands.len()).collect::<Vec<_>>(), [4, 1]);
        assert_eq!(parts(output(vec![])).len(), 1);
    }

    #[test]
    fn a_turn_taken_again_with_more_mail_has_a_new_head_and_remembers_how_much_it_must_see() {
        let mut job = job();
        let id = job.id;
        job.add_events(vec![Event::TimerFired { command: 0 }], 3);
        assert_eq!((job.consumed, job.events.len(), job.seen), (2, 2, 3));
        assert_ne!(job.id, id);
        job.add_events(vec![Event::TimerFired { command: 1 }], 9);
        assert_eq!((job.consumed, job.seen), (3, 3));
    }
}
