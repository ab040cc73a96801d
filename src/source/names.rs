//! The names that a module may use, and what to say about those that it may not.

/// What a module is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Durable code: everything it sees is recorded or deterministic.
    Workflow,
    /// A `script` activity: it runs anew in every attempt.
    Script,
}

/// What `import ... from "everloop"` offers.
pub const EVERLOOP: &[&str] = &["ActivityError", "CancelledError", "onSignal", "run", "shield", "signal", "signalRun", "sleep"];

/// Globals of every module, sorted.
const GLOBALS: &[&str] = &[
    "AbortController",
    "AbortSignal",
    "AggregateError",
    "Array",
    "ArrayBuffer",
    "BigInt",
    "BigInt64Array",
    "BigUint64Array",
    "Boolean",
    "DOMException",
    "DataView",
    "Date",
    "Error",
    "EvalError",
    "Float16Array",
    "Float32Array",
    "Float64Array",
    "Infinity",
    "Int16Array",
    "Int32Array",
    "Int8Array",
    "Iterator",
    "JSON",
    "Map",
    "Math",
    "NaN",
    "Number",
    "Object",
    "Promise",
    "Proxy",
    "RangeError",
    "ReferenceError",
    "Reflect",
    "RegExp",
    "Set",
    "String",
    "Symbol",
    "SyntaxError",
    "TextDecoder",
    "TextEncoder",
    "TypeError",
    "URIError",
    "URL",
    "URLSearchParams",
    "Uint16Array",
    "Uint32Array",
    "Uint8Array",
    "Uint8ClampedArray",
    "WeakMap",
    "WeakSet",
    "arguments",
    "atob",
    "btoa",
    "clearInterval",
    "clearTimeout",
    "console",
    "crypto",
    "decodeURI",
    "decodeURIComponent",
    "encodeURI",
    "encodeURIComponent",
    "escape",
    "globalThis",
    "isFinite",
    "isNaN",
    "parseFloat",
    "parseInt",
    "queueMicrotask",
    "setInterval",
    "setTimeout",
    "structuredClone",
    "undefined",
    "unescape",
];

/// Globals that only a script activity has: they depend on the world outside or on the garbage collector.
const SCRIPT_GLOBALS: &[&str] = &["FinalizationRegistry", "WeakRef", "fetch"];

const NO_IO: &str = "a workflow does no input or output itself; declare an activity (http, script or queue) and call it";
const NO_CODE: &str = "code from strings is not supported; write the function, or keep data in JSON and use `JSON.parse`";
const NO_COLLECTOR: &str = "when memory is freed differs from replay to replay; use Map, Set, WeakMap or WeakSet";
const NO_THREADS: &str = "a run has one thread and shares no memory; run things at the same time with `Promise.all`";
const NO_HOST: &str = "there is no Node.js, browser, Deno or Bun here; pass values in the input, or do it in an activity";

/// Names that people try and that are not there, sorted, with what to do instead.
const FORBIDDEN: &[(&str, &str)] = &[
    ("Atomics", NO_THREADS),
    ("BroadcastChannel", NO_THREADS),
    ("Buffer", "use Uint8Array with TextEncoder and TextDecoder, and `atob`/`btoa` for base64"),
    ("Bun", NO_HOST),
    ("Deno", NO_HOST),
    ("EventSource", NO_IO),
    ("FinalizationRegistry", NO_COLLECTOR),
    ("Function", NO_CODE),
    ("Intl", "its data differs from engine to engine; format numbers and dates in an activity or by hand"),
    ("MessageChannel", NO_THREADS),
    ("SharedArrayBuffer", NO_THREADS),
    ("Temporal", "use `Date`, which is in UTC"),
    ("WeakRef", NO_COLLECTOR),
    ("WebAssembly", "run it in an activity (queue or http)"),
    ("WebSocket", NO_IO),
    ("Worker", NO_THREADS),
    ("XMLHttpRequest", NO_IO),
    ("__dirname", NO_HOST),
    ("__filename", NO_HOST),
    ("alert", NO_IO),
    ("caches", NO_IO),
    ("clearImmediate", "use `clearTimeout`"),
    ("document", NO_HOST),
    ("eval", NO_CODE),
    ("exports", "this is an ES module; write `export default async function ...`"),
    (
        "fetch",
        "a workflow does no input or output itself; move this call into an activity (http, or script, which has `fetch`) and call that",
    ),
    ("indexedDB", NO_IO),
    ("localStorage", "variables of a workflow are durable as they are; for data outside of it, use an activity"),
    ("module", "this is an ES module; write `export default async function ...`"),
    ("navigator", NO_HOST),
    ("performance", "use `Date.now()`; time in a run is the time of its turn"),
    ("process", NO_HOST),
    ("requestAnimationFrame", "use `setTimeout` or `sleep`"),
    ("require", "this is an ES module, and only \"everloop\" can be imported; put other code into the source or into an activity"),
    ("sessionStorage", "variables of a workflow are durable as they are; for data outside of it, use an activity"),
    ("setImmediate", "use `setTimeout(f, 0)` or `queueMicrotask(f)`"),
    ("window", "use `globalThis`"),
];

