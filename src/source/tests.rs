//! What people write, and what they are told.

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
import { sleep, signal, onSignal, run, shield, CancelledError, ActivityError } from "everloop";
import type { Order } from "./types";
declare function deliverOrder(order: Order): Promise<void>;
const LIMITS = { retries: 3 };
class Stop extends Error { name = "Stop"; }
export default async function main(order: Order, ...rest: unknown[]): Promise<unknown> {
  const payment = await validateAndPay(order);
  if (typeof fetch === "function") throw new Stop(arguments.length + run.id);
  await Promise.race([signal("approve"), sleep("30m"), new Promise((r) => setTimeout(r, 10))]);
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
            "1:10+3 \"everloop\" has no `zzz` [it has ActivityError, CancelledError, onSignal, run, shield, signal, sleep]",
        ),
        (
            "import sleep from \"everloop\";",
            "1:8+5 \"everloop\" has no default export [write `import { ActivityError, CancelledError, onSignal, run, shield, signal, sleep } from \"everloop\"`]",
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
        assert_eq!(told(&findings(&source)), [expected.clone()], "{source}");
        assert_eq!(told(&strip_types(&source, "main.ts").unwrap_err()), [expected], "{source}");
    }
}

#[test]
fn sources_are_bounded() {
    let found = findings(&" ".repeat(limits::SOURCE_BYTES_MAX + 1));
    assert_eq!((found[0].code, found.len()), (Code::PayloadTooLarge, 1));
}

/// A megabyte of each, which would kill a recursive parser.
#[test]
fn hostile_nesting_is_refused_and_harmless() {
    for (before, unit, after) in NESTING {
        let source = |count: usize| format!("export default () => 1;\n{before}{}{after}", unit.repeat(count));
        let found = findings(&source((limits::SOURCE_BYTES_MAX >> 2) / unit.len()));
        assert!(found.iter().any(|f| f.code == Code::SyntaxError), "{before}{unit}: {:?}", told(&found));
        // As deep as is allowed: it is really read, on a stack that must be large enough.
        let (mut fits, mut breaks) = (0, limits::SOURCE_BYTES_MAX >> 2);
        while breaks - fits > 1 {
            let middle = usize::midpoint(fits, breaks);
            *(if nesting::nesting(&source(middle)).depth <= module::DEPTH_MAX { &mut fits } else { &mut breaks }) = middle;
        }
        for count in [fits.min(20), fits] {
            let _ = (findings(&source(count)), shareable(&source(count)), strip_types(&source(count), "x"));
        }
    }
}

const NESTING: &[(&str, &str, &str)] = &[
    ("x=", "(", ""),
    ("x=", "[", ""),
    ("", "{", ""),
    ("x=", "!", "1"),
    ("x=", "- ", "1"),
    ("x=", "typeof ", "1"),
    ("x=", "a=>", "1"),
    ("x=", "a?a:", "1"),
    ("x=", "1+", "1"),
    ("x=", "a=", "1"),
    ("", "if(a)", "b"),
    ("", "if(a){}else ", "b"),
    ("", "if(a)b;else ", "b"),
    ("", "if(a)b,c;else ", "b"),
    ("", "if(a)\n", "b"),
    ("", "a:", "b"),
    ("", "a:\n", "b"),
    ("", "do ", "b"),
    ("", "while(a)\n", "b"),
    ("x=a", ".b", ""),
    ("x=a", "?.b", ""),
    ("x=a", "()", ""),
    ("x=a", "\n()", ""),
    ("x=a", "[0]", ""),
    ("x=", "`${", ""),
    ("x=a", "``", ""),
    ("x=a", "!", ""),
    ("x=a", " as any", ""),
    ("type A=", "keyof\n", "B"),
    ("type A=B", "[]", ""),
    ("type A=", "A<", "B"),
    ("type A=", "A<x,", "B"),
    ("type A=", "a extends b ? c : ", "d"),
    ("x=", "new ", "a"),
    ("async()=>", "await ", "a"),
    ("x=/", "(", "/"),
    ("x=/", "[", "/v"),
    ("x=", "a\u{a0}=\u{2028}", "1"),
    ("", "if\u{a0}(a)\u{2028}", "b"),
    ("x=", "async x=>", "1"),
    ("x=", "1**", "1"),
    ("x=", "a||", "1"),
    ("x=", "{a:", "1"),
    ("x=", "function(){return ", "1"),
    ("x=", "class{a=", "1"),
    ("x=", "class extends ", "a"),
    ("", "for(;;)", "b"),
    ("", "a:if(b)", "c,d"),
    ("x=", "a,(", "1"),
    ("x=", "{}/1+", "1"),
    ("{}/`/;", "x=!", "1"),
    ("f<", "(x:", "y"),
    ("", "try{}finally{", ""),
    ("", "switch(a){case 1:if(b)c,", "d"),
];

