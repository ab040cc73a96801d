//! What the shim may ask of the host: commands, time, randomness, the log. Texts and URLs are in `natives_text`.

use std::rc::Rc;

use rquickjs::{Ctx, Exception, Function, Object, Result, Value};

use crate::api::json::InvalidJson;
use crate::api::{DurationMs, Json, RunError, RunId, limits};

use super::budget::Breach;
use super::errors::describe;
use super::host::Shared;
use super::run_state::{RunState, truncate};
use super::stacks;

/// The object that `boot` is given.
pub fn install<'js>(ctx: &Ctx<'js>, shared: &Rc<Shared>) -> Result<Object<'js>> {
    let host = Object::new(ctx.clone())?;
    commands(ctx, shared, &host)?;
    endings(ctx, shared, &host)?;
    facts(ctx, shared, &host)?;
    super::natives_text::install(ctx, &host)?;
    Ok(host)
}

fn commands<'js>(ctx: &Ctx<'js>, shared: &Rc<Shared>, host: &Object<'js>) -> Result<()> {
    let s = shared.clone();
    host.set(
        "schedule",
        Function::new(ctx.clone(), move |ctx: Ctx<'js>, name: String, argument: Value<'js>| {
            let json =
                encode(&ctx, &s, argument).map_err(|e| Exception::throw_type(&ctx, &format!("the argument of {name} {}", e.text)))?;
            let callee = name.clone();
            command(&ctx, &s, &[&callee], |run, at| run.schedule(name, json, at()))
        })?,
    )?;
    let s = shared.clone();
    host.set(
        "signalRun",
        Function::new(ctx.clone(), move |ctx: Ctx<'js>, run: String, name: String, payload: Value<'js>| {
            let run: RunId = run.parse().map_err(|e: crate::api::ids::InvalidId| Exception::throw_type(&ctx, &e.to_string()))?;
            if name.len() > limits::SIGNAL_NAME_BYTES_MAX || name.chars().any(char::is_control) {
                let max = limits::SIGNAL_NAME_BYTES_MAX;
                return Err(Exception::throw_type(&ctx, &format!("a signal's name has 1 to {max} bytes and no control characters")));
            }
            let json = encode(&ctx, &s, payload)
                .map_err(|e| Exception::throw_type(&ctx, &format!("the payload of the signal {name} {}", e.text)))?;
            command(&ctx, &s, &["signalRun"], |state, at| state.signal_run(run, name, json, at()))
        })?,
    )?;
    let s = shared.clone();
    host.set(
        "timer",
        // `from`: the timer that this one repeats, whose position it has; negative when there is none.
        Function::new(ctx.clone(), move |ctx: Ctx<'js>, name: String, ms: f64, from: i64| {
            let callee = name.clone();
            command(&ctx, &s, &[&callee], |run, at| {
                let inherited = u32::try_from(from).ok().and_then(|from| run.take_position(from));
                let at = inherited.unwrap_or_else(at);
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked by the shim: 0 to 2^53")]
                run.start_timer(name, DurationMs(ms as u64), at)
            })
        })?,
    )?;
    let s = shared.clone();
    host.set(
        "cancelTimer",
        Function::new(ctx.clone(), move |ctx: Ctx<'js>, timer: u32| {
            command(&ctx, &s, &["clearTimeout", "clearInterval"], |run, at| run.cancel_timer(timer, at()))
        })?,
    )
}

/// Issues a command, when the run is open and the turn has room for it.
fn command<T>(
    ctx: &Ctx<'_>,
    shared: &Shared,
    callees: &[&str],
    issue: impl FnOnce(&mut RunState, &mut dyn FnMut() -> String) -> T,
) -> Result<T> {
    let Some(run) = &mut *shared.current.borrow_mut() else { return Err(no_run(ctx)) };
    if run.closed {
        return Err(Exception::throw_message(ctx, "the run has ended"));
    }
    if !run.admit_command(shared.limits.turn_commands) {
        shared.budget.note(Breach::Commands);
        return Err(Exception::throw_message(ctx, "too many commands in one turn"));
    }
    let at = run.position(|| stacks::position(ctx, shared, callees));
    Ok(issue(run, &mut || at.clone()))
}