/// Whether a module of this role has the global.
pub(super) fn is_global(name: &str, role: Role) -> bool {
    GLOBALS.binary_search(&name).is_ok() || (role == Role::Script && SCRIPT_GLOBALS.contains(&name))
}

/// What to do instead of a global that is not there on purpose.
pub(super) fn instead_of(name: &str, role: Role) -> Option<&'static str> {
    if role == Role::Script && SCRIPT_GLOBALS.contains(&name) {
        return None;
    }
    let at = FORBIDDEN.binary_search_by_key(&name, |(forbidden, _)| forbidden).ok()?;
    let help = FORBIDDEN[at].1;
    Some(if role == Role::Script && help == NO_IO { "use `fetch`" } else { help })
}

/// All globals of a role.
pub(super) fn globals<'n>(role: Role) -> impl Iterator<Item = &'n str> {
    let more: &[&str] = if role == Role::Script { SCRIPT_GLOBALS } else { &[] };
    GLOBALS.iter().chain(more).copied().filter(|name| *name != "arguments")
}

/// The name that was probably meant: another case, or few edits away (Damerau-Levenshtein, at most a third of the length).
#[must_use]
pub fn nearest<'n>(wrong: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    // Words longer than any declared name are not worth a quadratic comparison.
    if wrong.len() > 100 {
        return None;
    }
    let allowed = (wrong.chars().count() / 3).clamp(1, 4);
    names
        .into_iter()
        .filter(|name| *name != wrong && name.len().abs_diff(wrong.len()) <= 4 * allowed)
        .map(|name| {
            let same = name.eq_ignore_ascii_case(wrong);
            (if same { 0 } else { strsim::damerau_levenshtein(&name.to_ascii_lowercase(), &wrong.to_ascii_lowercase()) }, name)
        })
        .filter(|(distance, name)| *distance <= allowed && *distance < name.chars().count())
        .min()
        .map(|(_, name)| name)
}

/// Words that a variable cannot have as its name in a module.
const RESERVED: &[&str] = &[
    "arguments",
    "await",
    "break",
    "case",
    "catch",
    "class",
    "const",
    "continue",
    "debugger",
    "default",
    "delete",
    "do",
    "else",
    "enum",
    "eval",
    "export",
    "extends",
    "false",
    "finally",
    "for",
    "function",
    "if",
    "implements",
    "import",
    "in",
    "instanceof",
    "interface",
    "let",
    "new",
    "null",
    "package",
    "private",
    "protected",
    "public",
    "return",
    "static",
    "super",
    "switch",
    "this",
    "throw",
    "true",
    "try",
    "typeof",
    "var",
    "void",
    "while",
    "with",
    "yield",
];

/// Why a text cannot name an activity, which is called by this name as a function.
#[must_use]
pub fn activity_name_problem(name: &str) -> Option<(String, String)> {
    if !oxc_syntax::identifier::is_identifier_name(name) {
        let help = identifier_like(name).map_or_else(String::new, |better| format!("call it `{better}`"));
        return Some((format!("activity name {name:?} is not a JavaScript name"), help));
    }
    if RESERVED.contains(&name) {
        return Some((format!("activity name `{name}` is a word of JavaScript"), "choose another name".into()));
    }
    if EVERLOOP.contains(&name) {
        return Some((format!("activity name `{name}` is taken by `import {{ {name} }} from \"everloop\"`"), "choose another name".into()));
    }
    if is_global(name, Role::Script) || FORBIDDEN.iter().any(|(forbidden, _)| *forbidden == name) {
        return Some((format!("activity name `{name}` is the name of a JavaScript global"), "choose another name".into()));
    }
    None
}

/// `send-mail` as `sendMail`.
fn identifier_like(name: &str) -> Option<String> {
    let mut better = String::new();
    let mut upper = false;
    for char in name.chars().take(100) {
        if char.is_ascii_alphanumeric() || char == '_' || char == '$' {
            better.push(if upper && !better.is_empty() { char.to_ascii_uppercase() } else { char });
            upper = false;
        } else {
            upper = true;
        }
    }
    oxc_syntax::identifier::is_identifier_name(&better).then_some(better)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted_so_that_they_can_be_searched() {
        assert!(GLOBALS.is_sorted());
        assert!(FORBIDDEN.is_sorted_by_key(|(name, _)| *name));
        assert!(EVERLOOP.is_sorted());
    }

    #[test]
    fn the_nearest_name_is_near() {
        let names = ["validateAndPay", "sendToRestaurant", "sleep", "x"];
        assert_eq!(nearest("validatAndPay", names), Some("validateAndPay"));
        assert_eq!(nearest("SLEEP", names), Some("sleep"));
        assert_eq!(nearest("slep", names), Some("sleep"));
        assert_eq!(nearest("y", names), None);
        assert_eq!(nearest("somethingElse", names), None);
    }

    #[test]
    fn activity_names_are_names_of_functions() {
        assert_eq!(activity_name_problem("charge"), None);
        assert_eq!(activity_name_problem("$x_1"), None);
        assert_eq!(activity_name_problem("send-mail").unwrap().1, "call it `sendMail`");
        for bad in ["", "1a", "a b", "await", "Date", "fetch", "sleep", "undefined", "process"] {
            assert!(activity_name_problem(bad).is_some(), "{bad}");
        }
    }
}
