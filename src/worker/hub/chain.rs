//! Steps that are done before the turn that asks for them is committed, and go with it in one item.
//!
//! A script that settles at once, where it is called, has asked nobody for anything: nobody can tell whether it ran before its lease
//! was on the disk or after. So its result, and the turn that follows, go with the turn that asks for it: a run of such steps costs one
//! commit, not one for each. Whoever could be harmed by it does without: a run whose turn workers have died in, a worker that is to
//! be drained or stops.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Hub;
use crate::api::journal::{Command, Event};
use crate::api::limits::ITEM_STEPS_MAX;
use crate::api::worker::{ActivityWork, AttemptOutcome, Item, ItemResult, StepCommit, TurnCommit};
use crate::api::{CommandNo, Definition, Json, TimeMs};
use crate::telemetry::crash::point;
use crate::worker::activities::{Alive, Task};
use crate::worker::commit::{Pending, Then, outcome_item};
use crate::worker::engine::{self, TurnOutcome};
use crate::worker::hub::commits::Granted;
use crate::worker::loops::Turned;
use crate::worker::turn::{Source, TurnJob, command_bytes, parts};

/// What was done waits no longer for what follows, and neither do other runs.
const WITHIN: Duration = Duration::from_millis(5);
/// Nor is it more than this, in bytes.
const BYTES_MAX: usize = 256 << 10;

/// A turn that is not committed yet, and the steps that were done after it.
#[derive(Debug)]
pub(in crate::worker) struct Chain {
    /// The turn's job.
    first: Box<TurnJob>,
    turn: TurnCommit,
    steps: Vec<StepCommit>,
    /// The activity whose turn is being taken, and what it came to.
    last: (CommandNo, Json),
    began: Instant,
    bytes: usize,
}

impl Hub {
    /// A turn was taken whose commit may go: with what can be done at once after it, or alone.
    pub(super) fn turn_taken(&mut self, mut job: Box<TurnJob>) {
        let is_plain = job.parts.len() == 1 && job.deaths == 0 && job.strikes == 0 && job.verdict.is_none();
        let next = if is_plain { job.parts.front().and_then(|part| self.at_once(&job, &part.commands)) } else { None };
        let Some((last, definition)) = next else { return self.commit_turn(job) };
        let Some(turn) = job.next_commit(engine::ENGINE_NAME, engine::FLAGS) else { return };
        let tip = job.follow(&turn, event(&last));
        let bytes = last.1.get().len();
        let chain = Chain { first: job, turn, steps: Vec::new(), last, began: Instant::now(), bytes };
        self.loops.turn_next(Box::new(tip), definition, chain);
    }

    /// The turn after a step was taken, or not.
    pub(super) fn step_taken(&mut self, mut tip: Box<TurnJob>, mut chain: Chain, turned: Turned) {
        let Turned::Outcome(TurnOutcome::Done(output)) = turned else { return self.chain_breaks(tip, chain) };
        tip.parts = parts(output);
        let (1, Some(turn)) = (tip.parts.len(), tip.next_commit(engine::ENGINE_NAME, engine::FLAGS)) else {
            return self.chain_breaks(tip, chain);
        };
        chain.bytes += turn.commands.iter().map(command_bytes).sum::<usize>();
        let goes_on = chain.steps.len() + 1 < ITEM_STEPS_MAX && chain.bytes < BYTES_MAX && chain.began.elapsed() < WITHIN;
        let next = if goes_on { self.at_once(&tip, &turn.commands) } else { None };
        let (command, result) = chain.last.clone();
        let after = next.as_ref().map(|(last, _)| tip.follow(&turn, event(last)));
        tip.committed(&turn);
        chain.steps.push(StepCommit { command, result, turn });
        match (next, after) {
            (Some((last, definition)), Some(after)) => {
                chain.bytes += last.1.get().len();
                chain.last = last;
                self.loops.turn_next(Box::new(after), definition, chain);
            }
            _ => self.commit_chain(chain),
        }
    }

    /// The next turn cannot be taken like this: what was done before it goes, and the step will be done again when it is granted.
    fn chain_breaks(&mut self, tip: Box<TurnJob>, chain: Chain) {
        self.loops.evict(&tip.uid);
        self.commit_chain(chain);
    }

    /// What the one activity of a turn comes to, when it is a script that settles at once and may be done before it is granted.
    fn at_once(&mut self, job: &TurnJob, commands: &[Command]) -> Option<((CommandNo, Json), Arc<Definition>)> {
        let [Command::ScheduleActivity { n, name, argument, .. }] = commands else { return None };
        if self.handing_back || !self.slots.are_open() {
            return None;
        }
        let definition = self.parts.definitions.get(&job.version)?;
        let timeout = definition.activities.get(name)?.start_to_close().to_std();
        let now = self.parts.clock.now();
        let work = ActivityWork {
            run: job.run.clone(),
            uid: job.uid.clone(),
            workflow: job.workflow.clone(),
            version: job.version.clone(),
            command: *n,
            attempt: 1,
            seq: 0,
            scheduled_at: now,
            started_at: now,
            timeout_ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
            name: Some(name.clone()),
            argument: Some(Json::clone(argument)),
        };
        let task = Task { work, definition: definition.clone(), until: Instant::now() + timeout, alive: Alive(Arc::new(|| {})) };
        match self.at_once.as_mut()?.attempt(&task)? {
            AttemptOutcome::Completed { result } => Some(((*n, result), definition)),
            // Whether it is tried again is not decided here.
            AttemptOutcome::Failed { .. } => None,
        }
    }

    fn commit_chain(&mut self, chain: Chain) {
        point("worker.steps-done");
        let Chain { first, turn, steps, .. } = chain;
        let last = steps.last().map_or(&turn, |step| &step.turn);
        // Those in between need a slot as well.
        let schedules = self.schedules(&first, last).max(1);
        let (item, then) = match &first.source {
            Source::Lease(seq) => {
                let offer = self.slots.offer_for_turn(schedules, false);
                (Item::Turn { run: first.run.clone(), seq: *seq, turn, steps, offer }, Then::Turn(first))
            }
            Source::Attempt(ended) => {
                let offer = self.slots.offer_for_activity(schedules);
                (outcome_item(ended, Some(turn), steps, offer), Then::Optimistic(first))
            }
            Source::Step => return,
        };
        self.pipeline.push(Pending { item, then });
    }

    /// An item with steps was answered. `first` is the job of its first turn.
    pub(super) fn chain_answered(
        &mut self,
        mut first: Box<TurnJob>,
        (turn, steps): (TurnCommit, Vec<StepCommit>),
        result: ItemResult,
        now: TimeMs,
        turns: &mut Granted,
    ) {
        let taken = match result {
            ItemResult::Advanced { steps } => steps as usize,
            // A service that knows no steps.
            ItemResult::Accepted => 0,
            other if first.is_optimistic() => return self.optimistic_answered(&mut first, &turn, &other, now),
            other => return self.turn_answered(first, &turn, other, now, turns),
        };
        let is_whole = taken == steps.len();
        first.committed(&turn);
        let mut last = turn;
        for step in steps.into_iter().take(taken) {
            first.committed(&step.turn);
            first.at = step.turn.at;
            last = step.turn;
        }
        self.turn_accepted(&first, &last);
        if !is_whole {
            // It stands behind what was taken.
            self.loops.evict(&first.uid);
            self.runs.forget_context(&first);
        }
    }
}

fn event((command, result): &(CommandNo, Json)) -> Event {
    Event::ActivityCompleted { command: *command, attempt: 1, result: result.clone() }
}