#[test]
fn strip_keeps_plain_javascript_byte_for_byte() {
    for source in [
        "export default async function main(a, b) {\r\n\treturn a < b > c /* : number */ ? `as ${a} any` : /x as y/u;\n}\n",
        "#!/usr/bin/env node\nlet type = 1, declare = 2, as = 3;\ntype\n(declare)\nexport default () => as < type > (declare);\n",
        "class A { static x = 1; get readonly() { return 1 } 'abstract' = 1; async *[Symbol.iterator]() {} #p = 1 }\nexport default () => A;",
        "/* only a comment \u{2028} and\u{feff} odd blanks */",
        "",
    ] {
        assert_eq!(strip_types(source, "main.js").unwrap(), source);
    }
}

#[test]
fn strip_removes_types_and_keeps_positions() {
    let cases = [
        ("const x: number = 1;", "const x         = 1;"),
        ("let x!: Map<string, number>;", "let x                      ;"),
        (
            "function f<T extends object>(this: Foo, a?: T, ...b: T[]): asserts a is T {}",
            "function f                  (           a    , ...b     )                 {}",
        ),
        ("const f = async <T,>(x: T): Promise<T> => x;", "const f = async     (x   )             => x;"),
        ("const f = (x): {\n  a: 1\n} => x;", "const f = (x    \n      \n) => x;"),
        ("const y = (x as unknown as string)!.length;", "const y = (x                     ) .length;"),
        ("const y = { a: 1 } satisfies A;", "const y = { a: 1 }            ;"),
        ("foo(x)\ntype A = 1\n(b)", "foo(x)\n;         \n(b)"),
        ("const a = x as any\n(b)", "const a = x;      \n(b)"),
        ("const a = x as any\n+ b", "const a = x       \n+ b"),
        ("interface A { b: string }\nlet b = f<string>(1);", ";                        \nlet b = f        (1);"),
        (
            "import type { A } from \"./a\";\nimport { type B, sleep, type C } from \"everloop\";",
            ";                            \nimport {         sleep,        } from \"everloop\";",
        ),
        ("export type { A };\nexport { type B, x };\nlet x;", ";                 \nexport {         x };\nlet x;"),
        (
            "declare function pay(x: number): void;\ndeclare const y: number;\ndeclare global { var z: 1 }",
            ";                                     \n;                       \n;                          ",
        ),
        ("abstract class A<T> extends B<T> implements C, D<T> { }", "         class A    extends B                       { }"),
        (
            "abstract class A {\n  x = 1\n  private readonly [k]: string = 2\n  declare y: 1;\n  static override z?: 3;\n  abstract m(): void;\n  m(a: 1): 2 { }\n  [key: string]: any;\n  w!: 1\n}",
            "         class A {\n  x = 1\n  ;                [k]         = 2\n  ;            \n  static          z    ;\n  ;                  \n  m(a   )    { }\n  ;                  \n  w    \n}",
        ),
        ("function f(a: string): void;\nfunction f(a: any) { }", ";                           \nfunction f(a     ) { }"),
        ("try { } catch (e: unknown) { }", "try { } catch (e         ) { }"),
        ("for (const x of y as Z[]) ;", "for (const x of y       ) ;"),
        ("const é: \"ü😀\" = 1;", "const é       = 1;"),
        ("const t = tag<string>`a`; new Map<string, A<B>>();", "const t = tag        `a`; new Map              ();"),
        ("const g = f<string>;", "const g = f        ;"),
        (
            "export default interface A { }\nexport class B { constructor(readonly?: 1) { } }",
            ";                             \nexport class B { constructor(readonly    ) { } }",
        ),
    ];
    for (typescript, javascript) in cases {
        let stripped = strip_types(typescript, "main.ts").unwrap_or_else(|e| panic!("{typescript}\n{:?}", told(&e)));
        assert_eq!(stripped, javascript);
        assert_eq!(strip_types(&stripped, "main.js").as_deref(), Ok(javascript), "the result is JavaScript");
    }
}

