//! What people write, and what they are told.

mod hostile;
mod strip;

use std::collections::BTreeMap;

use super::*;
use crate::api::definition::{Activity, Definition};
use crate::api::error::Finding;
use crate::api::{Code, limits};

fn definition(source: &str) -> Definition {
    let queue = Activity { queue: Some("q".parse().unwrap()), ..Activity::default() };
    let activities = ["validateAndPay", "sendToRestaurant", "deliverOrder"].map(|name| (name.to_owned(), queue.clone()));
    Definition { source: source.to_owned(), activities: BTreeMap::from(activities) }
}

fn findings(source: &str) -> Vec<Finding> {
    check(&definition(source), "main.js")
}

/// `code line:column+length message [help]`, one per finding.
fn told(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(|f| format!("{} {}:{}+{} {} [{}]", f.code, f.line, f.column, f.length, f.message, f.help)).collect()
}

/// The source as the body of a default function, with what it says there.
fn in_function(body: &str) -> Vec<String> {
    told(&findings(&format!("import {{ sleep }} from \"everloop\";\nexport default async function main(input) {{\n  {body}\n}}\n")))
}

#[test]
fn a_good_module_has_no_findings() {
    let source = r#"
import { sleep, signal, onSignal, signalRun, run, shield, CancelledError, ActivityError } from "everloop";
import type { Order } from "./types";
declare function deliverOrder(order: Order): Promise<void>;
const LIMITS = { retries: 3 };
class Stop extends Error { name = "Stop"; }
export default async function main(order: Order, ...rest: unknown[]): Promise<unknown> {
  const payment = await validateAndPay(order);
  if (typeof fetch === "function") throw new Stop(arguments.length + run.id);
  await Promise.race([signal("approve"), sleep("30m"), new Promise((r) => setTimeout(r, 10))]);
  await signalRun("other", "x", order);
  onSignal("x", (value) => console.log(value, LIMITS, rest));
  try { await shield(() => sendToRestaurant(order)); } catch (e) { if (e instanceof ActivityError || e instanceof CancelledError) return; }
  const { a, ...others } = structuredClone(order);
  for await (const x of [sleep(1)]) queueMicrotask(() => x);
  label: for (const i of [1, 2]) { if (i > 1) break label; }
  await deliverOrder(order!);
  return [a, others, new URL("http://x").href, crypto.randomUUID(), new AbortController().signal, `${payment}`, /a(b)/u.test("ab"), 1n];
}
"#;
    assert_eq!(told(&findings(source)), Vec::<String>::new());
}

#[test]
fn syntax_errors_say_where() {
    assert_eq!(
        told(&findings("export default async function main( {\n  return 1;\n}\n"))[0],
        "SyntaxError 2:10+1 Expected `:` but found `decimal` []"
    );
    let twice = told(&findings("export default () => 1;\nlet a = 1;\nlet a = 2;\n"));
    assert_eq!(twice, ["SyntaxError 2:5+1 Identifier `a` has already been declared []"]);
    let awaits = told(&findings("export default function main() {\n  await validateAndPay(1);\n}\n"));
    assert!(awaits[0].starts_with("SyntaxError 2:3+5 `await` is only allowed within async functions"), "{awaits:?}");
    let regex = in_function("return /(/.test(input);");
    assert!(regex[0].starts_with("SyntaxError 3:"), "{regex:?}");
}

#[test]
fn columns_count_characters() {
    assert_eq!(
        in_function("return [\"äöü€😀\", nope];"),
        ["UnknownName 3:20+4 `nope` is not defined [declare it, or add an activity `nope` under `activities`]"]
    );
}

