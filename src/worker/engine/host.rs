//! One QuickJS runtime with its heap, its limits and its realms. Thrown away as a whole when a turn in it reached a limit.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::mem::forget;
use std::rc::Rc;

use rquickjs::loader::{ImportAttributes, Loader, Resolver};
use rquickjs::module::Declared;
use rquickjs::{Ctx, Exception, Function, Module, Object, Persistent, Runtime, Value};

use crate::api::Version;
use crate::api::run::Blocked;

use super::budget::{Budget, cpu_us};
use super::errors::Stop;
use super::heap::{CountingAllocator, Heap};
use super::natives::no_run;
use super::positions::Positions;
use super::realm::{Main, Realm};
use super::replay;
use super::run_state::{Facts, Kept, Kind, Recorded, RunState};
use super::seam::{EngineLimits, TurnInput, TurnOutput};
use super::source::{Hooks, with_frozen_top_level};
use super::stacks::Lookout;
use super::turn::Turn;

/// QuickJS collects cycles when its heap has grown by half; below this it is not worth it.
const GC_THRESHOLD_BYTES: usize = 8 << 20;
/// A context keeps all instances of a module until it goes itself, those of ended runs too; so it takes only so many.
const INSTANCES_MAX: usize = 64;
/// Realms kept although no run uses them.
const IDLE_REALMS_MAX: usize = 16;
/// Sources kept in the form that is evaluated, and versions whose kinds of runs are remembered.
const PREPARED_MAX: usize = 256;
/// Jobs that an ended run may still have before its runtime is given up.
const LEFTOVER_JOBS_MAX: usize = 1_000_000;
/// Memory is counted in blocks of 4 KiB, so a small run often seems to take none.
const RUN_BYTES_MIN: usize = 1024;

/// What the natives and the turn share. No JavaScript value in here outlives a turn.
pub struct Shared {
    pub limits: EngineLimits,
    pub heap: Rc<Heap>,
    pub budget: Budget,
    /// The run whose turn is being taken.
    pub current: RefCell<Option<RunState>>,
    /// Promises that were rejected with nobody listening, and why.
    pub unhandled: RefCell<Vec<(Persistent<Value<'static>>, Persistent<Value<'static>>)>>,
    pub lookout: Cell<Lookout>,
    /// The text of the current module, for positions.
    pub positions: RefCell<Rc<Positions>>,
    pub tolerates_overflow: Cell<bool>,
    pub resolves_imports: Cell<bool>,
}

impl Shared {
    /// The current run.
    ///
    /// # Errors
    /// A JavaScript error, when there is none: code at the top level of a shared module.
    pub fn with_run<T>(&self, ctx: &Ctx<'_>, f: impl FnOnce(&mut RunState) -> T) -> rquickjs::Result<T> {
        self.current.borrow_mut().as_mut().map(f).ok_or_else(|| no_run(ctx))
    }
}

/// A run in memory.
pub struct LiveRun {
    pub realm: Rc<Realm>,
    handle: Persistent<Object<'static>>,
    main: Main,
    /// `None` while the run is the current one.
    state: Option<Kept>,
    /// How many turns of its journal are replayed, while more are to be.
    pub replayed: Option<usize>,
    /// What it takes in memory, about.
    pub bytes: usize,
}

impl LiveRun {
    pub fn handle<'js>(&self, ctx: &Ctx<'js>) -> rquickjs::Result<Object<'js>> {
        self.handle.clone().restore(ctx)
    }

    /// The version that it runs; `None` while it is the current one.
    pub fn version(&self) -> Option<&Version> {
        self.state.as_ref().map(|state| &state.facts.kind.version)
    }

    pub fn main<'js>(&self, ctx: &Ctx<'js>) -> rquickjs::Result<Function<'js>> {
        self.main.clone().restore(ctx)
    }

    /// Leaves everything that is JavaScript's where it is: the runtime of it is about to be released as a whole.
    pub fn abandon(self) {
        forget(self.realm);
        forget(self.handle);
        forget(self.main);
    }
}

/// What a turn came to, when it came to an end.
pub struct Taken {
    pub run: LiveRun,
    /// `None`: the replay has yielded.
    pub output: Option<TurnOutput>,
    pub closed: bool,
}

/// A source as it is evaluated.
struct Prepared {
    text: String,
    /// All runs use one instance of the module.
    shared: bool,
}

