//! What a workflow does not have, and that it says so.

use super::*;

#[test]
fn a_use_of_what_is_not_there_says_what_to_do_instead() {
    for (code, says) in [
        (
            "fetch('http://x')",
            "fetch is not available in a workflow: a call with side effects is an activity; declare one under spec.activities (http or script)",
        ),
        ("new XMLHttpRequest()", "activity"),
        ("new WebSocket('ws://x')", "activity"),
        ("eval('1')", "eval is not available in a workflow"),
        ("(0, eval)('1')", "eval is not available in a workflow"),
        ("new Function('return 1')", "Function is not available in a workflow"),
        ("Function('return 1')", "Function is not available"),
        ("(() => {}).constructor('return 1')", "Function is not available"),
        ("Reflect.construct((() => {}).constructor, ['return 1'])", "Function is not available"),
        ("(async () => {}).constructor('return 1')", "AsyncFunction is not available"),
        ("(function* () {}).constructor('yield 1')", "GeneratorFunction is not available"),
        ("(async function* () {}).constructor('yield 1')", "AsyncGeneratorFunction is not available"),
        ("new WeakRef({})", "WeakRef is not available"),
        ("new FinalizationRegistry(() => {})", "FinalizationRegistry is not available"),
        ("new SharedArrayBuffer(8)", "SharedArrayBuffer is not available"),
        ("Atomics.wait", "Atomics is not available"),
        ("performance.now()", "Date.now()"),
        ("process.env.HOME", "process is not available"),
        ("require('fs')", "require is not available"),
        ("new Intl.DateTimeFormat()", "Intl is not available"),
        ("Buffer.from('x')", "Uint8Array"),
        ("'x' in process", "process is not available"),
        ("await import('fs')", "import(\"fs\") is not available"),
        ("await import('everloop')", "at the top"),
    ] {
        let error = throws(code);
        assert!(error.message.contains(says), "{code}: {}", error.message);
        // A dynamic import is refused in a job of its own, which has no frame of the user.
        assert!(code.contains("import") || error.stack.contains("order-status.js:3:"), "{code}: {:?}", error.stack);
    }
}

#[test]
fn asking_for_the_type_is_allowed() {
    assert_eq!(
        evaluate("return [typeof fetch, typeof process, typeof nothing, (() => {}) instanceof Function]"),
        r#"["function","object","undefined",true]"#
    );
}

#[test]
fn a_declared_activity_may_have_a_forbidden_name() {
    let mut run = Run::with_activities("export default () => fetch('x');", &["fetch"], 1);
    assert_eq!(brief(&run.start(&mut engine(), "null")), ["0 fetch(\"x\")"]);
}

#[test]
fn there_are_no_other_globals() {
    let names = evaluate("return Object.getOwnPropertyNames(globalThis).sort()");
    let names: Vec<String> = serde_json::from_str(&names).unwrap();
    assert_eq!(names, GLOBALS.split_whitespace().collect::<Vec<_>>());
}

const GLOBALS: &str = "
AbortController AbortSignal AggregateError Array ArrayBuffer AsyncDisposableStack Atomics BigInt BigInt64Array BigUint64Array Boolean
BroadcastChannel Buffer Bun DOMException DataView Date Deno DisposableStack Error EvalError EventSource FinalizationRegistry Float16Array
Float32Array Float64Array Function Infinity Int16Array Int32Array Int8Array InternalError Intl Iterator JSON Map Math MessageChannel NaN
Number Object Promise Proxy RangeError ReferenceError Reflect RegExp Set SharedArrayBuffer String SuppressedError Symbol SyntaxError
Temporal TextDecoder TextEncoder TypeError URIError URL URLSearchParams Uint16Array Uint32Array Uint8Array Uint8ClampedArray WeakMap
WeakRef WeakSet WebAssembly WebSocket Worker XMLHttpRequest a alert atob b btoa c caches clearInterval clearTimeout console crypto d
decodeURI decodeURIComponent e encodeURI encodeURIComponent escape eval fetch globalThis indexedDB isFinite isNaN localStorage navigator
notify parseFloat parseInt pay performance process queueMicrotask requestAnimationFrame require sessionStorage setImmediate setInterval
setTimeout structuredClone undefined unescape";
