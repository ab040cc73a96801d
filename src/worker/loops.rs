//! The event loops: threads with an engine each. A run stays on one loop, by its uid, because its context lives there.
//!
//! What waits for a loop is bounded by the slots: each turn belongs to a lease.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc::UnboundedSender;

use super::alone::Alone;
use super::hub::Msg;
use super::turn::TurnJob;
use crate::api::limits::TURN_SUSPECT_DEATHS;
use crate::api::{Definition, Entry, RunKey, Uid};
use crate::clock::StoreClock;
use crate::telemetry::crash;
use crate::worker::engine::{Engine, TurnInput, TurnOutcome};

/// The engine's own bound of a run's stack lies inside of it; frames of native code are larger than those it counts.
pub(super) const STACK_BYTES: usize = 16 << 20;

enum Call {
    Turn { job: Box<TurnJob>, definition: Arc<Definition>, journal: Option<Arc<Vec<Entry>>> },
    Evict(Uid),
}

/// How a turn came back from its loop.
#[derive(Debug)]
pub(super) enum Turned {
    /// The engine's answer.
    Outcome(TurnOutcome),
    /// The engine broke: a bug. Its contexts are gone; the loop has a new engine.
    Broken(String),
    /// It was taken in a process of its own, which died.
    Died(String),
}

/// See the module. Dropping it lets the threads end after what they have.
pub(super) struct Loops {
    calls: Vec<Sender<Call>>,
    executing: Vec<Arc<Mutex<Option<RunKey>>>>,
}

impl Loops {
    /// Starts the threads. `make` makes an engine on its thread, and another one when it broke.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start<E: Engine>(
        count: usize,
        make: impl Fn() -> E + Clone + Send + 'static,
        alone: Alone,
        clock: &Arc<StoreClock>,
        results: &UnboundedSender<Msg>,
    ) -> std::io::Result<Self> {
        let mut loops = Self { calls: Vec::new(), executing: Vec::new() };
        for i in 0..count.max(1) {
            let (calls, receiver) = channel();
            let executing = Arc::new(Mutex::new(None));
            let (make, alone, clock) = (make.clone(), alone.clone(), clock.clone());
            let (results, mark) = (results.clone(), executing.clone());
            std::thread::Builder::new().name(format!("loop-{i}")).stack_size(STACK_BYTES).spawn(move || {
                let (engine, yielded) = (make(), VecDeque::new());
                let (make, alone, clock, results, executing) = (&make, &alone, &*clock, &results, &*mark);
                Loop { engine, make, alone, clock, results, executing, yielded }.run(&receiver);
            })?;
            loops.calls.push(calls);
            loops.executing.push(executing);
        }
        Ok(loops)
    }

    /// Takes a turn; the answer comes as [`Msg::Turned`].
    pub(super) fn turn(&self, job: Box<TurnJob>, definition: Arc<Definition>, journal: Option<Arc<Vec<Entry>>>) {
        self.send(&job.uid.clone(), Call::Turn { job, definition, journal });
    }

    /// Forgets a run's context.
    pub(super) fn evict(&self, uid: &Uid) {
        self.send(uid, Call::Evict(uid.clone()));
    }

    /// The runs whose turn is executed right now: suspects if this process dies.
    pub(super) fn executing(&self) -> Vec<RunKey> {
        self.executing.iter().filter_map(|mark| mark.lock().unwrap_or_else(PoisonError::into_inner).clone()).collect()
    }

    fn send(&self, uid: &Uid, call: Call) {
        let mut hash = DefaultHasher::new();
        uid.hash(&mut hash);
        let count = self.calls.len() as u64;
        let index = usize::try_from(hash.finish() % count).unwrap_or(0);
        // A loop ends only with its sender, and catches what its engine does.
        let _ = self.calls[index].send(call);
    }
}

/// One event loop on its thread.
struct Loop<'a, E, M> {
    engine: E,
    make: &'a M,
    alone: &'a Alone,
    clock: &'a StoreClock,
    results: &'a UnboundedSender<Msg>,
    executing: &'a Mutex<Option<RunKey>>,
    /// Turns whose replay has had a slice and needs more.
    yielded: VecDeque<Call>,
}

impl<E: Engine, M: Fn() -> E> Loop<'_, E, M> {
    /// Works until nobody can call any more. After each call from outside one replay has a slice.
    fn run(mut self, calls: &Receiver<Call>) {
        loop {
            let call = if self.yielded.is_empty() { calls.recv().map_err(|_| TryRecvError::Disconnected) } else { calls.try_recv() };
            let goes_on = match call {
                Ok(call) => self.take(call),
                Err(TryRecvError::Empty) => true,
                Err(TryRecvError::Disconnected) => return,
            };
            let goes_on = goes_on && self.yielded.pop_front().is_none_or(|call| self.take(call));
            if !goes_on {
                return;
            }
        }
    }

    /// Whether somebody still waits for what comes of it.
    fn take(&mut self, call: Call) -> bool {
        let (mut job, definition, journal) = match call {
            Call::Evict(uid) => {
                self.engine.evict(&uid);
                return true;
            }
            Call::Turn { job, definition, journal } => (job, definition, journal),
        };
        job.at = self.clock.now().max(job.at);
        let input = job.input(definition.clone(), journal.clone(), job.at);
        let turned = if job.deaths >= TURN_SUSPECT_DEATHS {
            // It is in no danger to take this process with it, so it is not said to be in execution here.
            self.engine.evict(&job.uid);
            self.alone.turn(input).map_or_else(Turned::Died, Turned::Outcome)
        } else {
            self.in_here(&job, input)
        };
        if matches!(turned, Turned::Outcome(TurnOutcome::Yielded)) {
            self.yielded.push_back(Call::Turn { job, definition, journal });
            return true;
        }
        self.results.send(Msg::Turned { job, turned }).is_ok()
    }

    fn in_here(&mut self, job: &TurnJob, input: TurnInput) -> Turned {
        self.mark(Some(job.run.clone()));
        crash::turn_of(job.run.id.as_str());
        let turned = match catch_unwind(AssertUnwindSafe(|| self.engine.turn(input))) {
            Ok(outcome) => Turned::Outcome(outcome),
            Err(panic) => {
                let text = panic.downcast_ref::<&str>().map(|t| (*t).to_owned());
                let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
                tracing::error!(run = %job.run, panic = %text, "the engine broke in a turn; its loop begins anew");
                self.engine = (self.make)();
                Turned::Broken(text)
            }
        };
        self.mark(None);
        turned
    }

    fn mark(&self, run: Option<RunKey>) {
        *self.executing.lock().unwrap_or_else(PoisonError::into_inner) = run;
    }
}
