//! A thread that runs scripts: it enters a call's code when there is news for it, and does what the code asked for.

use std::collections::{BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use rquickjs::Ctx;
use serde::Serialize;
use tokio::sync::mpsc::{UnboundedReceiver, WeakUnboundedSender};
use tokio::task::AbortHandle;

use super::fetch::{Fetched, Fetcher};
use super::machine::{Bounds, Breach, Machine};
use super::realm::{Effect, Outbox, Realm, double};
use super::{RealmKey, Reply, STRUCK_MAX, Struck};
use crate::api::worker::{ActivityWork, AttemptOutcome};
use crate::api::{Json, RunError};
use crate::worker::activities::outcome::{bounded, failed, failed_for_good, timeout};
use crate::worker::activities::{Alive, Came, Task};

/// What a thread is told.
pub(super) enum ToThread {
    /// Run this.
    Call(Box<NewCall>),
    /// Nobody waits for this call any more.
    Stop(u64),
    /// A request was answered, or was not.
    Fetched { id: u64, result: Result<Fetched, String> },
}

/// A call that has not begun.
pub(super) struct NewCall {
    pub(super) number: u64,
    pub(super) task: Task,
    pub(super) reply: Reply,
}

/// Of a thread's runtime.
const BOUNDS: Bounds = Bounds { heap_bytes: 256 << 20, stretch: Duration::from_secs(5) };
/// Messages that are taken at once.
const MESSAGES_AT_ONCE: usize = 64;
/// What a script may do when its time is over.
const GOODBYE: Duration = Duration::from_millis(100);

/// Runs until nobody can send any more. When it breaks, its calls are handed back and it begins anew.
pub(super) fn run(mut inbox: UnboundedReceiver<ToThread>, own: &WeakUnboundedSender<ToThread>, fetcher: &Fetcher, struck: &Struck) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_time().build() {
        Ok(runtime) => runtime,
        Err(error) => return tracing::error!(%error, "a thread for scripts cannot be set up"),
    };
    loop {
        let mut thread = Thread {
            machine: None,
            outbox: Rc::default(),
            calls: HashMap::new(),
            fetches: HashMap::new(),
            timers: HashMap::new(),
            due: BTreeSet::new(),
            own: own.clone(),
            fetcher: fetcher.clone(),
            struck: struck.clone(),
        };
        if let Ok(()) = catch_unwind(AssertUnwindSafe(|| runtime.block_on(thread.serve(&mut inbox)))) {
            return;
        }
        tracing::error!("a thread for scripts broke; its calls are handed back");
        thread.machine.take().into_iter().for_each(Machine::discard);
    }
}

/// What falls due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// A call's deadline.
    Deadline(u64),
    /// A timer.
    Timer(u64),
}

struct Running {
    key: RealmKey,
    reply: Reply,
    alive: Alive,
    deadline: Instant,
    timeout_ms: u64,
    /// For the log.
    run: String,
}

struct Thread {
    machine: Option<Machine>,
    outbox: Rc<Outbox>,
    calls: HashMap<u64, Running>,
    /// Number of a fetch -> its call.
    fetches: HashMap<u64, (u64, AbortHandle)>,
    /// Number of a timer -> its call, and when.
    timers: HashMap<u64, (u64, Instant)>,
    due: BTreeSet<(Instant, Due)>,
    own: WeakUnboundedSender<ToThread>,
    fetcher: Fetcher,
    struck: Struck,
}

/// What the code is told about its attempt.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Context<'a> {
    attempt: u32,
    idempotency_key: String,
    run: &'a str,
}

