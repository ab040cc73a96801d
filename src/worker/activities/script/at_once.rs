//! Scripts that wait for nothing, run where they are called: an answer without waking another thread on the way there and back.
//!
//! What a call asks for is done after its code has waited or settled. So a call that does not settle at once, that asks for a
//! request or a timer, or that needs more than a little, has done nothing yet: its runtime is thrown away, the call begins anew on
//! the threads for scripts, and its activity is not tried here again.

use std::collections::HashSet;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::machine::{Bounds, Machine};
use super::realm::{Effect, Outbox};
use super::thread::{begin, log, realm_of, settled};
use super::{RealmKey, STRUCK_MAX};
use crate::api::worker::AttemptOutcome;
use crate::worker::activities::Task;
use crate::worker::activities::outcome::bounded;

/// Whoever calls waits for so long, once for each activity that is not fit; what takes less is as well done here as elsewhere.
const BOUNDS: Bounds = Bounds { heap_bytes: 16 << 20, stretch: Duration::from_millis(20) };
/// One call at a time, so they need no numbers.
const CALL: u64 = 0;

/// See the module. It stays on its thread.
#[derive(Default)]
pub(in crate::worker) struct AtOnce {
    machine: Option<Machine>,
    outbox: Rc<Outbox>,
    unfit: HashSet<RealmKey>,
}

impl AtOnce {
    /// The outcome of a script that settles at once; nothing for any other attempt, which has done nothing yet.
    pub(in crate::worker) fn attempt(&mut self, task: &Task) -> Option<AttemptOutcome> {
        let work = &task.work;
        let source = task.definition.activities.get(work.name.as_deref()?)?.script.as_deref()?;
        let key = realm_of(work);
        if self.unfit.contains(&key) {
            return None;
        }
        let outcome = self.run(task, &key, source);
        if outcome.is_none() {
            self.machine.take().into_iter().for_each(Machine::discard);
            self.outbox.effects.borrow_mut().clear();
            if self.unfit.len() >= STRUCK_MAX {
                self.unfit.clear();
            }
            self.unfit.insert(key);
        }
        outcome
    }

    fn run(&mut self, task: &Task, key: &RealmKey, source: &str) -> Option<AttemptOutcome> {
        let machine = match &mut self.machine {
            Some(machine) => machine,
            None => self.machine.insert(Machine::new(self.outbox.clone(), BOUNDS).ok()?),
        };
        machine.load(key, source, |_| false).ok()?.ok()?;
        machine.enter(key, Instant::now() + task.within, |ctx, realm| begin(ctx, realm, CALL, &task.work)).ok()?;
        let effects = std::mem::take(&mut *self.outbox.effects.borrow_mut());
        let mut outcome = None;
        for effect in &effects {
            match effect {
                Effect::Settled { ok, retryable, json, .. } => outcome = Some(bounded(settled(*ok, *retryable, json))),
                Effect::Log { .. } | Effect::Heartbeat { .. } => {}
                Effect::Fetch { .. } | Effect::CancelFetch { .. } | Effect::Timer { .. } | Effect::ClearTimer { .. } => return None,
            }
        }
        let outcome = outcome?;
        let run = task.work.run.to_string();
        for effect in effects {
            if let Effect::Log { level, text } = effect {
                log(&run, &key.1, &level, &text);
            }
        }
        Some(outcome)
    }
}