#[test]
fn the_default_export_must_be_a_function() {
    let cases = [
        (
            "",
            "1:1+1 there is no default export: the function that is the workflow [write `export default async function main(input) { ... }`]",
        ),
        (
            "\nexport async function order() {}",
            "2:23+5 there is no default export: the function that is the workflow [write `export default` instead of `export` before `order`]",
        ),
        (
            "async function order() {}",
            "1:16+5 there is no default export: the function that is the workflow [write `export default` before the function `order`]",
        ),
        (
            "export default 42;",
            "1:16+2 the default export is a number; it must be a function, for it is the workflow [write `export default async function main(input) { ... }`]",
        ),
        (
            "export default {};",
            "1:16+2 the default export is an object; it must be a function, for it is the workflow [write `export default async function main(input) { ... }`]",
        ),
        (
            "export default class A {}",
            "1:22+1 the default export is a class; it must be a function, for it is the workflow [write `export default async function main(input) { ... }`]",
        ),
        (
            "const a = 'x';\nexport { a as default };",
            "2:10+1 the default export is a string; it must be a function, for it is the workflow [write `export default async function main(input) { ... }`]",
        ),
        (
            "export default function* main() {}",
            "1:26+4 the default export is a generator; it must be a function, for it is the workflow [write `export default async function main(input) { ... }`]",
        ),
    ];
    for (source, expected) in cases {
        assert_eq!(told(&findings(source)), [format!("NoDefaultExport {expected}")], "{source}");
    }
    let good = [
        "export default () => 1",
        "export default (async (x) => x)",
        "const f = async () => 1;\nexport default f;",
        "function f() {}\nexport { f as default };",
        "const wrap = (f) => f;\nexport default wrap(() => 1);",
    ];
    for source in good {
        assert_eq!(told(&findings(source)), Vec::<String>::new(), "{source}");
    }
}

#[test]
fn imports_come_from_everloop_only() {
    let main = "\nexport default () => [sleep];";
    let cases = [
        ("import { sleep } from \"everlop\";", "1:23+9 there is no module \"everlop\" [did you mean \"everloop\"?]"),
        (
            "import sleep from \"lodash\";",
            "1:19+8 there is no module \"lodash\": only \"everloop\" can be imported [put the code into the source, or into an activity]",
        ),
        ("import { slep as sleep } from \"everloop\";", "1:10+4 \"everloop\" has no `slep` [did you mean `sleep`?]"),
        (
            "import { zzz, sleep } from \"everloop\";",
            "1:10+3 \"everloop\" has no `zzz` [it has ActivityError, CancelledError, onSignal, run, shield, signal, signalRun, sleep]",
        ),
        (
            "import sleep from \"everloop\";",
            "1:8+5 \"everloop\" has no default export [write `import { ActivityError, CancelledError, onSignal, run, shield, signal, signalRun, sleep } from \"everloop\"`]",
        ),
    ];
    for (import, expected) in cases {
        assert_eq!(told(&findings(&format!("{import}{main}"))), [format!("UnknownImport {expected}")], "{import}");
    }
    assert_eq!(
        in_function("const m = await import(\"fs\");")[0],
        "UnknownImport 3:19+12 `import()` is not supported [only \"everloop\" can be imported, at the top; put other code into the source or into an activity]"
    );
}

#[test]
fn unknown_names_come_with_the_nearest_right_one() {
    let cases = [
        ("await validatAndPay(input);", "3:9+13 `validatAndPay` is not defined [did you mean `validateAndPay`?]"),
        ("return inptu;", "3:10+5 `inptu` is not defined [did you mean `input`?]"),
        ("return JSN.stringify(input);", "3:10+3 `JSN` is not defined [did you mean `JSON`?]"),
        (
            "await singal(\"x\");",
            "3:9+6 `singal` is not defined [did you mean `signal`? add `import { signal } from \"everloop\";` at the top]",
        ),
        ("await signal(\"x\");", "3:9+6 `signal` is not defined [add `import { signal } from \"everloop\";` at the top]"),
        ("total = 1;", "3:3+5 `total` is not defined [declare it: `let total`]"),
        (
            "const counter = 1; { const inner = 2; } return [counter, iner];",
            "3:60+4 `iner` is not defined [declare it, or add an activity `iner` under `activities`]",
        ),
    ];
    for (body, expected) in cases {
        assert_eq!(in_function(body), [format!("UnknownName {expected}")], "{body}");
    }
    let declared = told(&findings("declare function chargeCard(x: number): Promise<void>;\nexport default async () => chargeCard(1);"));
    assert_eq!(
        declared,
        ["UnknownName 2:28+10 `chargeCard` is not defined [declare it, or add an activity `chargeCard` under `activities`]"]
    );
}

