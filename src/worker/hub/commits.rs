//! What follows from a commit's answer: first what became of the items, then what was granted, then what waited for both.

use std::collections::{HashMap, HashSet};

use super::turns::{journal_full, read_events};
use super::{AttemptId, Hub, Over};
use crate::api::journal::Command;
use crate::api::worker::{ActivityWork, CommitAnswer, INVALID, Item, ItemResult, Slots, StepCommit, TurnCommit, TurnWork};
use crate::api::{Json, RunKey, TimeMs};
use crate::worker::backoff::Backoff;
use crate::worker::commit::{Pending, Then};
use crate::worker::send::{Handed, Line};
use crate::worker::turn::{Source, TurnJob};

/// Names of `machine::commit::Refusal` that a worker does something about.
const TIME_AHEAD: &str = "TimeAhead";
const JOURNAL_FULL: &str = "JournalFull";
/// Those that say that the turn lease is gone. After any other the store has it still.
const LEASE_GONE: [&str; 5] = ["NotFound", "Closed", "Blocked", "HeadMoved", "LeaseLost"];

/// Turns that an answer granted, by run.
type Granted = HashMap<RunKey, TurnWork>;

/// What a commit's answer says of some of its items.
#[derive(Debug)]
pub(in crate::worker) struct Answered {
    batch: Vec<Pending>,
    /// A result for each of them, none `Unknown`, and what was granted.
    answer: CommitAnswer,
    /// Runs of which the request has no item left.
    runs: Vec<RunKey>,
    /// The request was never answered before.
    first: bool,
}

/// Sends a batch until all of its items are answered, and tells what is known as soon as it is: an item that stays unknown must
/// not hold up the others.
pub(super) async fn send(line: &Line, mut batch: Vec<Pending>, mut tell: impl FnMut(Answered)) -> Result<(), Over> {
    let request = line.requests.next();
    let (mut backoff, mut handed) = (Backoff::default(), Handed::default());
    let (mut repeated, mut first) = (false, true);
    loop {
        let items: Vec<_> = batch.iter().map(|pending| &pending.item).collect();
        let (mut answer, again) = line.commit(&request, &items).await?;
        repeated |= again || !first;
        let results = std::mem::take(&mut answer.results);
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        for (pending, result) in batch.into_iter().zip(results) {
            if matches!(result, ItemResult::Unknown { .. }) {
                unknown.push(pending);
            } else {
                known.push(pending);
                answer.results.push(result);
            }
        }
        if unknown.is_empty() && repeated {
            let rest = line.granted_to(&request).await?;
            answer.turns.extend(rest.turns);
            answer.activities.extend(rest.activities);
        }
        handed.only_new(&mut answer.turns, &mut answer.activities);
        let left: HashSet<_> = unknown.iter().map(Pending::run).collect();
        let runs = known.iter().map(Pending::run).filter(|run| !left.contains(run)).cloned().collect();
        let is_last = left.is_empty();
        tell(Answered { batch: known, answer, runs, first });
        if is_last {
            return Ok(());
        }
        first = false;
        batch = unknown;
        tokio::time::sleep(backoff.next()).await;
    }
}

impl Hub {
    pub(super) fn committed(&mut self, answered: Answered) {
        let Answered { batch, mut answer, runs, first } = answered;
        let offers = batch.iter().map(Pending::offer).fold(Slots::default(), |sum, offer| Slots {
            turns: sum.turns.saturating_add(offer.turns),
            activities: sum.activities.saturating_add(offer.activities),
            fair: false,
        });
        self.slots.answered(offers, answer.turns.len(), answer.activities.len());
        if first {
            self.pipeline.request_answered();
        }
        self.pipeline.answered(runs.iter());
        name_attempts(&mut answer.activities, &batch);
        let mut turns: Granted = answer.turns.into_iter().map(|work| (work.run.clone(), work)).collect();
        for (pending, result) in batch.into_iter().zip(answer.results) {
            self.answered(pending, result, answer.now, &mut turns);
        }
        for work in turns.into_values() {
            self.turn_granted(work);
        }
        for work in answer.activities {
            self.attempt_granted(work);
        }
        for run in &runs {
            self.unpark(run);
        }
    }

