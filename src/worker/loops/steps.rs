//! Steps that are done before the turn that asks for them is committed, and go with it in one item.
//!
//! A script that settles at once, where it is called, has asked nobody for anything: nobody can tell whether it ran before its lease
//! was on the disk or after. So its result, and the turn that follows, go with the turn that asks for it: a run of such steps costs one
//! commit, not one for each. Whoever could be harmed by it does without: a run whose turn workers have died in, the outcome of an
//! activity that others have seen, a worker that is to be drained or stops.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Loop, Turned};
use crate::api::journal::{Command, Event};
use crate::api::limits::ITEM_STEPS_MAX;
use crate::api::worker::{ActivityWork, AttemptOutcome, StepCommit, TurnCommit};
use crate::api::{CommandNo, Definition, Json};
use crate::telemetry::crash::point;
use crate::worker::activities::{Alive, Task};
use crate::worker::engine::{self, Engine, TurnOutcome};
use crate::worker::turn::{Source, TurnJob, parts, turn_bytes};

/// What was done waits no longer for what follows, and neither do other runs.
const WITHIN: Duration = Duration::from_millis(5);
/// Nor is it more than this, in bytes.
const BYTES_MAX: usize = 256 << 10;

/// A step that was done, whose turn is to be taken.
type Done = (CommandNo, Json);

impl<E: Engine, M: Fn() -> E> Loop<E, M> {
    /// A turn that was taken, with what can be done at once after it.
    pub(super) fn and_steps(&mut self, job: &mut TurnJob, turned: Turned, definition: &Arc<Definition>) -> Turned {
        let Turned::Outcome(TurnOutcome::Done(output)) = turned else { return turned };
        let is_plain = job.deaths == 0 && job.strikes == 0 && job.verdict.is_none() && self.is_harmless_after(job, definition);
        let Some(done) = (is_plain && self.shared.ahead.may()).then(|| self.at_once_after(job, &output.commands, definition)).flatten()
        else {
            return Turned::Outcome(TurnOutcome::Done(output));
        };
        job.parts = parts(output);
        // One command is one part.
        let Some(turn) = job.next_commit(engine::ENGINE_NAME, engine::FLAGS) else {
            return Turned::Broken("a turn without a part".to_owned());
        };
        let (steps, is_whole) = self.steps(job, &turn, done, definition);
        if !is_whole {
            // The context stands behind what is committed; a step that is not in it is done again when it is granted.
            self.engine.evict(&job.uid);
        }
        point("worker.steps-done");
        Turned::Steps { turn, steps }
    }

    /// Whether a script that ends this process would harm nothing else: the outcome of another kind of activity, which nobody has yet, would
    /// be lost with it, and its attempt, which stands in the store, blamed for it.
    fn is_harmless_after(&self, job: &TurnJob, definition: &Definition) -> bool {
        match &job.source {
            Source::Lease(_) => true,
            Source::Attempt(ended) => self.at_once.settles(&job.version, &ended.name, definition),
            Source::Step => false,
        }
    }

    /// The steps after a turn, and whether the context stands where the last of them ends.
    fn steps(&mut self, job: &TurnJob, turn: &TurnCommit, mut done: Done, definition: &Arc<Definition>) -> (Vec<StepCommit>, bool) {
        let (began, mut steps) = (Instant::now(), Vec::new());
        let mut bytes = turn_bytes(turn) + done.1.get().len();
        let mut tip = job.follow(turn, event(&done));
        loop {
            tip.at = self.shared.clock.now().max(tip.at);
            let Turned::Outcome(TurnOutcome::Done(output)) = self.turn(&tip, tip.input(definition.clone(), None, tip.at)) else {
                return (steps, false);
            };
            tip.parts = parts(output);
            let (1, Some(turn)) = (tip.parts.len(), tip.next_commit(engine::ENGINE_NAME, engine::FLAGS)) else { return (steps, false) };
            bytes += turn_bytes(&turn);
            let is_room = steps.len() + 1 < ITEM_STEPS_MAX && bytes < BYTES_MAX && began.elapsed() < WITHIN;
            let goes_on = is_room && self.shared.ahead.may();
            let next = goes_on.then(|| self.at_once_after(&tip, &turn.commands, definition)).flatten();
            if let Some(next) = &next {
                tip = tip.follow(&turn, event(next));
            }
            steps.push(StepCommit { command: done.0, result: done.1, turn });
            match next {
                Some(next) => done = next,
                None => return (steps, true),
            }
            bytes += done.1.get().len();
        }
    }

