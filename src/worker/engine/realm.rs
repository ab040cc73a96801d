//! One context: intrinsics, shim, and the module of one version. It serves many runs of it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::OnceLock;

use rquickjs::context::intrinsic;
use rquickjs::module::WriteOptions;
use rquickjs::promise::PromiseState;
use rquickjs::{Context, Ctx, Function, Module, Object, Persistent, Promise, Runtime, Value, qjs};

use crate::api::Definition;

use super::errors::{Stop, describe};
use super::host::Shared;
use super::natives;
use super::positions::Positions;

/// The files share one scope, so that each can be small. The first lines are declarations only; `boot` runs them.
const SHIM: &str = concat!(
    include_str!("js/runs.js"),
    include_str!("js/errors.js"),
    include_str!("js/timers.js"),
    include_str!("js/signals.js"),
    include_str!("js/date.js"),
    include_str!("js/globals.js"),
    include_str!("js/url.js"),
    include_str!("js/freeze.js"),
    include_str!("js/forbidden.js"),
    include_str!("js/boot.js"),
);

/// Everything of the language but what depends on clocks and on the garbage collector.
type Intrinsics = (
    intrinsic::Date,
    intrinsic::Eval,
    intrinsic::RegExpCompiler,
    intrinsic::RegExp,
    intrinsic::Json,
    intrinsic::Proxy,
    intrinsic::MapSet,
    intrinsic::TypedArrays,
    intrinsic::Promise,
    intrinsic::DOMException,
);

/// The user's default export, of one evaluation of the module.
pub type Main = Persistent<Function<'static>>;

/// A context with everything but the user's code.
///
/// All that it brings is frozen, so runs can leave nothing in it for each other. What a run may change at the top level of
/// its module belongs to an *instance* of the module, which is its own unless the top level is immutable. (A context per run
/// took 3 ms and 400 KB, an instance takes a tenth of a percent of that.)
pub struct Realm {
    pub context: Context,
    calls: Persistent<Object<'static>>,
    /// The instance that all runs use, when the top level is immutable.
    pub common: RefCell<Option<Main>>,
    /// Evaluations of the module so far; QuickJS keeps each until the context goes.
    pub instances: Cell<usize>,
    pub positions: Rc<Positions>,
}

impl Realm {
    /// Intrinsics and shim, frozen; no code of the user yet.
    pub fn new(runtime: &Runtime, shared: &Rc<Shared>, definition: &Definition, source: &str) -> Result<Self, Stop> {
        let engine_error =
            |error: rquickjs::Error| Stop::blocked(super::errors::ENGINE_ERROR, format!("failed to make a context: {error}"));
        let context = Context::custom::<Intrinsics>(runtime).map_err(engine_error)?;
        let calls = context.with(|ctx| {
            measure_stack_from_here(&ctx);
            boot(&ctx, shared, definition).map_err(|error| Stop::internal(&shared.budget, &ctx, "build a realm", error))
        })?;
        let positions = Rc::new(Positions::of(source));
        Ok(Self { context, calls, common: RefCell::new(None), instances: Cell::new(0), positions })
    }

    /// Evaluates the user's module. Its top level may use time and randomness when a run is current, but no commands.
    pub fn load(&self, shared: &Shared, workflow: &str) -> Result<Main, Stop> {
        self.instances.set(self.instances.get() + 1);
        self.context.with(|ctx| {
            measure_stack_from_here(&ctx);
            load(&ctx, shared, workflow, self.positions.text())
        })
    }

    /// The shim's state of a new run.
    pub fn new_run(&self, shared: &Shared) -> Result<Persistent<Object<'static>>, Stop> {
        self.context.with(|ctx| {
            let make = || -> rquickjs::Result<_> {
                let handle: Object<'_> = self.calls(&ctx)?.get::<_, Function<'_>>("newRun")?.call(())?;
                Ok(Persistent::save(&ctx, handle))
            };
            make().map_err(|error| Stop::internal(&shared.budget, &ctx, "make a run", error))
        })
    }

    /// From now on code runs for this run. While `loading`, commands are refused.
    pub fn enter(&self, shared: &Shared, handle: &Persistent<Object<'static>>, loading: bool) -> Result<(), Stop> {
        self.context.with(|ctx| {
            let enter = || self.calls(&ctx)?.get::<_, Function<'_>>("enter")?.call::<_, ()>((handle.clone().restore(&ctx)?, loading));
            enter().map_err(|error| Stop::internal(&shared.budget, &ctx, "enter a run", error))
        })
    }

    /// The functions that the shim gave for events.
    pub fn calls<'js>(&self, ctx: &Ctx<'js>) -> rquickjs::Result<Object<'js>> {
        self.calls.clone().restore(ctx)
    }
}

