//! What waits to be committed, and what is under way. Takes whatever waits, never by a timer; items of one run are never in
//! two requests at once, so that they stay in their order.

use std::collections::{HashMap, HashSet, VecDeque};

use super::turn::{Ended, TurnJob, turn_bytes};
use crate::api::limits::COMMIT_ITEMS_MAX;
use crate::api::worker::{AttemptOutcome, Item, Slots, StepCommit, TurnCommit};
use crate::api::{Json, RunKey, limits};

/// Requests under way at once, that were never answered. While one waits for the disk, others fill; more would only make smaller batches.
const REQUESTS_MAX: usize = 4;
/// Bytes of items in one request: half of what a request may have, so that the last item always fits beside them.
const BATCH_BYTES_MAX: usize = limits::REQUEST_BYTES_MAX / 2;

/// An item and what is to be done when it was answered.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) item: Item,
    pub(super) then: Then,
}

/// Whose item it is.
#[derive(Debug)]
pub(super) enum Then {
    /// A leased turn's.
    Turn(Box<TurnJob>),
    /// An attempt's, with an optimistic turn.
    Optimistic(Box<TurnJob>),
    /// An attempt's.
    Attempt,
    /// Something handed back or blocked.
    Nothing,
}

impl Pending {
    /// The run that it is about.
    pub(super) fn run(&self) -> &RunKey {
        match &self.item {
            Item::Turn { run, .. }
            | Item::Activity { run, .. }
            | Item::ReleaseTurn { run, .. }
            | Item::ReleaseActivity { run, .. }
            | Item::Heartbeat { run, .. }
            | Item::Block { run, .. } => run,
        }
    }

    /// The turns in it.
    pub(super) fn turns(&self) -> impl Iterator<Item = &TurnCommit> {
        let (turn, steps) = match &self.item {
            Item::Turn { turn, steps, .. } => (Some(turn), &steps[..]),
            Item::Activity { turn, steps, .. } => (turn.as_ref(), &steps[..]),
            _ => (None, &[][..]),
        };
        turn.into_iter().chain(steps.iter().map(|step| &step.turn))
    }

    fn results(&self) -> usize {
        match &self.item {
            Item::Turn { steps, .. } | Item::Activity { steps, .. } => steps.iter().map(|step| step.result.get().len()).sum(),
            _ => 0,
        }
    }

    /// What it offers.
    pub(super) fn offer(&self) -> Slots {
        match &self.item {
            Item::Turn { offer, .. } | Item::Activity { offer, .. } => *offer,
            _ => Slots::default(),
        }
    }

    fn bytes(&self) -> usize {
        const FRAME: usize = 512;
        let outcome = match &self.item {
            Item::Activity { outcome, .. } => outcome_bytes(outcome),
            Item::Block { blocked, .. } => blocked.message.len(),
            _ => 0,
        };
        let turns: usize = self.turns().map(|turn| FRAME + turn_bytes(turn)).sum();
        FRAME + outcome + self.results() + turns
    }
}

fn outcome_bytes(outcome: &AttemptOutcome) -> usize {
    match outcome {
        AttemptOutcome::Completed { result } => result.get().len(),
        AttemptOutcome::Failed { error, .. } => {
            error.message.len() + error.stack.len() + error.details.as_ref().map_or(0, |d: &Json| d.get().len())
        }
    }
}