    /// What the one activity of a turn comes to, when it is a script that settles at once.
    fn at_once_after(&mut self, job: &TurnJob, commands: &[Command], definition: &Arc<Definition>) -> Option<Done> {
        let [Command::ScheduleActivity { n, name, argument, .. }] = commands else { return None };
        let timeout = definition.activities.get(name)?.start_to_close().to_std();
        let now = self.shared.clock.now();
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
        match self.at_once.attempt(&task)? {
            AttemptOutcome::Completed { result } => Some((*n, result)),
            // Whether it is tried again is not decided here.
            AttemptOutcome::Failed { .. } => None,
        }
    }
}

fn event((command, result): &Done) -> Event {
    Event::ActivityCompleted { command: *command, attempt: 1, result: result.clone() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::{Ahead, Call, Shared, Works as _};
    use super::*;
    use crate::api::TimeMs;
    use crate::clock::StoreClock;
    use crate::worker::engine::{EngineLimits, QuickJsEngine};
    use crate::worker::executing::Executing;
    use crate::worker::hub::Msg;
    use crate::worker::turn::samples;

    const MANY: &str = "export default async function many(n) { for (let i = 0; i < n; i++) await quick(i); return await slow(1); }";

    fn definition(source: &str) -> Arc<Definition> {
        let script = |text: &str| crate::api::definition::Activity { script: Some(text.to_owned()), ..Default::default() };
        let activities = BTreeMap::from([
            ("quick".to_owned(), script("export default async (i) => i;")),
            ("slow".to_owned(), script("export default (i) => new Promise((done) => setTimeout(done, 1, i));")),
            ("broken".to_owned(), script("export default () => { throw new Error('no'); };")),
        ]);
        Arc::new(Definition { source: source.to_owned(), activities })
    }

    fn job(n: u32) -> TurnJob {
        samples::first(Json::of(&n))
    }

    /// What becomes of a first turn: how many steps go with it, or none when it goes alone.
    fn taken(ahead: Ahead, job: TurnJob, source: &str) -> Option<Vec<StepCommit>> {
        let shared = Shared { clock: Arc::new(StoreClock::new(TimeMs(10))), executing: Executing::in_places(1), ahead: Arc::new(ahead) };
        let mut own = Loop::new(|| QuickJsEngine::new(EngineLimits::default()), shared, 0);
        let call = Call::Turn { job: Box::new(job), definition: definition(source), journal: None };
        match own.take(call) {
            Some(Msg::Turned { turned: Turned::Steps { steps, .. }, .. }) => Some(steps),
            Some(Msg::Turned { turned: Turned::Outcome(TurnOutcome::Done(_)), .. }) => None,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn scripts_that_settle_at_once_are_done_up_to_one_that_waits() {
        let steps = taken(Ahead::default(), job(3), MANY).unwrap();
        let results: Vec<_> = steps.iter().map(|step| (step.command, step.result.get().to_owned())).collect();
        assert_eq!(results, [(0, "0".to_owned()), (1, "1".to_owned()), (2, "2".to_owned())]);
        assert!(steps.windows(2).all(|pair| pair[0].turn.id == pair[1].turn.base && pair[0].turn.at <= pair[1].turn.at));
        let last = &steps[2].turn.commands;
        assert!(matches!(&last[..], [Command::ScheduleActivity { name, .. }] if name == "slow"), "{last:?}");
    }

    #[test]
    fn they_are_no_more_than_may_go_in_an_item() {
        let steps = taken(Ahead::default(), job(10_000), MANY).unwrap();
        assert!((1..=ITEM_STEPS_MAX).contains(&steps.len()), "{}", steps.len());
    }

    #[test]
    fn none_is_done_ahead_in_a_run_that_workers_died_in_nor_where_none_may_be() {
        let suspect = TurnJob { deaths: 1, ..job(3) };
        assert!(taken(Ahead::default(), suspect, MANY).is_none());
        let closed = Ahead::default();
        closed.close(true);
        assert!(taken(closed, job(3), MANY).is_none());
        let in_vain = Ahead::default();
        in_vain.in_vain();
        assert!(taken(in_vain, job(3), MANY).is_none());
    }

    #[test]
    fn a_script_that_fails_is_done_under_its_lease() {
        let broken = "export default async function failing() { await broken(1); }";
        assert!(taken(Ahead::default(), job(1), broken).is_none());
    }
}
