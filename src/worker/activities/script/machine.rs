//! One QuickJS runtime with its limits and its realms. Thrown away as a whole when code in it reached a limit.

use std::cell::Cell;
use std::collections::HashMap;
use std::mem::forget;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rquickjs::{CatchResultExt as _, Ctx, Runtime};

use super::RealmKey;
use super::realm::{Outbox, Realm};
use crate::worker::engine::heap::{CountingAllocator, Heap};

/// Scripts call others and compute little; it is below the thread's own stack.
const STACK_BYTES_MAX: usize = 1 << 20;
/// Jobs between two looks at the clock.
const JOBS_PER_LOOK: u32 = 1_000;
/// Realms kept although no call uses them.
const REALMS_MAX: usize = 256;

/// What a runtime may use.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Of the heap: all scripts that wait on a thread share it.
    pub(super) heap_bytes: usize,
    /// Of computing without a wait. Others on the thread wait for so long.
    pub(super) stretch: Duration,
}

/// What stopped the code. The machine must be discarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Breach {
    /// It computed too long without a wait, or past its deadline.
    Time,
    /// The heap is full.
    Memory,
}

/// See the module. The order of the fields is the order in which they must go.
pub(super) struct Machine {
    realms: HashMap<RealmKey, Realm>,
    pub(super) outbox: Rc<Outbox>,
    heap: Rc<Heap>,
    stretch: Duration,
    stop_at: Rc<Cell<Option<Instant>>>,
    stopped: Rc<Cell<bool>>,
    runtime: Runtime,
}

impl Machine {
    /// # Errors
    /// When there is no memory for it.
    pub(super) fn new(outbox: Rc<Outbox>, bounds: Bounds) -> Result<Self, String> {
        let heap = Heap::new();
        heap.set_limit(bounds.heap_bytes);
        let runtime = Runtime::new_with_alloc(CountingAllocator(heap.clone())).map_err(|e| e.to_string())?;
        runtime.set_max_stack_size(STACK_BYTES_MAX);
        let (stop_at, stopped) = (Rc::new(Cell::new(None::<Instant>)), Rc::new(Cell::new(false)));
        let (at, flag, counted) = (stop_at.clone(), stopped.clone(), heap.clone());
        runtime.set_interrupt_handler(Some(Box::new(move || {
            if at.get().is_some_and(|at| Instant::now() >= at) {
                flag.set(true);
            }
            flag.get() || counted.is_exceeded()
        })));
        Ok(Self { realms: HashMap::new(), outbox, heap, stretch: bounds.stretch, stop_at, stopped, runtime })
    }

    /// Makes the realm of an activity, unless it is here. Inside: the script does not load.
    pub(super) fn load(&mut self, key: &RealmKey, source: &str, in_use: impl Fn(&RealmKey) -> bool) -> Result<Result<(), String>, Breach> {
        if self.realms.contains_key(key) {
            return Ok(Ok(()));
        }
        let source = match crate::source::strip_types(source, &format!("{}.js", key.1)) {
            Ok(source) => source,
            Err(findings) => {
                return Ok(Err(findings.first().map_or_else(String::new, |f| format!("{}:{}: {}", f.line, f.column, f.message))));
            }
        };
        if self.realms.len() >= REALMS_MAX {
            self.realms.retain(|key, _| in_use(key));
        }
        let loaded = self.load_now(&key.1, &source);
        match (self.breach(), loaded) {
            (Some(breach), loaded) => {
                loaded.into_iter().for_each(forget);
                Err(breach)
            }
            (None, Ok(realm)) => {
                self.realms.insert(key.clone(), realm);
                Ok(Ok(()))
            }
            (None, Err(message)) => Ok(Err(message)),
        }
    }

    fn load_now(&self, name: &str, source: &str) -> Result<Realm, String> {
        let realm = Realm::new(&self.runtime, &self.outbox)?;
        self.begin(Instant::now() + self.stretch);
        let pair = realm.load(&format!("{name}.js"), source);
        self.run_jobs();
        // Whatever a limit has cut off is not looked at.
        let result = match pair {
            Ok(pair) if self.breach().is_none() => realm.loaded(pair),
            Ok(pair) => {
                forget(pair);
                Ok(())
            }
            Err(message) => Err(message),
        };
        self.end();
        result.map(|()| realm)
    }

    /// Runs code of a realm, and its jobs, until all of it waits. An exception of the code is the code's affair.
    pub(super) fn enter(
        &self,
        key: &RealmKey,
        deadline: Instant,
        code: impl for<'js> FnOnce(&Ctx<'js>, &Realm) -> rquickjs::Result<()>,
    ) -> Result<(), Breach> {
        let Some(realm) = self.realms.get(key) else { return Ok(()) };
        self.begin(deadline.min(Instant::now() + self.stretch));
        realm.context.with(|ctx| {
            if let Err(error) = code(&ctx, realm).catch(&ctx) {
                tracing::debug!(%error, "a script's realm threw");
            }
        });
        self.run_jobs();
        self.end();
        self.breach().map_or(Ok(()), Err)
    }

    fn run_jobs(&self) {
        let mut jobs = 0_u32;
        while self.breach().is_none() && self.runtime.is_job_pending() {
            if let Err(exception) = self.runtime.execute_pending_job() {
                exception.0.with(|ctx| drop(ctx.catch()));
            }
            jobs += 1;
            if jobs.is_multiple_of(JOBS_PER_LOOK) && self.stop_at.get().is_some_and(|at| Instant::now() >= at) {
                self.stopped.set(true);
            }
        }
    }

    fn begin(&self, stop_at: Instant) {
        self.stop_at.set(Some(stop_at));
    }

    fn end(&self) {
        self.stop_at.set(None);
    }

    fn breach(&self) -> Option<Breach> {
        if self.heap.is_exceeded() { Some(Breach::Memory) } else { self.stopped.get().then_some(Breach::Time) }
    }

    /// Gives the memory back without running anything: what a limit has cut off may be in any state.
    pub(super) fn discard(self) {
        let Self { realms, outbox: _, heap, stretch: _, stop_at: _, stopped: _, runtime } = self;
        realms.into_values().for_each(forget);
        forget(runtime);
        // SAFETY: all handles into the runtime are forgotten: they live in realms only, and on the stack of `enter` and `load`.
        unsafe { heap.release_all() };
    }
}