/// An attempt's outcome as an item.
pub(super) fn outcome_item(ended: &Ended, turn: Option<TurnCommit>, steps: Vec<StepCommit>, offer: Slots) -> Item {
    Item::Activity {
        run: ended.work.run.clone(),
        version: ended.work.version.clone(),
        name: ended.name.clone(),
        command: ended.work.command,
        attempt: ended.work.attempt,
        seq: ended.work.seq,
        scheduled_at: ended.work.scheduled_at,
        outcome: ended.outcome.clone(),
        turn,
        steps,
        offer,
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Pipeline {
    waiting: HashMap<RunKey, VecDeque<Pending>>,
    /// Runs with something that waits and nothing under way, in the order of their coming.
    ready: VecDeque<RunKey>,
    under_way: HashSet<RunKey>,
    requests: usize,
}

impl Pipeline {
    /// Puts an item behind the others of its run.
    pub(super) fn push(&mut self, pending: Pending) {
        let run = pending.run().clone();
        if !self.waiting.contains_key(&run) && !self.under_way.contains(&run) {
            self.ready.push_back(run.clone());
        }
        self.waiting.entry(run).or_default().push_back(pending);
    }

    /// The next request's items; `None` when nothing waits or enough is under way.
    pub(super) fn next_batch(&mut self) -> Option<Vec<Pending>> {
        if self.requests >= REQUESTS_MAX || self.ready.is_empty() {
            return None;
        }
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while let Some(run) = self.ready.pop_front() {
            let Some(queue) = self.waiting.get_mut(&run) else { continue };
            let mut full = false;
            while let Some(pending) = queue.front() {
                let size = pending.bytes();
                full = batch.len() >= COMMIT_ITEMS_MAX || (!batch.is_empty() && bytes + size > BATCH_BYTES_MAX);
                if full {
                    break;
                }
                bytes += size;
                batch.extend(queue.pop_front());
            }
            let begun = batch.last().is_some_and(|last: &Pending| *last.run() == run);
            if queue.is_empty() {
                self.waiting.remove(&run);
            }
            if begun {
                self.under_way.insert(run);
            } else {
                self.ready.push_front(run);
            }
            if full {
                break;
            }
        }
        self.requests += 1;
        Some(batch)
    }

    /// How many runs have something that may go.
    pub(super) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// A request was answered, though perhaps not for all of its items: another one may go.
    pub(super) fn request_answered(&mut self) {
        self.requests = self.requests.saturating_sub(1);
    }

    /// All items of these runs were answered; what waits of them may go.
    pub(super) fn answered<'a>(&mut self, runs: impl Iterator<Item = &'a RunKey>) {
        for run in runs {
            if self.under_way.remove(run) && self.waiting.contains_key(run) {
                self.ready.push_back(run.clone());
            }
        }
    }

    /// Nothing waits and nothing is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.under_way.is_empty()
    }

    /// Something of this run waits or is under way.
    pub(super) fn has(&self, run: &RunKey) -> bool {
        self.waiting.contains_key(run) || self.under_way.contains(run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(run: &str, command: u32, bytes: usize) -> Pending {
        let item = Item::Activity {
            run: run.parse().unwrap(),
            version: "a".repeat(64).parse().unwrap(),
            name: "a".into(),
            command,
            attempt: 1,
            seq: 1,
            scheduled_at: crate::api::TimeMs(1),
            outcome: AttemptOutcome::Completed { result: Json::of(&"x".repeat(bytes)) },
            turn: None,
            steps: Vec::new(),
            offer: Slots::default(),
        };
        Pending { item, then: Then::Attempt }
    }

    fn names(batch: &[Pending]) -> Vec<String> {
        let command = |p: &Pending| if let Item::Activity { command, .. } = p.item { command } else { 0 };
        batch.iter().map(|p| format!("{}{}", p.run().id, command(p))).collect()
    }

    #[test]
    fn items_of_a_run_stay_in_order_and_never_go_in_two_requests_at_once() {
        let mut pipeline = Pipeline::default();
        pipeline.push(pending("n/a", 1, 1));
        pipeline.push(pending("n/b", 1, 1));
        pipeline.push(pending("n/a", 2, 1));
        let first = pipeline.next_batch().unwrap();
        assert_eq!(names(&first), ["a1", "a2", "b1"]);
        pipeline.push(pending("n/a", 3, 1));
        pipeline.push(pending("n/c", 1, 1));
        let second = pipeline.next_batch().unwrap();
        assert_eq!(names(&second), ["c1"]);
        assert!(pipeline.next_batch().is_none());
        pipeline.request_answered();
        pipeline.answered(first.iter().map(Pending::run));
        assert_eq!(names(&pipeline.next_batch().unwrap()), ["a3"]);
    }

    #[test]
    fn batches_and_requests_are_bounded_and_nothing_is_left_behind() {
        let mut pipeline = Pipeline::default();
        for command in 0..20 {
            pipeline.push(pending("n/a", command, 1 << 20));
            pipeline.push(pending(&format!("n/b{command}"), 0, 1 << 20));
        }
        let (mut seen, mut batches) = (0, VecDeque::new());
        while !pipeline.is_empty() {
            while let Some(batch) = pipeline.next_batch() {
                assert!(batch.iter().map(Pending::bytes).sum::<usize>() <= BATCH_BYTES_MAX);
                seen += batch.len();
                batches.push_back(batch);
            }
            assert!(batches.len() <= REQUESTS_MAX);
            let batch = batches.pop_front().unwrap();
            pipeline.request_answered();
            pipeline.answered(batch.iter().map(Pending::run));
        }
        assert_eq!(seen, 40);
    }
}