/// The limit of the stack counts from where this is called, wherever on its thread the engine stands.
pub fn measure_stack_from_here(ctx: &Ctx<'_>) {
    // SAFETY: the runtime of a living context, on its thread.
    unsafe { qjs::JS_UpdateStackTop(qjs::JS_GetRuntime(ctx.as_raw().as_ptr())) };
}

fn boot<'js>(ctx: &Ctx<'js>, shared: &Rc<Shared>, definition: &Definition) -> rquickjs::Result<Persistent<Object<'static>>> {
    let (shim, promise) = shim(ctx)?.eval()?;
    promise.finish::<()>()?;
    let boot: Function<'js> = shim.get("default")?;
    let names: Vec<&str> = definition.activities.keys().map(String::as_str).collect();
    let calls: Object<'js> = boot.call((natives::install(ctx, shared)?, names))?;
    for (name, source) in [("everloop", include_str!("js/module.js")), ("everloop/internal", include_str!("js/internal.js"))] {
        Module::evaluate(ctx.clone(), name, source)?.finish::<()>()?;
    }
    calls.get::<_, Function<'js>>("seal")?.call::<_, ()>(())?;
    Ok(Persistent::save(ctx, calls))
}

/// The shim, compiled once in this process.
fn shim<'js>(ctx: &Ctx<'js>) -> rquickjs::Result<Module<'js>> {
    static BYTECODE: OnceLock<Vec<u8>> = OnceLock::new();
    if let Some(bytecode) = BYTECODE.get() {
        // SAFETY: the bytes were written by this very process and engine.
        return unsafe { Module::load(ctx.clone(), bytecode) };
    }
    let module = Module::declare(ctx.clone(), "everloop:shim", SHIM)?;
    let bytecode = module.write(WriteOptions::default())?;
    let _ = BYTECODE.set(bytecode);
    Ok(module)
}

fn load<'js>(ctx: &Ctx<'js>, shared: &Shared, workflow: &str, source: &str) -> Result<Main, Stop> {
    let broken = |doing: &str, error: rquickjs::Error| match shared.budget.breach() {
        Some(breach) => {
            ctx.catch();
            Stop::Breach(breach)
        }
        None => Stop::broken_source(format!(
            "{workflow}.js does not {doing}:\n\n{}\n\nFix the source and apply it; then `everloop resume` this run.",
            indent(&describe(ctx, error))
        )),
    };
    // Imports resolve while the module is declared; afterwards every request to resolve one is a dynamic import.
    shared.resolves_imports.set(true);
    let declared = Module::declare(ctx.clone(), format!("{workflow}.js"), source);
    shared.resolves_imports.set(false);
    let module = declared.map_err(|error| broken("load", error))?;
    let (module, promise) = module.eval().map_err(|error| broken("load", error))?;
    while shared.budget.breach().is_none() && ctx.execute_pending_job() {}
    if let Some(breach) = shared.budget.breach() {
        return Err(Stop::Breach(breach));
    }
    // A failed top level is reported here and not once more at the end of the first turn.
    shared.unhandled.borrow_mut().clear();
    finished(&promise).map_err(|error| match error {
        Some(error) => broken("load: its top level threw", error),
        None => Stop::broken_source(format!("{workflow}.js does not load: its top level awaits something that never comes")),
    })?;
    let main: Value<'js> = module.get("default").map_err(|error| broken("load", error))?;
    let Some(main) = main.into_function() else {
        return Err(Stop::broken_source(format!(
            "{workflow}.js has no default export that is a function: write `export default async function ...`"
        )));
    };
    Ok(Persistent::save(ctx, main))
}

/// `Err(None)`: still pending.
fn finished(promise: &Promise<'_>) -> Result<(), Option<rquickjs::Error>> {
    match promise.state() {
        PromiseState::Pending => Err(None),
        PromiseState::Resolved => Ok(()),
        PromiseState::Rejected => promise.result::<()>().unwrap_or(Ok(())).map_err(Some),
    }
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}
