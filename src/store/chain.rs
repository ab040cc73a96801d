//! Several turns of a run in one operation: a turn or an outcome, and what its session has done at once with what that granted it.
//!
//! A step is the outcome of the one activity that the turn before asked for, with the turn that follows. Whoever performs an activity
//! before its lease is durable may do so only when nobody can see it: a script that waits for nothing and asks for nothing.
//! A chain comes to the same as its links one after the other, up to the first that is not taken: every prefix of it is a valid state.

use super::op::{Commit, Committed, Finish, Finished, Grants, Offer, Outcome, Turn};
use crate::api::{CommandNo, RunKey, TimeMs};
use crate::machine::commit::AttemptClaim;

/// See [`super::Store::chain`].
#[derive(Debug, Clone)]
pub struct Chain {
    /// What it begins with; its offer and its time are those of all steps.
    pub first: First,
    /// What was done after it.
    pub steps: Vec<Step>,
}

/// What a chain begins with.
#[derive(Debug, Clone)]
pub enum First {
    /// A turn under a lease.
    Commit(Commit),
    /// An outcome with its optimistic turn.
    Finish(Finish),
}

/// An activity that was performed at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Its `ScheduleActivity`, the only one of the turn before.
    pub command: CommandNo,
    /// `ActivityCompleted`, as JSON text.
    pub event: String,
    /// The optimistic turn that follows.
    pub turn: Turn,
}

/// The answer to a chain.
#[derive(Debug, Clone, PartialEq)]
pub struct Chained {
    /// What became of the first. What is granted in it, and its time, are those of the last link that was taken.
    pub first: FirstAnswer,
    /// So many steps were taken. The outcome of the next one may count all the same: its event is in the mailbox then.
    pub taken: usize,
}

/// What became of a chain's first.
#[derive(Debug, Clone, PartialEq)]
pub enum FirstAnswer {
    /// Of a turn under a lease.
    Committed(Committed),
    /// Of an outcome.
    Finished(Finished),
}

impl Chain {
    /// The run.
    #[must_use]
    pub fn run(&self) -> &RunKey {
        match &self.first {
            First::Commit(commit) => &commit.run,
            First::Finish(finish) => &finish.run,
        }
    }

    fn offer(&self) -> Option<&Offer> {
        match &self.first {
            First::Commit(commit) => commit.offer.as_ref(),
            First::Finish(finish) => finish.offer.as_ref(),
        }
    }

    fn now(&self) -> TimeMs {
        match &self.first {
            First::Commit(commit) => commit.now,
            First::Finish(finish) => finish.now,
        }
    }

    /// How many steps were taken before, when the run's head is that of a step: then this is a repeat.
    #[must_use]
    pub fn taken_before(&self, head: &str) -> Option<usize> {
        self.steps.iter().position(|step| step.turn.id.to_string() == head).map(|place| place + 1)
    }

    /// The answer before anything was done, when so many steps were taken before.
    #[must_use]
    pub fn repeated(&self, taken: usize) -> Chained {
        let (grants, at) = (Grants::default(), self.now());
        let first = match &self.first {
            First::Commit(_) => FirstAnswer::Committed(Committed::Accepted { grants, at }),
            First::Finish(_) => FirstAnswer::Finished(Finished::Accepted { turn: Some(Ok(())), grants, at }),
        };
        Chained { first, taken }
    }

    /// The last step that was taken, once more: it answers what is still leased of what it granted.
    #[must_use]
    pub fn again(&self, chained: &Chained) -> Option<Finish> {
        self.link(chained.taken.checked_sub(1)?)
    }

    /// The next step, when the link before it was taken and has granted its attempt. Not when it has granted a turn as well: mail waits,
    /// so another optimistic turn would be refused, and who offered must hear of that turn.
    #[must_use]
    pub fn next(&self, chained: &Chained) -> Option<Finish> {
        let grants = chained.grants().filter(|grants| grants.turns.is_empty())?;
        let link = self.link(chained.taken)?;
        let is_granted = matches!(&grants.attempts[..], [only] if AttemptClaim::of(&only.attempt) == link.attempt);
        is_granted.then_some(link)
    }

    fn link(&self, place: usize) -> Option<Finish> {
        let (step, offer) = (self.steps.get(place)?, self.offer()?);
        Some(Finish {
            run: self.run().clone(),
            attempt: AttemptClaim { command: step.command, attempt: 1, session: offer.session.to_string(), seq: offer.seq },
            outcome: Outcome::Settled { event: step.event.clone() },
            turn: Some(step.turn.clone()),
            key: String::new(),
            now: self.now(),
            offer: Some(offer.clone()),
        })
    }
}

impl Chained {
    /// What was granted by the last link; nothing when the first one's turn was not taken.
    fn grants(&self) -> Option<&Grants> {
        match &self.first {
            FirstAnswer::Committed(Committed::Accepted { grants, .. })
            | FirstAnswer::Finished(Finished::Accepted { turn: Some(Ok(())), grants, .. }) => Some(grants),
            _ => None,
        }
    }

    /// Whether the first was refused: perhaps because this is a repeat.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(self.first, FirstAnswer::Committed(Committed::Refused(_)) | FirstAnswer::Finished(Finished::AttemptLost))
    }

    /// A step was answered. `false`: it is the last one.
    pub fn answered(&mut self, finished: Finished, is_repeat: bool) -> bool {
        let (turn, new, applied) = match finished {
            Finished::Accepted { turn, grants, at } => (turn, grants, Some(at)),
            // Its attempt is somebody else's by now, or nobody's.
            Finished::AttemptLost | Finished::NotFound => (None, Grants::default(), None),
        };
        if let FirstAnswer::Committed(Committed::Accepted { grants, at })
        | FirstAnswer::Finished(Finished::Accepted { turn: Some(Ok(())), grants, at }) = &mut self.first
        {
            (*grants, *at) = (new, applied.unwrap_or(*at));
        }
        let is_taken = turn == Some(Ok(()));
        self.taken += usize::from(is_taken && !is_repeat);
        is_taken
    }
}
