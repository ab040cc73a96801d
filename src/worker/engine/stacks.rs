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

/// Lines that the arguments of one call are looked for over.
const CALL_LINES_MAX: usize = 40;
const OVERFLOW: &str = "Maximum call stack size exceeded";

/// The hook: what `error.stack` will be.
pub fn prepare<'js>(ctx: &Ctx<'js>, shared: &Shared, error: &Value<'js>, sites: &Value<'js>) -> String {
    if let Some(position) = &mut *shared.position.borrow_mut() {
        *position = frames(sites).find_map(|site| UserFrame::of(&site)).map(|frame| (frame.line, frame.column));
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

/// `line:column` of the call of one of `callees` in the user's module; empty when there is no such frame (a timer's own callback, say).
pub fn position(ctx: &Ctx<'_>, shared: &Shared, callees: &[&str]) -> String {
    *shared.position.borrow_mut() = Some(None);
    // SAFETY: the context is alive and its runtime is ours; the value is freed right away. Making an error calls the hook.
    unsafe {
        let error = qjs::JS_NewError(ctx.as_raw().as_ptr());
        qjs::JS_FreeValue(ctx.as_raw().as_ptr(), error);
    }
    let Some((line, column)) = shared.position.borrow_mut().take().flatten() else { return String::new() };
    let source = shared.source.borrow();
    let (line, column) = callees.iter().find_map(|callee| callee_position(&source, line, column, callee)).unwrap_or((line, column));
    format!("{line}:{column}")
}

/// QuickJS gives a call the position of the last name inside of its parentheses. The call itself is the nearest `callee(`
/// before it whose parenthesis is still open there.
fn callee_position(source: &str, line: usize, column: usize, callee: &str) -> Option<(usize, usize)> {
    let first_line = line.saturating_sub(CALL_LINES_MAX);
    let mut before: Vec<char> = Vec::new();
    for text in source.split('\n').skip(first_line).take(line - 1 - first_line) {
        before.extend(text.chars().chain(['\n']));
    }
    let last: Vec<char> = source.split('\n').nth(line - 1)?.chars().collect();
    before.extend(last.iter().take(column - 1));
    let name: Vec<char> = callee.chars().collect();
    if last.get(column - 1..)?.starts_with(&name) {
        return Some((line, column));
    }
    let is_name = |c: &char| c.is_alphanumeric() || *c == '_' || *c == '$';
    for start in (0..before.len().saturating_sub(name.len())).rev() {
        let rest = &before[start..];
        if !rest.starts_with(&name) || (start > 0 && is_name(&before[start - 1])) {
            continue;
        }
        let mut open = 0_usize;
        let mut after = rest[name.len()..].iter().skip_while(|c| c.is_whitespace());
        if after.next() != Some(&'(') {
            continue;
        }
        open += 1;
        for c in after {
            match c {
                '(' => open += 1,
                ')' => open = open.saturating_sub(1),
                _ => {}
            }
            if open == 0 {
                break;
            }
        }
        if open > 0 {
            let lines = before[..start].iter().filter(|c| **c == '\n').count();
            let column = before[..start].iter().rev().take_while(|c| **c != '\n').count() + 1;
            return Some((first_line + 1 + lines, column));
        }
    }
    None
}