impl Thread {
    async fn serve(&mut self, inbox: &mut UnboundedReceiver<ToThread>) {
        let mut messages = Vec::with_capacity(MESSAGES_AT_ONCE);
        loop {
            let next = self.due.first().map(|(at, _)| *at);
            let sleep = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                count = inbox.recv_many(&mut messages, MESSAGES_AT_ONCE) => {
                    if count == 0 {
                        return;
                    }
                    for message in messages.drain(..) {
                        self.handle(message);
                    }
                }
                () = sleep => {}
            }
            self.fall_due();
        }
    }

    fn handle(&mut self, message: ToThread) {
        match message {
            ToThread::Call(call) => self.begin(*call),
            ToThread::Stop(call) => {
                self.enter(call, Instant::now() + GOODBYE, |ctx, realm| {
                    realm.function(ctx, "abort")?.call((double(call), "the worker stops", "AbortError"))
                });
                if let Some(running) = self.leave(call) {
                    running.reply.forget();
                }
            }
            ToThread::Fetched { id, result } => {
                let Some((call, _)) = self.fetches.remove(&id) else { return };
                let Some(deadline) = self.calls.get(&call).map(|running| running.deadline) else { return };
                self.enter(call, deadline, |ctx, realm| match result {
                    Ok(Fetched { head, body }) => realm.function(ctx, "fetched")?.call((double(call), double(id), head, body)),
                    Err(message) => realm.function(ctx, "fetchFailed")?.call((double(call), double(id), message)),
                });
            }
        }
    }

    fn begin(&mut self, call: NewCall) {
        let NewCall { number, task, reply } = call;
        let work = task.work;
        let name = work.name.as_deref().unwrap_or_default();
        let key = realm_of(&work);
        let deadline = task.until;
        let (alive, timeout_ms, run) = (task.alive, work.timeout_ms, work.run.to_string());
        let running = Running { key: key.clone(), reply, alive, deadline, timeout_ms, run };
        self.due.insert((deadline, Due::Deadline(number)));
        self.calls.insert(number, running);
        let source = task.definition.activities.get(name).and_then(|activity| activity.script.as_deref()).unwrap_or_default();
        match self.load(&key, source) {
            Ok(Ok(())) => {}
            Ok(Err(message)) => {
                let message = format!("the script of {name} does not load: {message}");
                return self.tell(number, failed_for_good("BrokenSource", message));
            }
            Err(breach) => return self.breached(number, breach),
        }
        self.enter(number, deadline, |ctx, realm| begin(ctx, realm, number, &work));
    }

    fn load(&mut self, key: &RealmKey, source: &str) -> Result<Result<(), String>, Breach> {
        let machine = match &mut self.machine {
            Some(machine) => machine,
            None => match Machine::new(self.outbox.clone(), BOUNDS) {
                Ok(machine) => self.machine.insert(machine),
                Err(message) => return Ok(Err(message)),
            },
        };
        let calls = &self.calls;
        machine.load(key, source, |key| calls.values().any(|running| running.key == *key))
    }

    /// Runs code for a call, and does what it asked for.
    fn enter(&mut self, call: u64, deadline: Instant, code: impl for<'js> FnOnce(&Ctx<'js>, &Realm) -> rquickjs::Result<()>) {
        let (Some(machine), Some(running)) = (&self.machine, self.calls.get(&call)) else { return };
        let result = machine.enter(&running.key, deadline, code);
        if result.is_err() {
            // Before it is told: a call that settles and goes on computing is no better.
            strike(&self.struck, &running.key);
        }
        self.act(call);
        if let Err(breach) = result {
            self.breached(call, breach);
        }
    }

    fn act(&mut self, current: u64) {
        let effects = std::mem::take(&mut *self.outbox.effects.borrow_mut());
        for effect in effects {
            match effect {
                Effect::Settled { call, ok, retryable, json } => self.tell(call, settled(ok, retryable, &json)),
                Effect::Fetch { call, id, request } => {
                    let own = self.own.clone();
                    let done = move |result| {
                        if let Some(own) = own.upgrade() {
                            let _ = own.send(ToThread::Fetched { id, result });
                        }
                    };
                    self.fetches.insert(id, (call, self.fetcher.start(request, done)));
                }
                Effect::CancelFetch { id } => {
                    if let Some((_, fetch)) = self.fetches.remove(&id) {
                        fetch.abort();
                    }
                }
                Effect::Timer { call, id, ms } => {
                    let at = Instant::now() + Duration::from_secs_f64(ms / 1000.0);
                    self.timers.insert(id, (call, at));
                    self.due.insert((at, Due::Timer(id)));
                }
                Effect::ClearTimer { id } => {
                    if let Some((_, at)) = self.timers.remove(&id) {
                        self.due.remove(&(at, Due::Timer(id)));
                    }
                }
                Effect::Heartbeat { call } => {
                    if let Some(running) = self.calls.get(&call) {
                        (running.alive.0)();
                    }
                }
                Effect::Log { level, text } => {
                    let (run, activity) = self.calls.get(&current).map_or(("", ""), |c| (c.run.as_str(), &*c.key.1));
                    log(run, activity, &level, &text);
                }
            }
        }
    }

    fn fall_due(&mut self) {
        while let Some((at, due)) = self.due.first().copied() {
            if at > Instant::now() {
                return;
            }
            self.due.pop_first();
            match due {
                Due::Timer(id) => {
                    let Some((call, _)) = self.timers.remove(&id) else { continue };
                    let Some(deadline) = self.calls.get(&call).map(|running| running.deadline) else { continue };
                    self.enter(call, deadline, |ctx, realm| realm.function(ctx, "fired")?.call((double(call), double(id))));
                }
                Due::Deadline(call) => {
                    self.enter(call, Instant::now() + GOODBYE, |ctx, realm| {
                        realm.function(ctx, "abort")?.call((double(call), "the attempt's time is over", "TimeoutError"))
                    });
                    if let Some(timeout_ms) = self.calls.get(&call).map(|running| running.timeout_ms) {
                        self.tell(call, timeout(timeout_ms));
                    }
                }
            }
        }
    }

    fn tell(&mut self, call: u64, outcome: AttemptOutcome) {
        if let Some(running) = self.leave(call) {
            running.reply.tell(Came::Outcome(bounded(outcome)));
        }
    }

    /// The call is over: so is what it waits for.
    fn leave(&mut self, call: u64) -> Option<Running> {
        let running = self.calls.remove(&call)?;
        self.due.remove(&(running.deadline, Due::Deadline(call)));
        if !self.timers.is_empty() {
            let due = &mut self.due;
            self.timers.retain(|id, (of, at)| {
                if *of == call {
                    due.remove(&(*at, Due::Timer(*id)));
                }
                *of != call
            });
        }
        if !self.fetches.is_empty() {
            self.fetches.retain(|_, (of, fetch)| {
                if *of == call {
                    fetch.abort();
                }
                *of != call
            });
        }
        Some(running)
    }

    /// A call reached a limit: the runtime goes, the calls beside it are handed back, and the activity goes elsewhere.
    fn breached(&mut self, call: u64, breach: Breach) {
        self.machine.take().into_iter().for_each(Machine::discard);
        self.outbox.effects.borrow_mut().clear();
        let alone = self.calls.len() <= 1;
        if let Some(running) = self.calls.get(&call) {
            tracing::warn!(
                run = running.run,
                activity = &*running.key.1,
                ?breach,
                beside = self.calls.len() - 1,
                "a script reached a limit"
            );
            strike(&self.struck, &running.key);
            let outcome = match breach {
                Breach::Time if Instant::now() >= running.deadline => timeout(running.timeout_ms),
                Breach::Time => {
                    let seconds = BOUNDS.stretch.as_secs();
                    failed_for_good(
                        "ScriptLimitExceeded",
                        format!("the script computed for more than {seconds} s without waiting for anything"),
                    )
                }
                // Whoever asks next for memory is found out, so only one that was alone is surely the one.
                Breach::Memory if alone => failed_for_good("ScriptLimitExceeded", "the script needs more than 256 MiB of heap"),
                Breach::Memory => failed("ScriptLimitExceeded", "the scripts of this thread needed more than 256 MiB of heap together"),
            };
            self.tell(call, outcome);
        }
        for other in self.calls.keys().copied().collect::<Vec<_>>() {
            // Dropping the reply hands the attempt back.
            drop(self.leave(other));
        }
    }
}