fn endings<'js>(ctx: &Ctx<'js>, shared: &Rc<Shared>, host: &Object<'js>) -> Result<()> {
    let s = shared.clone();
    host.set(
        "complete",
        Function::new(ctx.clone(), move |ctx: Ctx<'js>, result: Value<'js>| {
            let encoded = encode(&ctx, &s, result);
            s.with_run(&ctx, |run| match encoded {
                Ok(json) => run.complete(json),
                Err(e) => run.fail(RunError::new(e.kind, format!("the result {}", e.text))),
            })
        })?,
    )?;
    let s = shared.clone();
    host.set(
        "fail",
        Function::new(ctx.clone(), move |ctx: Ctx<'js>, error: String| {
            let mut error = serde_json::from_str(&error).unwrap_or_else(|_| RunError::new("Error", "an error that cannot be described"));
            bound(&mut error);
            s.with_run(&ctx, |run| run.fail(error))
        })?,
    )?;
    host.set("isPromise", Function::new(ctx.clone(), |value: Value<'js>| value.is_promise())?)?;
    let s = shared.clone();
    host.set("cancelled", Function::new(ctx.clone(), move |ctx: Ctx<'js>, reason: String| s.with_run(&ctx, |run| run.cancelled(reason)))?)?;
    let s = shared.clone();
    host.set(
        "details",
        // JSON text, or undefined for what cannot be written.
        Function::new(ctx.clone(), move |ctx: Ctx<'js>, value: Value<'js>| encode(&ctx, &s, value).ok().map(|json| json.get().to_owned()))?,
    )
}

fn facts<'js>(ctx: &Ctx<'js>, shared: &Rc<Shared>, host: &Object<'js>) -> Result<()> {
    let s = shared.clone();
    host.set("tick", Function::new(ctx.clone(), move |ctx: Ctx<'js>| s.with_run(&ctx, |run| run.tick()))?)?;
    let s = shared.clone();
    #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit a double for 285,000 years")]
    host.set("now", Function::new(ctx.clone(), move |ctx: Ctx<'js>| s.with_run(&ctx, |run| run.at.0 as f64))?)?;
    let s = shared.clone();
    host.set("random", Function::new(ctx.clone(), move |ctx: Ctx<'js>| s.with_run(&ctx, |run| run.random().next_f64()))?)?;
    let s = shared.clone();
    host.set("uuid", Function::new(ctx.clone(), move |ctx: Ctx<'js>| s.with_run(&ctx, |run| run.random().next_uuid()))?)?;
    let s = shared.clone();
    host.set(
        "info",
        Function::new(ctx.clone(), move |ctx: Ctx<'js>, key: String| {
            s.with_run(&ctx, |run| {
                let facts = run.facts();
                match key.as_str() {
                    "id" => facts.id.as_str(),
                    "namespace" => facts.kind.namespace.as_str(),
                    "workflow" => &facts.kind.workflow,
                    "version" => facts.kind.version.as_str(),
                    _ => facts.uid.as_str(),
                }
                .to_owned()
            })
        })?,
    )?;
    let s = shared.clone();
    #[expect(clippy::cast_precision_loss, reason = "as above")]
    host.set("startedAt", Function::new(ctx.clone(), move |ctx: Ctx<'js>| s.with_run(&ctx, |run| run.facts().started_at.0 as f64))?)?;
    let s = shared.clone();
    host.set(
        "log",
        Function::new(ctx.clone(), move |ctx: Ctx<'js>, level: String, text: String| s.with_run(&ctx, |run| run.log(level, text)))?,
    )?;
    let s = shared.clone();
    host.set("listen", Function::new(ctx.clone(), move |ctx: Ctx<'js>, name: String| s.with_run(&ctx, |run| run.listen(name)))?)?;
    let s = shared.clone();
    host.set(
        "stack",
        Function::new(ctx.clone(), move |ctx: Ctx<'js>, error: Value<'js>, sites: Value<'js>| stacks::prepare(&ctx, &s, &error, &sites))?,
    )?;
    #[expect(clippy::cast_precision_loss, reason = "a duration is at most 2^53")]
    host.set(
        "duration",
        Function::new(ctx.clone(), |ctx: Ctx<'js>, text: String| match text.parse::<DurationMs>() {
            Ok(duration) => Ok(duration.0 as f64),
            Err(e) => Err(Exception::throw_type(&ctx, &e.to_string())),
        })?,
    )
}

fn bound(error: &mut RunError) {
    truncate(&mut error.message, limits::ERROR_TEXT_BYTES_MAX);
    truncate(&mut error.stack, limits::ERROR_TEXT_BYTES_MAX);
    error.cause.as_deref_mut().map(bound);
}

pub fn no_run(ctx: &Ctx<'_>) -> rquickjs::Error {
    Exception::throw_message(ctx, "this cannot be used at the top level of a module: use it inside of the exported function")
}

/// Why a value cannot leave the run.
struct Unencodable {
    kind: &'static str,
    /// Completes "the argument of pay ...".
    text: String,
}

/// A value as JSON, within the bounds of a payload.
fn encode<'js>(ctx: &Ctx<'js>, shared: &Shared, value: Value<'js>) -> std::result::Result<Json, Unencodable> {
    let not_serializable = |text: String| Unencodable { kind: "NotSerializable", text };
    // A value that is nested too deeply overflows the stack in here. That is an error of the value, and said below.
    let outer = shared.tolerates_overflow.replace(true);
    let json = ctx.json_stringify(value);
    shared.tolerates_overflow.set(outer);
    let json = match json {
        Ok(Some(json)) => json.to_string(),
        Ok(None) => return Err(not_serializable("is a function or a symbol, which JSON cannot express".into())),
        Err(error) => Err(error),
    };
    let json = json.map_err(|error| {
        let text = describe(ctx, error);
        not_serializable(format!("cannot be written as JSON: {}", text.lines().next().unwrap_or_default()))
    })?;
    Json::checked(&json).map_err(|error| match error {
        InvalidJson::Syntax(_) => not_serializable(format!("cannot be written as JSON: {error}")),
        InvalidJson::TooLarge { .. } | InvalidJson::TooDeep { .. } => {
            Unencodable { kind: "PayloadTooLarge", text: format!("is too large: {error}; keep large data elsewhere and pass a reference") }
        }
    })
}
