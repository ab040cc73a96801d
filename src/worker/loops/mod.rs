//! The event loops, with an engine each: one on the hub's thread, or several on threads of their own. A run stays on one loop,
//! by its uid, because its context lives there.
//!
//! What waits for a loop is bounded by the slots: each turn belongs to a lease.

mod ahead;
mod steps;

pub(super) use ahead::Ahead;

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};

use tokio::sync::mpsc::UnboundedSender;

use super::activities::{AtOnce, Task};
use super::executing::Executing;
use super::hub::Msg;
use super::turn::{Source, TurnJob};
use crate::api::worker::{AttemptOutcome, StepCommit, TurnCommit};
use crate::api::{Definition, Entry, Uid};
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
    /// The turn is done, and what could be done at once after it.
    Steps { turn: TurnCommit, steps: Vec<StepCommit> },
    /// The engine broke: a bug. Its contexts are gone; the loop has a new engine.
    Broken(String),
    /// It was taken alone, in a process of its own, which died.
    Died(String),
}

/// What the loops of a worker share.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    pub(super) clock: Arc<StoreClock>,
    pub(super) executing: Executing,
    /// Whether steps may be done before they are granted.
    pub(super) ahead: Arc<Ahead>,
}

/// See the module. Dropping it lets the threads end after what they have.
pub(super) struct Loops {
    place: Where,
    ahead: Arc<Ahead>,
}

enum Where {
    /// One loop, on the hub's own thread: a turn goes from hand to hand, without waking a thread on its way in and out
    /// (on two virtual cores 0.05 ms for each of the four wake-ups of a one-step run).
    Here {
        own: Box<dyn Works>,
        calls: VecDeque<Call>,
    },
    Threads(Vec<Sender<Call>>),
}

impl Loops {
    /// Starts the loops. `make` makes an engine on its thread, and another one when it broke.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start<E: Engine + 'static>(
        count: usize,
        make: impl Fn() -> E + Clone + Send + 'static,
        shared: &Shared,
        results: &UnboundedSender<Msg>,
    ) -> std::io::Result<Self> {
        if count <= 1 {
            let place = Where::Here { own: Box::new(Loop::new(make, shared.clone(), 0)), calls: VecDeque::new() };
            return Ok(Self { place, ahead: shared.ahead.clone() });
        }
        let ahead = shared.ahead.clone();
        let mut threads = Vec::with_capacity(count);
        for place in 0..count {
            let (calls, receiver) = channel();
            let (make, shared, results) = (make.clone(), shared.clone(), results.clone());
            std::thread::Builder::new()
                .name(format!("loop-{place}"))
                .stack_size(STACK_BYTES)
                .spawn(move || serve(&mut Loop::new(make, shared, place), &receiver, &results))?;
            threads.push(calls);
        }
        Ok(Self { place: Where::Threads(threads), ahead })
    }

    /// Whether steps may be done before they are granted.
    pub(super) fn ahead(&self) -> &Ahead {
        &self.ahead
    }

    /// Whether an attempt may be tried with [`Loops::at_once`]: a script, and turns are taken on the caller's thread.
    pub(super) fn may_at_once(&self, task: &Task) -> bool {
        matches!(&self.place, Where::Here { own, .. } if own.may_at_once(task))
    }

    /// The outcome of a script that settles at once; nothing for any other attempt, which has done nothing yet.
    pub(super) fn at_once(&mut self, task: &Task) -> Option<AttemptOutcome> {
        match &mut self.place {
            Where::Here { own, .. } => own.at_once(task),
            Where::Threads(_) => None,
        }
    }

    /// Takes a turn; the answer comes as [`Msg::Turned`].
    pub(super) fn turn(&mut self, job: Box<TurnJob>, definition: Arc<Definition>, journal: Option<Arc<Vec<Entry>>>) {
        self.send(&job.uid.clone(), Call::Turn { job, definition, journal });
    }

    /// Forgets a run's context.
    pub(super) fn evict(&mut self, uid: &Uid) {
        self.send(uid, Call::Evict(uid.clone()));
    }

    fn send(&mut self, uid: &Uid, call: Call) {
        match &mut self.place {
            Where::Here { calls, .. } => calls.push_back(call),
            Where::Threads(threads) => {
                let mut hash = DefaultHasher::new();
                uid.hash(&mut hash);
                let index = usize::try_from(hash.finish() % threads.len() as u64).unwrap_or(0);
                // A loop ends only with its sender, and catches what its engine does.
                let _ = threads[index].send(call);
            }
        }
    }

    /// Forgets turns that wait for this thread and are void: those under a lease, or all. What waits for other threads is taken, and void.
    pub(super) fn drop_waiting(&mut self, leased_only: bool) {
        if let Where::Here { own, calls } = &mut self.place {
            let stays = |call: &Call| match call {
                Call::Turn { job, .. } => leased_only && matches!(job.source, Source::Attempt(_)),
                Call::Evict(_) => true,
            };
            calls.retain(stays);
            own.drop_yielded(&stays);
        }
    }

    /// Whether something waits for [`Loops::work`].
    pub(super) fn has_work(&self) -> bool {
        match &self.place {
            Where::Here { own, calls } => !calls.is_empty() || own.has_yielded(),
            Where::Threads(_) => false,
        }
    }

    /// Whether calls wait for [`Loops::work`] that were not begun.
    pub(super) fn has_calls(&self) -> bool {
        matches!(&self.place, Where::Here { calls, .. } if !calls.is_empty())
    }

    /// Does a little of what waits for this thread: up to one turn that came, and one slice of a replay.
    pub(super) fn work(&mut self) -> impl Iterator<Item = Msg> + use<> {
        let (mut turn, mut slice) = (None, None);
        if let Where::Here { own, calls } = &mut self.place {
            while let Some(call) = calls.pop_front() {
                let is_turn = matches!(call, Call::Turn { .. });
                turn = own.take(call);
                if is_turn {
                    break;
                }
            }
            slice = own.slice();
        }
        turn.into_iter().chain(slice)
    }
}

