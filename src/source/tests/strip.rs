//! TypeScript without its types, and top levels that may be shared.

use super::super::{shareable, strip_types};
use super::told;

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
        assert!(shareable(&format!("{good}\n{main}")).is_some(), "{good}");
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
        assert!(shareable(&format!("{bad}\n{main}")).is_none(), "{bad}");
    }
    assert_eq!(shareable("export default async (x) => x"), Some(vec![]));
    let named = "import { sleep } from 'everloop'; import type { T } from 'everloop'; interface I {} type A = I; class C {} const D = [1];
export default async function main(i: I) { await sleep(1); }";
    assert_eq!(shareable(named), Some(vec!["C".to_owned(), "D".to_owned(), "main".to_owned()]), "imports and types are not frozen");
    assert_eq!(shareable("const f = wrap(1);\nexport default f;"), None);
}

/// Statements without semicolons, which TypeScript ends at the line's end and JavaScript must end there too.
const LINES: &[&str] = &[
    "x as any",
    "(y)",
    "[z]",
    "`t`",
    "type A = 1",
    "a!",
    "interface B { b: 1 }",
    "declare const q: 1",
    "f<string>",
    "+ 1",
    "x satisfies T",
    "class C { private x = 1\n private [k] = 2\n static y?: 1\n readonly *g() {} }",
    "const c = d as T",
    "let e: T",
    "/r/.test(s)",
    "export type Z = 1",
    "function g(a?: 1): void {}",
    "const h = (a): {\n x: 1 } => a",
    "abstract class D { abstract m(): void\n *gen() {} }",
    "import type { I } from 'i'",
    "function o(): 1",
    "let v = w!",
    "x as { a: 1 }",
    "async <T>(a: T) => a as T",
    "class E extends F<T> implements G {}",
    "++i",
    "declare function p(): 1",
    "export { type J }",
    "var k = l as m[]",
    "class H { a: 1\n ['b']: 2\n c!: 3\n d(this: H, e: 1) {} }",
    "-2",
];

/// How many statements are left when types are gone.
fn statements(source: &str) -> Result<usize, ()> {
    use oxc_ast::ast::Statement;
    super::super::module::with_module(source, |module| {
        let empty = |s: &&Statement<'_>| !matches!(s, Statement::EmptyStatement(_)) && !super::super::strip::statement_is_only_types(s);
        module.program.body.iter().filter(empty).count()
    })
    .map_err(drop)
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(2_000))]

    #[test]
    fn statements_never_run_together(lines in proptest::collection::vec(proptest::sample::select(LINES), 1..6)) {
        let source = lines.join("\n");
        if let Ok(stripped) = strip_types(&source, "main.ts") {
            proptest::prop_assert_eq!(statements(&source), statements(&stripped), "{}\n=>\n{}", source, stripped);
            let again = strip_types(&stripped, "main.js");
            proptest::prop_assert_eq!(again.as_ref(), Ok(&stripped));
        }
    }
}