/// One runtime. The order of the fields is the order in which they must go.
pub struct Host {
    realms: HashMap<Version, Rc<Realm>>,
    prepared: HashMap<Version, Rc<Prepared>>,
    kinds: HashMap<Version, Vec<Rc<Kind>>>,
    shared: Rc<Shared>,
    hooks: Hooks,
    runtime: Runtime,
    /// Code that nothing stops any more is left in its job queue: it must not be used again.
    pub poisoned: bool,
}

impl Host {
    /// # Errors
    /// When there is no memory for it.
    pub fn new(limits: &EngineLimits, hooks: Hooks) -> rquickjs::Result<Self> {
        let heap = Heap::new();
        let runtime = Runtime::new_with_alloc(CountingAllocator(heap.clone()))?;
        let shared = Rc::new(Shared {
            limits: limits.clone(),
            heap: heap.clone(),
            budget: Budget::new(heap),
            current: RefCell::new(None),
            unhandled: RefCell::new(Vec::new()),
            lookout: Cell::new(Lookout::Off),
            positions: RefCell::default(),
            tolerates_overflow: Cell::new(false),
            resolves_imports: Cell::new(false),
        });
        runtime.set_max_stack_size(limits.run_stack_bytes);
        let s = shared.clone();
        runtime.set_interrupt_handler(Some(Box::new(move || s.budget.must_stop())));
        let s = shared.clone();
        runtime.set_host_promise_rejection_tracker(Some(Box::new(move |ctx, promise, reason, handled| {
            let promise = Persistent::save(&ctx, promise);
            let mut unhandled = s.unhandled.borrow_mut();
            if handled {
                unhandled.retain(|(known, _)| *known != promise);
            } else {
                unhandled.push((promise, Persistent::save(&ctx, reason)));
            }
        })));
        runtime.set_loader(OnlyEverloop(shared.clone()), OnlyEverloop(shared.clone()));
        Ok(Self { realms: HashMap::new(), prepared: HashMap::new(), kinds: HashMap::new(), shared, hooks, runtime, poisoned: false })
    }

    /// Bytes of the whole runtime.
    pub fn live_bytes(&self) -> usize {
        self.shared.heap.live_bytes()
    }

    /// Frees what cycles hold.
    pub fn collect(&self) {
        self.runtime.run_gc();
    }

    /// Takes a turn of a run that is in memory at the right head, or builds it anew from the journal first. After
    /// [`Stop::Breach`] the only thing to do with this host is [`Host::discard`].
    pub fn take_turn(&mut self, run: Option<LiveRun>, input: &TurnInput) -> Result<Taken, Stop> {
        let limits = &self.shared.limits;
        let heap = &self.shared.heap;
        let others_bytes = heap.live_bytes().saturating_sub(run.as_ref().map_or(0, |run| run.bytes));
        heap.set_limit(others_bytes.saturating_add(limits.run_heap_bytes));
        let collect_at = (heap.live_bytes() * 3 / 2).max(GC_THRESHOLD_BYTES).min(others_bytes + limits.run_heap_bytes / 2);
        self.runtime.set_gc_threshold(collect_at);

        let mut slot = run;
        let result = self.take_turn_of(&mut slot, input);
        self.drain_leftovers();
        let state = self.shared.current.borrow_mut().take();
        let breach = self.shared.budget.end();
        let in_replay = state.as_ref().is_some_and(RunState::is_replaying);
        self.shared.heap.set_limit(usize::MAX);
        self.shared.unhandled.borrow_mut().clear();
        match (result, slot, state) {
            (Ok(output), Some(mut run), Some(state)) if breach.is_none() || state.closed => {
                self.poisoned |= breach.is_some();
                run.bytes = self.shared.heap.live_bytes().saturating_sub(others_bytes).max(RUN_BYTES_MIN);
                let closed = state.closed;
                run.state = Some(state.into_kept());
                Ok(Taken { run, output, closed })
            }
            (result, slot, _) => {
                let stop = match (breach, result) {
                    (Some(breach), _) if in_replay => Stop::ReplayBreach(breach),
                    (Some(breach), _) => Stop::Breach(breach),
                    (None, Err(stop)) => stop,
                    (None, Ok(_)) => Stop::blocked(super::errors::ENGINE_ERROR, "the turn lost its run"),
                };
                if matches!(stop, Stop::Breach(_) | Stop::ReplayBreach(_)) {
                    slot.into_iter().for_each(LiveRun::abandon);
                }
                Err(stop)
            }
        }
    }