#[test]
fn forbidden_globals_say_what_to_do_instead() {
    for (name, hint) in [
        ("fetch", "activity"),
        ("eval", "strings"),
        ("Function", "strings"),
        ("WeakRef", "WeakMap"),
        ("FinalizationRegistry", "WeakMap"),
        ("SharedArrayBuffer", "Promise.all"),
        ("Atomics", "Promise.all"),
        ("XMLHttpRequest", "activity"),
        ("WebSocket", "activity"),
        ("process", "input"),
        ("require", "everloop"),
        ("Buffer", "Uint8Array"),
        ("performance", "Date.now()"),
        ("setImmediate", "setTimeout"),
        ("localStorage", "durable"),
        ("window", "globalThis"),
        ("document", "browser"),
        ("Deno", "Deno"),
        ("Bun", "Bun"),
        ("Intl", "activity"),
        ("WebAssembly", "activity"),
    ] {
        let told = in_function(&format!("return {name}(input);"));
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with(&format!("ForbiddenGlobal 3:10+{} a workflow has no `{name}` [", name.len())), "{told:?}");
        assert!(told[0].contains(hint), "{told:?}");
        assert_eq!(in_function(&format!("return typeof {name} === 'function' ? {name}(1) : 2;")), Vec::<String>::new(), "{name}");
    }
    let member = in_function("return globalThis.fetch(\"http://x\");");
    assert!(member[0].starts_with("ForbiddenGlobal 3:21+5 there is no `globalThis.fetch` ["), "{member:?}");
    assert_eq!(in_function("const fetch = (x) => x; return fetch(input.process.window);"), Vec::<String>::new());
    assert!(in_function("return import.meta.url;")[0].starts_with("ForbiddenGlobal 3:10+11 `import.meta` is not supported"));
}

#[test]
fn nothing_runs_at_the_top_level() {
    let told = told(&findings("import { sleep } from \"everloop\";\nawait sleep(1);\nexport default () => 1;\n"));
    assert_eq!(told, ["SyntaxError 2:1+5 `await` outside of a function [put it into the default function; a module only declares]"]);
}

#[test]
fn scripts_are_checked_with_their_own_rules() {
    let script = |text: &str| {
        let mut definition = definition("export default async () => 1;");
        definition.activities.insert("look".into(), Activity { script: Some(text.into()), ..Activity::default() });
        check(&definition, "main.js")
    };
    let good = "export default async ({ zip }, context) => (await fetch(`http://d/near/${zip}`, { signal: context.signal })).json();";
    assert_eq!(script(good), []);
    let cases = [
        (
            "export default async () => deliverOrder(1);",
            "UnknownName 1:28+12 `deliverOrder` is not defined [a script cannot call other activities; let the workflow call both]",
        ),
        ("export default async () => sleep(1);", "UnknownName 1:28+5 `sleep` is not defined [declare it]"),
        (
            "import { sleep } from \"everloop\";\nexport default () => sleep(1);",
            "UnknownImport 1:23+10 a script activity cannot import \"everloop\" [put the code into the script, or run it in a program of your own (a queue or http activity)]",
        ),
        (
            "export default async () => new XMLHttpRequest();",
            "ForbiddenGlobal 1:32+14 a script activity has no `XMLHttpRequest` [use `fetch`]",
        ),
        (
            "async (x) => x",
            "NoDefaultExport 1:1+14 there is no default export: the function that is the activity [write `export default async (argument) => { ... }`]",
        ),
    ];
    for (text, expected) in cases {
        let found = script(text);
        assert_eq!(told(&found), [expected], "{text}");
        assert_eq!(found[0].place, "spec.activities.look.script");
    }
}