/// A thread's life: until nobody can call any more. After each call from outside one replay has a slice.
fn serve(own: &mut impl Works, calls: &Receiver<Call>, results: &UnboundedSender<Msg>) {
    loop {
        let call = if own.has_yielded() { calls.try_recv() } else { calls.recv().map_err(|_| TryRecvError::Disconnected) };
        let taken = match call {
            Ok(call) => own.take(call),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => return,
        };
        for message in taken.into_iter().chain(own.slice()) {
            if results.send(message).is_err() {
                return;
            }
        }
    }
}

/// A loop, whatever its engine.
trait Works {
    /// Takes a call; what comes of a turn, unless it has yielded.
    fn take(&mut self, call: Call) -> Option<Msg>;

    /// Whether a replay needs another slice.
    fn has_yielded(&self) -> bool;

    /// Gives one replay a slice.
    fn slice(&mut self) -> Option<Msg>;

    /// Forgets replays.
    fn drop_yielded(&mut self, stays: &dyn Fn(&Call) -> bool);

    /// See [`Loops::may_at_once`].
    fn may_at_once(&self, task: &Task) -> bool;

    /// See [`Loops::at_once`].
    fn at_once(&mut self, task: &Task) -> Option<AttemptOutcome>;
}

/// One event loop.
struct Loop<E, M> {
    engine: E,
    make: M,
    shared: Shared,
    place: usize,
    /// Turns whose replay has had a slice and needs more.
    yielded: VecDeque<Call>,
    /// Scripts that settle at once.
    at_once: AtOnce,
}

impl<E: Engine, M: Fn() -> E> Loop<E, M> {
    fn new(make: M, shared: Shared, place: usize) -> Self {
        let at_once = AtOnce::new(shared.executing.clone(), place);
        Self { engine: make(), make, shared, place, yielded: VecDeque::new(), at_once }
    }

    fn turn(&mut self, job: &TurnJob, input: TurnInput) -> Turned {
        self.shared.executing.begin(self.place, Some(job.run.clone()));
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
        self.shared.executing.end(self.place);
        turned
    }
}

impl<E: Engine, M: Fn() -> E> Works for Loop<E, M> {
    fn take(&mut self, call: Call) -> Option<Msg> {
        let (mut job, definition, journal) = match call {
            Call::Evict(uid) => {
                self.engine.evict(&uid);
                return None;
            }
            Call::Turn { job, definition, journal } => (job, definition, journal),
        };
        job.at = self.shared.clock.now().max(job.at);
        let input = job.input(definition.clone(), journal.clone(), job.at);
        let turned = self.turn(&job, input);
        if matches!(turned, Turned::Outcome(TurnOutcome::Yielded)) {
            self.yielded.push_back(Call::Turn { job, definition, journal });
            return None;
        }
        let turned = self.and_steps(&mut job, turned, &definition);
        Some(Msg::Turned { job, turned })
    }

    fn has_yielded(&self) -> bool {
        !self.yielded.is_empty()
    }

    fn slice(&mut self) -> Option<Msg> {
        let call = self.yielded.pop_front()?;
        self.take(call)
    }

    fn drop_yielded(&mut self, stays: &dyn Fn(&Call) -> bool) {
        self.yielded.retain(stays);
    }

    fn may_at_once(&self, task: &Task) -> bool {
        self.at_once.may(task)
    }

    fn at_once(&mut self, task: &Task) -> Option<AttemptOutcome> {
        self.at_once.attempt(task)
    }
}
