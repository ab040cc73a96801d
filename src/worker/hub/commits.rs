//! What follows from a commit's answer: first what became of the items, then what was granted, then what waited for both.

use std::collections::HashMap;

use super::turns::{journal_full, read_events};
use super::{AttemptId, Hub, Over};
use crate::api::journal::Command;
use crate::api::worker::{ActivityWork, CommitAnswer, Item, ItemResult, Slots, TurnCommit, TurnWork};
use crate::api::{Json, RunKey, TimeMs};
use crate::worker::commit::{Pending, Then};
use crate::worker::send::INVALID;
use crate::worker::turn::{Source, TurnJob};

/// Names of `machine::commit::Refusal` that a worker does something about.
const TIME_AHEAD: &str = "TimeAhead";
const JOURNAL_FULL: &str = "JournalFull";

impl Hub {
    pub(super) fn committed(&mut self, batch: Vec<Pending>, answer: Result<CommitAnswer, Over>) {
        let mut answer = match answer {
            Ok(answer) => answer,
            Err(over) => return self.over(over),
        };
        let runs: Vec<RunKey> = batch.iter().map(|pending| pending.run().clone()).collect();
        let offers = batch.iter().map(Pending::offer).fold(Slots::default(), |sum, offer| Slots {
            turns: sum.turns.saturating_add(offer.turns),
            activities: sum.activities.saturating_add(offer.activities),
            fair: false,
        });
        self.slots.answered(offers, answer.turns.len(), answer.activities.len());
        self.pipeline.answered(runs.iter());
        name_attempts(&mut answer.activities, &batch);
        let mut turns: HashMap<RunKey, TurnWork> = answer.turns.into_iter().map(|work| (work.run.clone(), work)).collect();
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

    fn answered(&mut self, pending: Pending, result: ItemResult, now: TimeMs, turns: &mut HashMap<RunKey, TurnWork>) {
        if let Item::Activity { run, command, attempt, seq, .. } = &pending.item {
            self.ended.remove(&AttemptId { run: run.clone(), command: *command, attempt: *attempt, seq: *seq });
        }
        let turn = match pending.item {
            Item::Turn { turn, .. } => Some(turn),
            Item::Activity { turn, .. } => turn,
            _ => None,
        };
        match (pending.then, turn) {
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

    fn turn_answered(
        &mut self,
        mut job: Box<TurnJob>,
        turn: &TurnCommit,
        result: ItemResult,
        now: TimeMs,
        turns: &mut HashMap<RunKey, TurnWork>,
    ) {
        match result {
            ItemResult::Accepted | ItemResult::OutcomeOnly { .. } => {
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
                            self.parts.loops.evict(&job.uid);
                            self.take_turn(job, None);
                        }
                    }
                    Err(message) => self.block(job, crate::api::run::Blocked { reason: "UnknownEvent".to_owned(), message }),
                }
            }
            ItemResult::Refused { reason } if reason == JOURNAL_FULL && job.verdict.is_none() => {
                self.slots.take_turn();
                self.parts.loops.evict(&job.uid);
                job.fail(journal_full());
                self.commit_turn(job);
            }
            ItemResult::Refused { reason } | ItemResult::Unknown { detail: reason } => {
                tracing::debug!(run = %job.run, reason, "a turn was refused");
                if reason == TIME_AHEAD {
                    self.parts.clock.resync(now);
                    self.push_release(&job);
                } else if let Some(message) = reason.strip_prefix(INVALID) {
                    self.slots.take_turn();
                    let message = format!("the turn's commit was not taken: {message}");
                    self.block(job, crate::api::run::Blocked { reason: "CommitNotTaken".to_owned(), message });
                    return;
                }
                self.parts.loops.evict(&job.uid);
                self.turn_over(&job);
            }
        }
    }

    fn turn_accepted(&mut self, job: &TurnJob, turn: &TurnCommit) {
        let closed = turn.commands.last().is_some_and(Command::closes);
        self.runs.done(job);
        self.runs.accepted(job, closed);
        if closed {
            self.parts.loops.evict(&job.uid);
        }
    }

    /// The lease of a turn that goes on stays, or was granted anew with this answer.
    fn keep_lease(&mut self, job: &mut TurnJob, turns: &mut HashMap<RunKey, TurnWork>) {
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
                    self.parts.loops.evict(&job.uid);
                }
                self.turn_over(job);
            }
            ItemResult::MoreEvents { .. } | ItemResult::Unknown { .. } => {
                tracing::error!(run = %job.run, ?result, "an optimistic turn was answered as none can be");
                self.parts.loops.evict(&job.uid);
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
        if let Some(turn) = pending.turn() {
            turns.entry(pending.run()).or_default().push(turn);
        }
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
