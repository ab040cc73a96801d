//! One context: the shim and one activity's module. It serves all calls of the activity.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use rquickjs::context::intrinsic;
use rquickjs::promise::PromiseState;
use rquickjs::{CatchResultExt as _, Context, Ctx, Function, Module, Object, Persistent, Promise, Runtime, Value};

use crate::worker::engine::natives_text;

/// The files share one scope; the first ones are the engine's, so that both have the same globals.
const SHIM: &str = concat!(
    include_str!("../../engine/js/errors.js"),
    include_str!("../../engine/js/globals.js"),
    include_str!("../../engine/js/url.js"),
    include_str!("script.js"),
);

/// What the code asked of its thread. Numbers of timers and fetches are the thread's.
#[derive(Debug)]
pub(super) enum Effect {
    /// A call has settled.
    Settled { call: u64, ok: bool, retryable: bool, json: String },
    /// Send a request.
    Fetch { call: u64, id: u64, request: String },
    /// Forget a request.
    CancelFetch { id: u64 },
    /// Call back later.
    Timer { call: u64, id: u64, ms: f64 },
    /// Or not.
    ClearTimer { id: u64 },
    /// A call lives.
    Heartbeat { call: u64 },
    /// To the worker's log.
    Log { level: String, text: String },
}

/// Where effects are put while code runs.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pub(super) effects: RefCell<Vec<Effect>>,
    last_id: Cell<u64>,
}

impl Outbox {
    fn push(&self, effect: Effect) {
        self.effects.borrow_mut().push(effect);
    }

    fn next_id(&self) -> u64 {
        self.last_id.set(self.last_id.get() + 1);
        self.last_id.get()
    }
}

/// See the module.
pub(super) struct Realm {
    pub(super) context: Context,
    calls: Persistent<Object<'static>>,
}

impl Realm {
    /// The shim; no code of the user yet.
    pub(super) fn new(runtime: &Runtime, outbox: &Rc<Outbox>) -> Result<Self, String> {
        let context = Context::custom::<intrinsic::All>(runtime).map_err(|e| e.to_string())?;
        let calls = context.with(|ctx| {
            let boot = || -> rquickjs::Result<_> {
                let (shim, promise) = Module::declare(ctx.clone(), "everloop-script", SHIM)?.eval()?;
                promise.finish::<()>()?;
                let boot: Function<'_> = shim.get("default")?;
                let calls: Object<'_> = boot.call((natives(&ctx, outbox)?,))?;
                Ok(Persistent::save(&ctx, calls))
            };
            boot().catch(&ctx).map_err(|e| e.to_string())
        })?;
        Ok(Self { context, calls })
    }

    /// Begins to evaluate the user's module; its jobs are run by the caller, then [`Self::loaded`] says what came of it.
    pub(super) fn load(&self, name: &str, source: &str) -> Result<Persistent<Object<'static>>, String> {
        self.context.with(|ctx| {
            let load = || -> rquickjs::Result<_> {
                let (module, promise) = Module::declare(ctx.clone(), name, source)?.eval()?;
                let pair = Object::new(ctx.clone())?;
                pair.set("namespace", module.namespace()?)?;
                pair.set("promise", promise)?;
                Ok(Persistent::save(&ctx, pair))
            };
            load().catch(&ctx).map_err(|e| e.to_string())
        })
    }

    /// The module is evaluated: its default export is what calls run.
    pub(super) fn loaded(&self, pair: Persistent<Object<'static>>) -> Result<(), String> {
        self.context.with(|ctx| {
            let take = || -> rquickjs::Result<Option<&str>> {
                let pair = pair.restore(&ctx)?;
                let promise: Promise<'_> = pair.get("promise")?;
                if promise.state() == PromiseState::Pending {
                    return Ok(Some("its top level waits for something: await inside of the exported function"));
                }
                promise.finish::<Value<'_>>()?;
                let namespace: Object<'_> = pair.get("namespace")?;
                let Some(main) = namespace.get::<_, Value<'_>>("default")?.into_function() else {
                    return Ok(Some("it exports no function: write `export default async (input, context) => ...`"));
                };
                self.function(&ctx, "setMain")?.call::<_, ()>((main,))?;
                Ok(None)
            };
            match take().catch(&ctx) {
                Ok(None) => Ok(()),
                Ok(Some(broken)) => Err(broken.to_owned()),
                Err(error) => Err(error.to_string()),
            }
        })
    }

    /// One of the functions that the shim gave.
    pub(super) fn function<'js>(&self, ctx: &Ctx<'js>, name: &str) -> rquickjs::Result<Function<'js>> {
        self.calls.clone().restore(ctx)?.get(name)
    }
}

/// Numbers cross as doubles, which are exact up to 2^53.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the shim gives back numbers that it got")]
fn number(value: f64) -> u64 {
    value as u64
}

#[expect(clippy::cast_precision_loss, reason = "as above")]
pub(super) fn double(value: u64) -> f64 {
    value as f64
}

fn natives<'js>(ctx: &Ctx<'js>, outbox: &Rc<Outbox>) -> rquickjs::Result<Object<'js>> {
    let host = Object::new(ctx.clone())?;
    natives_text::install(ctx, &host)?;
    host.set("uuid", Function::new(ctx.clone(), || uuid::Uuid::from_u128(random_v4()).to_string())?)?;
    host.set("random", Function::new(ctx.clone(), rand::random::<f64>)?)?;
    let o = outbox.clone();
    let settle = move |call: f64, ok: bool, retryable: bool, json: String| {
        o.push(Effect::Settled { call: number(call), ok, retryable, json });
    };
    host.set("settle", Function::new(ctx.clone(), settle)?)?;
    let o = outbox.clone();
    let fetch = move |call: f64, request: String| {
        let id = o.next_id();
        o.push(Effect::Fetch { call: number(call), id, request });
        double(id)
    };
    host.set("fetch", Function::new(ctx.clone(), fetch)?)?;
    let o = outbox.clone();
    host.set("cancelFetch", Function::new(ctx.clone(), move |id: f64| o.push(Effect::CancelFetch { id: number(id) }))?)?;
    let o = outbox.clone();
    let timer = move |call: f64, ms: f64| {
        let id = o.next_id();
        o.push(Effect::Timer { call: number(call), id, ms });
        double(id)
    };
    host.set("timer", Function::new(ctx.clone(), timer)?)?;
    let o = outbox.clone();
    let again = move |call: f64, id: f64, ms: f64| o.push(Effect::Timer { call: number(call), id: number(id), ms });
    host.set("timerAgain", Function::new(ctx.clone(), again)?)?;
    let o = outbox.clone();
    host.set("clearTimer", Function::new(ctx.clone(), move |id: f64| o.push(Effect::ClearTimer { id: number(id) }))?)?;
    let o = outbox.clone();
    host.set("heartbeat", Function::new(ctx.clone(), move |call: f64| o.push(Effect::Heartbeat { call: number(call) }))?)?;
    let o = outbox.clone();
    host.set("log", Function::new(ctx.clone(), move |level: String, text: String| o.push(Effect::Log { level, text }))?)?;
    Ok(host)
}

/// 122 random bits with the marks of a version 4 UUID (RFC 9562).
fn random_v4() -> u128 {
    (rand::random::<u128>() & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62)
}