    fn answered(&mut self, pending: Pending, result: ItemResult, now: TimeMs, turns: &mut Granted) {
        if let Item::Activity { run, command, attempt, seq, .. } = &pending.item {
            self.ended.remove(&AttemptId { run: run.clone(), command: *command, attempt: *attempt, seq: *seq });
        }
        if let (Item::Heartbeat { run, command, attempt, seq }, ItemResult::Refused { .. }) = (&pending.item, &result) {
            let id = AttemptId { run: run.clone(), command: *command, attempt: *attempt, seq: *seq };
            return self.attempt_given_up(&id);
        }
        let (turn, steps) = match pending.item {
            Item::Turn { turn, steps, .. } => (Some(turn), steps),
            Item::Activity { turn, steps, .. } => (turn, steps),
            _ => (None, Vec::new()),
        };
        match (pending.then, turn) {
            (Then::Turn(job) | Then::Optimistic(job), Some(turn)) if !steps.is_empty() => {
                self.steps_answered(job, (turn, steps), result, now, turns);
            }
            (Then::Turn(job), Some(turn)) => self.turn_answered(job, &turn, result, now, turns),
            (Then::Optimistic(mut job), Some(turn)) => self.optimistic_answered(&mut job, &turn, &result, now),
            (_, _) => {
                if let ItemResult::Refused { reason } = result {
                    if reason.starts_with(INVALID) {
                        tracing::error!(reason, "an item was not taken");
                    } else {
                        tracing::debug!(reason, "an item was refused");
                    }
                }
            }
        }
    }

    /// An item with steps was answered. `first` is the job of its first turn.
    fn steps_answered(
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
        if is_whole {
            return;
        }
        if !turns.contains_key(&first.run) {
            // Not because of mail: the next one would be in vain, too.
            self.loops.ahead().in_vain();
        }
        // A leased turn that has come meanwhile has a context of its own making.
        if self.runs.get(&first.run, &first.uid).is_none_or(|run| run.lease.is_none()) {
            self.loops.evict(&first.uid);
            self.runs.forget_context(&first);
        }
    }

    fn turn_answered(&mut self, mut job: Box<TurnJob>, turn: &TurnCommit, result: ItemResult, now: TimeMs, turns: &mut Granted) {
        match result {
            ItemResult::Accepted | ItemResult::Advanced { .. } | ItemResult::OutcomeOnly { .. } => {
                job.committed(turn);
                if job.parts.is_empty() {
                    self.turn_accepted(&job, turn);
                } else {
                    self.keep_lease(&mut job, turns);
                    self.commit_turn(job);
                }
            }
            ItemResult::MoreEvents { events, mail } => {
                self.slots.take_turn();
                match read_events(&events) {
                    Ok(events) => {
                        job.add_events(events, mail);
                        if let Some(error) = job.verdict.clone() {
                            job.fail(error);
                            self.commit_turn(job);
                        } else {
                            self.loops.evict(&job.uid);
                            self.take_turn(job, None);
                        }
                    }
                    Err(message) => {
                        self.block(job, crate::api::run::Blocked { reason: "UnknownEvent".to_owned(), message, holders: Vec::new() });
                    }
                }
            }
            ItemResult::Refused { reason } if reason == JOURNAL_FULL && job.verdict.is_none() => {
                self.hold_slot(turn);
                self.loops.evict(&job.uid);
                job.fail(journal_full());
                self.commit_turn(job);
            }
            ItemResult::Refused { reason } | ItemResult::Unknown { detail: reason } => {
                tracing::debug!(run = %job.run, reason, "a turn was refused");
                self.hold_slot(turn);
                if let Some(message) = reason.strip_prefix(INVALID) {
                    let message = format!("the turn's commit was not taken: {message}");
                    self.block(job, crate::api::run::Blocked { reason: "CommitNotTaken".to_owned(), message, holders: Vec::new() });
                    return;
                }
                if reason == TIME_AHEAD {
                    self.parts.clock.resync(now);
                }
                if !LEASE_GONE.contains(&reason.as_str()) {
                    self.push_release(&job);
                }
                self.slots.release_turn();
                self.loops.evict(&job.uid);
                self.turn_over(&job);
            }
        }
    }