    fn take_turn_of(&mut self, slot: &mut Option<LiveRun>, input: &TurnInput) -> Result<Option<TurnOutput>, Stop> {
        match slot {
            Some(run) => *self.shared.current.borrow_mut() = run.state.take().map(RunState::of),
            None => self.begin(slot, input, false)?,
        }
        if let Some(from) = slot.as_ref().and_then(|run| run.replayed)
            && !self.replay(slot, from, input)?
        {
            return Ok(None);
        }
        let Some(run) = slot else { return Err(Stop::blocked(super::errors::ENGINE_ERROR, "the run was not built")) };
        run.realm.context.with(|ctx| Turn::enter(&ctx, &self.shared, run)?.live(input)).map(Some)
    }

    /// Replays a slice; whether that was the rest. On a mismatch the run is built once more, from the beginning and in one go, looking
    /// up positions, for the message.
    fn replay(&mut self, slot: &mut Option<LiveRun>, from: usize, input: &TurnInput) -> Result<bool, Stop> {
        let entries = input.journal.as_ref().map_or(&[][..], |journal| journal.as_slice());
        let until = cpu_us().saturating_add(self.shared.limits.replay_slice_ms.saturating_mul(1_000));
        let slice = |host: &Self, run: &mut LiveRun, from: usize, is_over: &dyn Fn() -> bool| {
            let taken =
                run.realm.context.with(|ctx| replay::replay(&Turn::enter(&ctx, &host.shared, run)?, entries, from, input, is_over))?;
            run.replayed = (taken < entries.len()).then_some(taken);
            Ok(run.replayed.is_none())
        };
        let Some(run) = slot.as_mut() else { return Ok(false) };
        let replayed = match slice(self, run, from, &|| cpu_us() >= until) {
            Err(Stop::Mismatch(_)) => {
                self.drain_leftovers();
                self.begin(slot, input, true)?;
                slot.as_mut().map_or(Ok(false), |run| slice(self, run, 0, &|| false))
            }
            result => result,
        };
        match replayed {
            Err(Stop::Mismatch(message)) => Err(Stop::blocked(Blocked::NONDETERMINISM, message)),
            result => result,
        }
    }

    /// A run before its first event. `locate`: its replay looks up the positions of what it asks for.
    fn begin(&mut self, slot: &mut Option<LiveRun>, input: &TurnInput, locate: bool) -> Result<(), Stop> {
        let entries = input.journal.clone().unwrap_or_default();
        replay::check_readable(&entries)?;
        let facts = Facts {
            kind: self.kind(input),
            id: input.run.id.clone(),
            uid: input.uid.clone(),
            started_at: entries.first().map_or(input.at, |entry| entry.at),
        };
        let state = RunState::new(facts, Recorded::new(entries, locate));
        slot.insert(self.new_run(input, state)?).replayed = Some(0);
        Ok(())
    }

    /// A run before its first event; it is the current one afterwards.
    fn new_run(&mut self, input: &TurnInput, state: RunState) -> Result<LiveRun, Stop> {
        let prepared = self.prepared(input)?;
        *self.shared.current.borrow_mut() = None;
        self.shared.budget.begin(self.shared.limits.turn_cpu_ms);
        let realm = self.realm(input, &prepared)?;
        let handle = realm.new_run(&self.shared)?;
        let common = realm.common.borrow().clone();
        let main = match common {
            Some(main) => main,
            None if prepared.shared => {
                let main = realm.load(&self.shared, &input.workflow)?;
                realm.common.borrow_mut().insert(main).clone()
            }
            None => {
                *self.shared.current.borrow_mut() = Some(state);
                realm.enter(&self.shared, &handle, true)?;
                let main = realm.load(&self.shared, &input.workflow)?;
                return Ok(LiveRun { realm, handle, main, state: None, replayed: None, bytes: 0 });
            }
        };
        *self.shared.current.borrow_mut() = Some(state);
        Ok(LiveRun { realm, handle, main, state: None, replayed: None, bytes: 0 })
    }

