//! Stacks as the user should see them: only frames of the user's module, with the user's lines and columns.
//!
//! QuickJS calls one hook for every error that it makes, its own included, with the frames; that is also where an overflow
//! of the stack is seen, whether or not the code catches it. (A native hook is called without a check of the stack, so it
//! runs even then.) A stack overflow is known by its message, the only thing that marks it: code that makes a `RangeError`
//! of the same words is taken for one.

use rquickjs::{Array, Ctx, Object, Value, qjs};

use super::budget::Breach;
use super::host::Shared;

/// Modules of the shim; their frames are left out.
pub const SHIM_PREFIX: &str = "everloop";

const OVERFLOW: &str = "Maximum call stack size exceeded";

/// The hook: what `error.stack` will be.
pub fn prepare<'js>(ctx: &Ctx<'js>, shared: &Shared, error: &Value<'js>, sites: &Value<'js>) -> String {
    if matches!(shared.lookout.get(), Lookout::On) {
        if let Some(frame) = frames(sites).find_map(|site| UserFrame::of(&site)) {
            shared.lookout.set(Lookout::Found(frame.line, frame.column));
        }
        return String::new();
    }
    if is_overflow(ctx, error) && !shared.tolerates_overflow.get() {
        shared.budget.note(Breach::Stack);
        return String::new();
    }
    let mut stack = String::new();
    for frame in frames(sites).filter_map(|site| UserFrame::of(&site)) {
        match frame.function.as_str() {
            "" | "<anonymous>" => stack.push_str(&format!("    at {}:{}\n", frame.file, frame.position())),
            function => stack.push_str(&format!("    at {function} ({}:{})\n", frame.file, frame.position())),
        }
    }
    // A frame that could not be asked leaves its exception behind.
    ctx.catch();
    stack
}

fn is_overflow<'js>(ctx: &Ctx<'js>, error: &Value<'js>) -> bool {
    let message = error.as_object().map(|error| error.get::<_, Value<'js>>("message"));
    match message {
        Some(Ok(message)) => message.as_string().is_some_and(|message| message.to_string().is_ok_and(|text| text == OVERFLOW)),
        Some(Err(_)) => {
            ctx.catch();
            false
        }
        None => false,
    }
}

fn frames<'js>(sites: &Value<'js>) -> impl Iterator<Item = Object<'js>> {
    let sites: Option<Array<'js>> = sites.as_array().cloned();
    sites.into_iter().flat_map(|sites| (0..sites.len()).map_while(move |index| sites.get(index).ok()))
}

struct UserFrame {
    file: String,
    function: String,
    line: usize,
    column: usize,
}

impl UserFrame {
    fn of(site: &Object<'_>) -> Option<Self> {
        let file: String = ask(site, "getFileName")?;
        if file.starts_with(SHIM_PREFIX) && !file.ends_with(".js") {
            return None;
        }
        let function = ask(site, "getFunctionName").unwrap_or_default();
        Some(Self { file, function, line: ask(site, "getLineNumber")?, column: ask(site, "getColumnNumber")? })
    }

    fn position(&self) -> String {
        format!("{}:{}", self.line, self.column)
    }
}

fn ask<'js, T: rquickjs::FromJs<'js>>(site: &Object<'js>, method: &str) -> Option<T> {
    let method: rquickjs::Function<'js> = site.get(method).ok()?;
    method.call((rquickjs::function::This(site.clone()),)).ok()
}

/// What the hook does with the next error.
#[derive(Debug, Clone, Copy)]
pub enum Lookout {
    /// It gives it a stack.
    Off,
    /// The error was made for its position only.
    On,
    /// Line and column of the innermost frame of the user.
    Found(usize, usize),
}

/// `line:column` of the call of one of `callees` in the user's module; empty when there is no such frame (a timer's own callback, say).
pub fn position(ctx: &Ctx<'_>, shared: &Shared, callees: &[&str]) -> String {
    shared.lookout.set(Lookout::On);
    // SAFETY: the context is alive and its runtime is ours; the value is freed right away. Making an error calls the hook.
    unsafe {
        let error = qjs::JS_NewError(ctx.as_raw().as_ptr());
        qjs::JS_FreeValue(ctx.as_raw().as_ptr(), error);
    }
    let Lookout::Found(line, column) = shared.lookout.replace(Lookout::Off) else { return String::new() };
    let positions = shared.positions.borrow();
    let (line, column) = callees.iter().find_map(|callee| positions.call_of(callee, line, column)).unwrap_or((line, column));
    format!("{line}:{column}")
}