    /// The slot of a refused turn is held on: its commit was counted as freeing it, unless more of the turn was to follow.
    fn hold_slot(&mut self, turn: &TurnCommit) {
        if !turn.continued {
            self.slots.take_turn();
        }
    }

    fn turn_accepted(&mut self, job: &TurnJob, turn: &TurnCommit) {
        let closed = turn.commands.last().is_some_and(Command::closes);
        self.runs.done(job);
        self.runs.accepted(job, closed);
        if closed {
            self.loops.evict(&job.uid);
        }
    }

    /// The lease of a turn that goes on stays, or was granted anew with this answer.
    fn keep_lease(&mut self, job: &mut TurnJob, turns: &mut Granted) {
        if let Some(work) = turns.get(&job.run)
            && work.head == job.base
        {
            // Its slot was kept, so the granted one is counted twice.
            self.slots.release_turn();
            job.source = Source::Lease(work.seq);
            if let Some(run) = self.runs.get(&job.run, &job.uid) {
                run.lease = Some(work.seq);
            }
            turns.remove(&job.run);
        }
    }

    fn optimistic_answered(&mut self, job: &mut TurnJob, turn: &TurnCommit, result: &ItemResult, now: TimeMs) {
        match result {
            ItemResult::Accepted => {
                job.committed(turn);
                self.turn_accepted(job, turn);
            }
            ItemResult::OutcomeOnly { reason } | ItemResult::Refused { reason } => {
                tracing::debug!(run = %job.run, reason, "an optimistic turn was refused");
                if reason == TIME_AHEAD {
                    self.parts.clock.resync(now);
                }
                // A leased turn that is on its way meanwhile has a context of its own making.
                if self.runs.get(&job.run, &job.uid).is_none_or(|run| run.lease.is_none()) {
                    self.loops.evict(&job.uid);
                }
                self.turn_over(job);
            }
            ItemResult::Advanced { .. } | ItemResult::MoreEvents { .. } | ItemResult::Unknown { .. } => {
                tracing::error!(run = %job.run, ?result, "an optimistic turn was answered as none can be");
                self.loops.evict(&job.uid);
                self.turn_over(job);
            }
        }
    }
}

/// Fills in what the answer leaves out: the names and arguments that these very items brought.
fn name_attempts(attempts: &mut [ActivityWork], batch: &[Pending]) {
    if attempts.iter().all(|work| work.name.is_some()) {
        return;
    }
    let mut turns: HashMap<&RunKey, Vec<&TurnCommit>> = HashMap::new();
    for pending in batch {
        turns.entry(pending.run()).or_default().extend(pending.turns());
    }
    for work in attempts.iter_mut().filter(|work| work.name.is_none()) {
        let commands = turns.get(&work.run).into_iter().flatten().filter_map(|turn| find(turn, work.command));
        for command in commands {
            if let Command::ScheduleActivity { name, argument, .. } = command {
                work.name = Some(name.clone());
                work.argument = Some(Json::clone(argument));
            }
        }
    }
}

/// Commands are numbered in order, without gaps.
fn find(turn: &TurnCommit, number: u32) -> Option<&Command> {
    let first = turn.commands.first()?.number();
    turn.commands.get(number.checked_sub(first)? as usize)
}
