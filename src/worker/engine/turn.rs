//! One turn of the current run: events are applied one by one; after each the jobs run, then the timers of zero length in
//! their order with the jobs after each, until nothing moves. So it does not matter how many events came together.

use rquickjs::function::IntoArgs;
use rquickjs::{Ctx, FromJs, Function, Object};

use crate::api::journal::Event;
use crate::api::{Json, TimeMs};

use super::errors::Stop;
use super::host::{LiveRun, Shared};
use super::realm::measure_stack_from_here;
use super::run_state::RunState;
use super::seam::{TurnInput, TurnOutput};

/// A replayed turn was within its limit once, perhaps on a faster machine: so much more may it use.
const REPLAY_SLACK: u64 = 4;

/// The current run with its realm entered.
pub struct Turn<'a, 'js> {
    ctx: &'a Ctx<'js>,
    shared: &'a Shared,
    calls: Object<'js>,
    main: Function<'js>,
}

impl<'a, 'js> Turn<'a, 'js> {
    pub fn enter(ctx: &'a Ctx<'js>, shared: &'a Shared, run: &LiveRun) -> Result<Self, Stop> {
        measure_stack_from_here(ctx);
        *shared.positions.borrow_mut() = run.realm.positions.clone();
        let enter = || -> rquickjs::Result<Self> {
            let calls = run.realm.calls(ctx)?;
            calls.get::<_, Function<'js>>("enter")?.call::<_, ()>((run.handle(ctx)?, false))?;
            Ok(Self { ctx, shared, calls, main: run.main(ctx)? })
        };
        enter().map_err(|error| Stop::internal(&shared.budget, ctx, "enter a run", error))
    }

    /// Takes the turn of the input and tells what came of it.
    pub fn live(&self, input: &TurnInput) -> Result<TurnOutput, Stop> {
        self.with(RunState::end_replay);
        self.take(input.at, &input.events)?;
        let closed = self.with(|run| run.closed);
        let unread_signals = if closed { self.call("unread", ())? } else { Vec::new() };
        Ok(self.with(|run| TurnOutput {
            commands: run.take_issued(usize::MAX),
            logs: run.take_logs(),
            listening: if closed { Vec::new() } else { run.listening() },
            unread_signals,
        }))
    }

    /// A turn from its beginning to its end.
    pub fn take(&self, at: TimeMs, events: &[Event]) -> Result<(), Stop> {
        let slack = if self.with(|run| run.is_replaying()) { REPLAY_SLACK } else { 1 };
        self.shared.budget.begin(self.shared.limits.turn_cpu_ms.saturating_mul(slack));
        self.with(|run| run.begin_turn(at));
        for event in events {
            self.apply(event)?;
        }
        self.finish()
    }

    /// The current run's state.
    pub fn with<T>(&self, f: impl FnOnce(&mut RunState) -> T) -> T {
        f(self.shared.current.borrow_mut().as_mut().expect("a run is current while a turn exists"))
    }

    fn apply(&self, event: &Event) -> Result<(), Stop> {
        if self.with(|run| {
            run.count_tick();
            run.closed
        }) {
            return Ok(());
        }
        match event {
            Event::Started { input } => self.call("start", (self.main.clone(), self.json(input)?))?,
            Event::ActivityCompleted { command, result, .. } => {
                self.with(|run| run.take_position(*command));
                self.call::<_, ()>("completed", (*command, self.json(result)?))?;
            }
            Event::ActivityFailed { command, error, .. } => {
                let at = self.with(|run| run.take_position(*command)).unwrap_or_default();
                self.call::<_, ()>("failed", (*command, self.json(&Json::of(error))?, at))?;
            }
            Event::SignalDelivered { command } => {
                self.with(|run| run.take_position(*command));
                self.call::<_, ()>("completed", (*command, rquickjs::Undefined))?;
            }
            Event::SignalRefused { command, error } => {
                let at = self.with(|run| run.take_position(*command)).unwrap_or_default();
                self.call::<_, ()>("failed", (*command, self.json(&Json::of(error))?, at))?;
            }
            Event::TimerFired { command } => self.call("fired", (*command,))?,
            Event::SignalReceived { name, payload } => self.call("signalled", (name.as_str(), self.json(payload)?))?,
            Event::CancelRequested { reason } => self.call("cancel", (reason.as_str(),))?,
        }
        self.settle()
    }

    fn settle(&self) -> Result<(), Stop> {
        loop {
            self.drain()?;
            if self.with(|run| run.closed) || !self.call::<_, bool>("fireZero", ())? {
                return Ok(());
            }
            self.with(RunState::count_tick);
        }
    }

    /// Runs jobs until none is left, or the run has ended.
    fn drain(&self) -> Result<(), Stop> {
        loop {
            if let Some(breach) = self.shared.budget.breach() {
                return Err(Stop::Breach(breach));
            }
            let closed = self.with(|run| {
                run.count_tick();
                run.closed
            });
            if closed || !self.ctx.execute_pending_job() {
                return Ok(());
            }
        }
    }

    /// What nobody has caught by now, nobody will: it ends the run, as it would end a process.
    fn finish(&self) -> Result<(), Stop> {
        let unhandled = std::mem::take(&mut *self.shared.unhandled.borrow_mut());
        for (_, reason) in unhandled {
            if self.with(|run| run.closed) {
                return Ok(());
            }
            let reason = reason.restore(self.ctx).map_err(|error| self.internal("read an error", error))?;
            self.call::<_, ()>("uncaught", (reason,))?;
        }
        if !self.with(|run| run.closed) {
            self.call::<_, ()>("endTurn", ())?;
        }
        match self.shared.budget.breach() {
            Some(breach) => Err(Stop::Breach(breach)),
            None => Ok(()),
        }
    }

    fn json(&self, json: &Json) -> Result<rquickjs::Value<'js>, Stop> {
        self.ctx.json_parse(json.get()).map_err(|error| self.internal("read an event", error))
    }

    fn call<A: IntoArgs<'js>, R: FromJs<'js>>(&self, name: &str, arguments: A) -> Result<R, Stop> {
        let call = || self.calls.get::<_, Function<'js>>(name)?.call(arguments);
        call().map_err(|error| self.internal(name, error))
    }

    fn internal(&self, doing: &str, error: rquickjs::Error) -> Stop {
        Stop::internal(&self.shared.budget, self.ctx, doing, error)
    }
}
