//! The event loops: threads with an engine each. A run stays on one loop, by its uid, because its context lives there.
//!
//! What waits for a loop is bounded by the slots: each turn belongs to a lease.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc::UnboundedSender;

use super::alone::Alone;
use super::clock::StoreClock;
use super::hub::Msg;
use super::turn::TurnJob;
use crate::api::limits::TURN_SUSPECT_DEATHS;
use crate::api::{Definition, Entry, RunKey, Uid};
use crate::telemetry::crash;
use crate::worker::engine::{Engine, TurnOutcome};

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
            std::thread::Builder::new()
                .name(format!("loop-{i}"))
                .stack_size(STACK_BYTES)
                .spawn(move || run(&make, &alone, &receiver, &clock, &results, &mark))?;
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

fn run<E: Engine>(
    make: &impl Fn() -> E,
    alone: &Alone,
    calls: &Receiver<Call>,
    clock: &StoreClock,
    results: &UnboundedSender<Msg>,
    executing: &Mutex<Option<RunKey>>,
) {
    let mut engine = make();
    let mark = |run: Option<RunKey>| *executing.lock().unwrap_or_else(PoisonError::into_inner) = run;
    while let Ok(call) = calls.recv() {
        match call {
            Call::Evict(uid) => engine.evict(&uid),
            Call::Turn { mut job, definition, journal } => {
                let at = clock.now().max(job.at);
                job.at = at;
                let input = job.input(definition, journal, at);
                let turned = if job.deaths >= TURN_SUSPECT_DEATHS {
                    // It is in no danger to take this process with it, so it is not said to be in execution here.
                    engine.evict(&job.uid);
                    alone.turn(input).map_or_else(Turned::Died, Turned::Outcome)
                } else {
                    mark(Some(job.run.clone()));
                    crash::turn_of(job.run.id.as_str());
                    let turned = match catch_unwind(AssertUnwindSafe(|| engine.turn(input))) {
                        Ok(outcome) => Turned::Outcome(outcome),
                        Err(panic) => {
                            let text = panic.downcast_ref::<&str>().map(|t| (*t).to_owned());
                            let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
                            tracing::error!(run = %job.run, panic = %text, "the engine broke in a turn; its loop begins anew");
                            engine = make();
                            Turned::Broken(text)
                        }
                    };
                    mark(None);
                    turned
                };
                if results.send(Msg::Turned { job, turned }).is_err() {
                    return;
                }
            }
        }
    }
}