/// From now on the activity runs apart.
fn strike(struck: &Struck, key: &RealmKey) {
    let mut struck = struck.lock().unwrap_or_else(PoisonError::into_inner);
    if struck.len() < STRUCK_MAX {
        struck.insert((key.0.clone(), key.1.to_string()));
    }
}

/// Where an attempt's code lives.
pub(super) fn realm_of(work: &ActivityWork) -> RealmKey {
    (work.version.clone(), work.name.as_deref().unwrap_or_default().into())
}

/// Begins a call.
pub(super) fn begin(ctx: &Ctx<'_>, realm: &Realm, number: u64, work: &ActivityWork) -> rquickjs::Result<()> {
    let context = Context { attempt: work.attempt, idempotency_key: format!("{}/{}", work.uid, work.command), run: work.run.id.as_str() };
    let argument = work.argument.as_ref().map_or("null", |argument| argument.get());
    realm.function(ctx, "begin")?.call((double(number), argument, Json::of(&context).get()))
}

/// What the code printed.
pub(super) fn log(run: &str, activity: &str, level: &str, text: &str) {
    match level {
        "error" => tracing::error!(run, activity, "{text}"),
        "warn" => tracing::warn!(run, activity, "{text}"),
        "debug" => tracing::debug!(run, activity, "{text}"),
        _ => tracing::info!(run, activity, "{text}"),
    }
}

/// What a call came to.
pub(super) fn settled(ok: bool, retryable: bool, json: &str) -> AttemptOutcome {
    if ok {
        return match Json::checked(json) {
            Ok(result) => AttemptOutcome::Completed { result },
            Err(error) => failed_for_good("PayloadTooLarge", format!("the script's result cannot be kept: {error}")),
        };
    }
    let error = serde_json::from_str::<RunError>(json).unwrap_or_else(|_| RunError::new("Error", "the script threw something unreadable"));
    AttemptOutcome::Failed { error, final_: !retryable, retry_after_ms: None }
}