#[test]
fn activities_have_names_that_can_be_called() {
    let mut definition = definition("export default async () => 1;");
    for name in ["send-mail", "Date", "sleep"] {
        definition.activities.insert(name.into(), Activity::default());
    }
    let found = check(&definition, "main.js");
    let places: Vec<_> = found.iter().map(|f| (f.place.as_str(), f.line, f.code)).collect();
    let name = Code::InvalidResource;
    assert_eq!(places, [("spec.activities.Date", 0, name), ("spec.activities.send-mail", 0, name), ("spec.activities.sleep", 0, name)]);
    assert_eq!(found[1].help, "call it `sendMail`");
}

#[test]
fn typescript_that_is_more_than_types_says_what_to_write() {
    let cases = [
        (
            "enum Color { Red }",
            "1:6+5 an enum cannot run: only the types of TypeScript are removed [write `const Color = { ... } as const`]",
        ),
        (
            "namespace N { export const a = 1; }",
            "1:11+1 a namespace cannot run: only the types of TypeScript are removed [write functions and constants at the top level, or an object]",
        ),
        (
            "class A { constructor(private x: number) {} }",
            "1:23+17 a parameter property cannot run: only the types of TypeScript are removed [declare the field in the class and assign it in the constructor]",
        ),
        ("const x = <number>1;", "1:11+8 `<Type>value` cannot run: only the types of TypeScript are removed [write `value as Type`]"),
        ("@sealed class A {}\nfunction sealed(x) {}", "1:1+7 decorators are not supported [call the function yourself]"),
    ];
    for (source, expected) in cases {
        let source = format!("{source}\nexport default () => 1;");
        let expected = format!("SyntaxError {expected}");
        assert_eq!(told(&findings(&source)), [expected.as_str()], "{source}");
        assert_eq!(told(&strip_types(&source, "main.ts").unwrap_err()), [expected], "{source}");
    }
}

#[test]
fn sources_are_bounded() {
    let found = findings(&" ".repeat(limits::SOURCE_BYTES_MAX + 1));
    assert_eq!((found[0].code, found.len()), (Code::PayloadTooLarge, 1));
}

#[test]
fn a_rendered_finding_points_at_the_name() {
    let source = "export default async (order) => {\n\tconst payment = await validatAndPay(order);\n};\n";
    let expected = "main.js:2:24: `validatAndPay` is not defined (UnknownName)\n  |\n2 | \tconst payment = await validatAndPay(order);\n  | \t                      ^^^^^^^^^^^^^\nhelp: did you mean `validateAndPay`?\n";
    assert_eq!(render(&findings(source), source), expected);
}

#[test]
fn rendering_bounds_long_lines_and_survives_any_position() {
    let source = format!("export default () => [{}nope];", "1, ".repeat(500));
    let rendered = render(&findings(&source), &source);
    assert!(rendered.lines().all(|line| line.chars().count() < 140), "{rendered}");
    let carets = rendered.lines().find(|l| l.contains("^^^^")).unwrap();
    let shown = rendered.lines().nth(2).unwrap();
    assert_eq!(carets.find('^'), shown.find("nope"));
    let odd =
        Finding { code: Code::SyntaxError, message: "m".into(), help: String::new(), place: "p".into(), line: 99, column: 99, length: 99 };
    assert_eq!(render(&[Finding { line: 0, ..odd.clone() }, odd], "x"), "p: m (SyntaxError)\n\np:99:99: m (SyntaxError)\n");
}