    fn realm(&mut self, input: &TurnInput, prepared: &Prepared) -> Result<Rc<Realm>, Stop> {
        if let Some(realm) = self.realms.get(&input.version)
            && realm.instances.get() < INSTANCES_MAX
        {
            return Ok(realm.clone());
        }
        if self.realms.len() >= IDLE_REALMS_MAX {
            self.realms.retain(|_, realm| Rc::strong_count(realm) > 1);
        }
        let realm = Rc::new(Realm::new(&self.runtime, &self.shared, &input.definition, &prepared.text)?);
        self.realms.insert(input.version.clone(), realm.clone());
        Ok(realm)
    }

    /// What the run has in common with others, which then have it once.
    fn kind(&mut self, input: &TurnInput) -> Rc<Kind> {
        if self.kinds.len() >= PREPARED_MAX && !self.kinds.contains_key(&input.version) {
            self.kinds.clear();
        }
        let kind = Kind { namespace: input.run.namespace.clone(), workflow: input.workflow.clone(), version: input.version.clone() };
        let kinds = self.kinds.entry(input.version.clone()).or_default();
        if let Some(known) = kinds.iter().find(|known| ***known == kind) {
            return known.clone();
        }
        kinds.retain(|known| Rc::strong_count(known) > 1);
        let kind = Rc::new(kind);
        kinds.push(kind.clone());
        kind
    }

    fn prepared(&mut self, input: &TurnInput) -> Result<Rc<Prepared>, Stop> {
        if let Some(prepared) = self.prepared.get(&input.version) {
            return Ok(prepared.clone());
        }
        let source = &input.definition.source;
        let text = (self.hooks.prepare)(source).map_err(Stop::broken_source)?;
        let names = (self.hooks.shareable)(source);
        let text = names.as_ref().map_or_else(|| text.clone(), |names| with_frozen_top_level(&text, names));
        let prepared = Rc::new(Prepared { text, shared: names.is_some() && self.hooks.share });
        if self.prepared.len() >= PREPARED_MAX {
            self.prepared.clear();
        }
        self.prepared.insert(input.version.clone(), prepared.clone());
        Ok(prepared)
    }

    /// Jobs that are left when a function has ended, or a turn was given up: they run to nothing, since the run is closed, and
    /// must not run into the next turn.
    fn drain_leftovers(&mut self) {
        if !self.runtime.is_job_pending() {
            return;
        }
        if let Some(run) = &mut *self.shared.current.borrow_mut() {
            run.closed = true;
        }
        for _ in 0..LEFTOVER_JOBS_MAX {
            if self.shared.budget.must_stop() || !self.runtime.is_job_pending() {
                break;
            }
            if let Err(exception) = self.runtime.execute_pending_job() {
                exception.0.with(|ctx| drop(ctx.catch()));
            }
        }
        self.poisoned |= self.runtime.is_job_pending();
    }

    /// Gives the memory of the runtime back without running anything in it: what a limit has cut off may be in any state, and
    /// QuickJS ends the process when it finds an object too many. Runs of it must have been abandoned.
    pub fn discard(self) {
        let Self { realms, prepared: _, kinds: _, shared, hooks: _, runtime, poisoned: _ } = self;
        realms.into_values().for_each(forget);
        forget(runtime);
        // SAFETY: all handles into the runtime are forgotten, those of runs by the caller.
        unsafe { shared.heap.release_all() };
    }
}

/// Imports: "everloop" from a module that is being loaded, and nothing else.
struct OnlyEverloop(Rc<Shared>);

impl Resolver for OnlyEverloop {
    fn resolve<'js>(&mut self, ctx: &Ctx<'js>, _base: &str, name: &str, _: Option<ImportAttributes<'js>>) -> rquickjs::Result<String> {
        let known = name == "everloop" || name == "everloop/internal";
        if known && self.0.resolves_imports.get() {
            return Ok(name.to_owned());
        }
        let message = if known || !self.0.resolves_imports.get() {
            format!("import({name:?}) is not available in a workflow: write `import {{ sleep }} from \"everloop\"` at the top")
        } else {
            format!(
                "cannot import {name:?}: a workflow imports from \"everloop\" only; other code goes into the source or into an activity"
            )
        };
        Err(Exception::throw_message(ctx, &message))
    }
}

impl Loader for OnlyEverloop {
    fn load<'js>(&mut self, ctx: &Ctx<'js>, name: &str, _: Option<ImportAttributes<'js>>) -> rquickjs::Result<Module<'js, Declared>> {
        // All that resolves is in the context already.
        Err(Exception::throw_message(ctx, &format!("cannot load {name:?}")))
    }
}
