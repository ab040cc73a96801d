//! Scripts that wait for nothing, run where they are called: an answer without waking another thread on the way there and back.
//!
//! What a call asks for is done after its code has waited or settled. So a call that does not settle at once, that asks for a
//! request or a timer, or that needs more than a little, has done nothing yet: its runtime is thrown away, the call begins anew on
//! the threads for scripts, and its activity is not tried here again.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::machine::{Bounds, Breach, Machine};
use super::realm::{Effect, Outbox};
use super::thread::{begin, log, realm_of, settled};
use super::{RealmKey, STRUCK_MAX};
use crate::api::worker::AttemptOutcome;
use crate::api::{Definition, Version};
use crate::worker::activities::Task;
use crate::worker::activities::outcome::bounded;
use crate::worker::executing::Executing;

/// Whoever calls waits for so long, once for each activity that is not fit; what takes less is as well done here as elsewhere.
const BOUNDS: Bounds = Bounds { heap_bytes: 16 << 20, stretch: Duration::from_millis(20) };
/// One call at a time, so they need no numbers.
const CALL: u64 = 0;

/// See the module. It stays on its thread.
pub(in crate::worker) struct AtOnce {
    machine: Option<Machine>,
    outbox: Rc<Outbox>,
    unfit: HashSet<RealmKey>,
    executing: Executing,
    place: usize,
}

/// Why a call was not done here.
enum Not {
    /// It asked for something, waits, or took too long: others of its activity would, too.
    Fit,
    /// The heap is full, perhaps of what others left there.
    Room,
}

impl AtOnce {
    /// Nothing is loaded yet. Its work is marked at a place of `executing`.
    pub(in crate::worker) fn new(executing: Executing, place: usize) -> Self {
        Self { machine: None, outbox: Rc::default(), unfit: HashSet::new(), executing, place }
    }

    /// Whether it is a script that is not known to be unfit.
    pub(in crate::worker) fn may(&self, task: &Task) -> bool {
        source_of(task).is_some() && !self.unfit.contains(&realm_of(&task.work))
    }

    /// Whether the activity is a script that has not been seen to do anything but settle at once.
    pub(in crate::worker) fn settles(&self, version: &Version, name: &str, definition: &Definition) -> bool {
        let is_script = definition.activities.get(name).is_some_and(|activity| activity.script.is_some());
        is_script && !self.unfit.contains(&(version.clone(), Arc::from(name)))
    }

    /// The outcome of a script that settles at once; nothing for any other attempt, which has done nothing yet.
    pub(in crate::worker) fn attempt(&mut self, task: &Task) -> Option<AttemptOutcome> {
        let (source, key) = (source_of(task)?, realm_of(&task.work));
        if self.unfit.contains(&key) {
            return None;
        }
        let had_others = self.machine.is_some();
        match self.watched(task, &key, source) {
            Ok(outcome) => return Some(outcome),
            // Once more in a heap of its own.
            Err(Not::Room) if had_others => {
                if let Ok(outcome) = self.watched(task, &key, source) {
                    return Some(outcome);
                }
            }
            Err(_) => {}
        }
        if self.unfit.len() >= STRUCK_MAX {
            self.unfit.clear();
        }
        self.unfit.insert(key);
        None
    }

    /// A call that is not done leaves nothing behind, one that breaks the engine neither.
    fn watched(&mut self, task: &Task, key: &RealmKey, source: &str) -> Result<AttemptOutcome, Not> {
        self.executing.begin(self.place, None);
        let done = catch_unwind(AssertUnwindSafe(|| self.run(task, key, source))).unwrap_or_else(|_| {
            tracing::error!(run = %task.work.run, activity = &*key.1, "the engine broke in a script; it begins anew on its thread");
            Err(Not::Fit)
        });
        self.executing.end(self.place);
        if done.is_err() {
            self.machine.take().into_iter().for_each(Machine::discard);
            self.outbox.effects.borrow_mut().clear();
        }
        done
    }

    fn run(&mut self, task: &Task, key: &RealmKey, source: &str) -> Result<AttemptOutcome, Not> {
        let machine = match &mut self.machine {
            Some(machine) => machine,
            None => self.machine.insert(Machine::new(self.outbox.clone(), BOUNDS).map_err(|_| Not::Fit)?),
        };
        let breach = |breach| if breach == Breach::Memory { Not::Room } else { Not::Fit };
        machine.load(key, source, |_| false).map_err(breach)?.map_err(|_| Not::Fit)?;
        machine.enter(key, task.until, |ctx, realm| begin(ctx, realm, CALL, &task.work)).map_err(breach)?;
        let effects = std::mem::take(&mut *self.outbox.effects.borrow_mut());
        let mut outcome = None;
        for effect in &effects {
            match effect {
                Effect::Settled { ok, retryable, json, .. } => outcome = Some(bounded(settled(*ok, *retryable, json))),
                Effect::Log { .. } | Effect::Heartbeat { .. } => {}
                Effect::Fetch { .. } | Effect::CancelFetch { .. } | Effect::Timer { .. } | Effect::ClearTimer { .. } => {
                    return Err(Not::Fit);
                }
            }
        }
        let outcome = outcome.ok_or(Not::Fit)?;
        let run = task.work.run.to_string();
        for effect in effects {
            if let Effect::Log { level, text } = effect {
                log(&run, &key.1, &level, &text);
            }
        }
        Ok(outcome)
    }
}

fn source_of(task: &Task) -> Option<&str> {
    task.definition.activities.get(task.work.name.as_deref()?)?.script.as_deref()
}