#[test]
fn only_an_immutable_top_level_is_shared() {
    let main = "export default async function main(input) { return input; }\n";
    for good in [
        "",
        "import { sleep } from \"everloop\";",
        "function helper() { const cache = new Map(); return cache; }",
        "const A = 1, B = 'x', C = -1n, D = null, E = undefined, F = `t`;",
        "const HOUR = 60 * 60 * 1000;",
        "const PLANS = { free: { seats: 1 }, list: [1, 2, [3]] };\nconst ALL = [PLANS, -1];",
        "class Stop extends Error { name = 'Stop'; #x = []; static of() { return new Stop(); } get y() { return 1; } }",
        "class A {}\nclass B extends A {}",
        "export const X = 1;",
        "type T = 1;\ninterface I {}\nconst Y: number = 1;",
        "const Z = [1, 2] as const;",
        ";",
    ] {
        assert!(shareable(&format!("{good}\n{main}")), "{good}");
    }
    for bad in [
        "let counter = 0;",
        "var x;",
        "const cache = new Map();",
        "const re = /x/g;",
        "const f = () => 1;",
        "const t = Date.now();",
        "const { a } = { a: 1 };",
        "const s = [...[1]];",
        "const s = { ...{} };",
        "const g = { get a() { return 1; } };",
        "const k = { ['a']: 1 };",
        "const p = { __proto__: null };",
        "const s = Symbol();",
        "const u = `${1}`;",
        "class A { static x = 1; }",
        "class A { static { } }",
        "class A { [k]() {} }\nfunction k() {}",
        "class A extends mixin() {}\nfunction mixin() {}",
        "sleep(1);",
        "if (1) {}",
        "{ let a; }",
        "const a = b;\nconst b = 1;",
        "const o = { a: later };\nfunction later() {}",
        "function helper() {}\nfunction evil() { helper = 1; }",
        "class K {}\nfunction evil() { K = 1; }",
        "enum E { A }",
        "const bad = 1n + 1;",
        "const m = { f() {} };",
        "this is not JavaScript",
    ] {
        assert!(!shareable(&format!("{bad}\n{main}")), "{bad}");
    }
    assert!(shareable("export default async (x) => x"));
    assert!(!shareable("const f = wrap(1);\nexport default f;"));
}

#[test]
fn a_rendered_finding_points_at_the_name() {
    let source = "export default async (order) => {\n\tconst payment = await validatAndPay(order);\n};\n";
    let expected = "main.js:2:24: `validatAndPay` is not defined\n  |\n2 | \tconst payment = await validatAndPay(order);\n  | \t                      ^^^^^^^^^^^^^\nhelp: did you mean `validateAndPay`?\n";
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
    assert_eq!(render(&[Finding { line: 0, ..odd.clone() }, odd], "x"), "p: m\n\np:99:99: m\n");
}
