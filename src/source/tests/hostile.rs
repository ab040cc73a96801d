//! Sources that are made to do harm.

use proptest::prelude::*;

use super::super::module::DEPTH_MAX;
use super::super::nesting::nesting;
use super::super::{shareable, strip_types};
use super::{findings, told};
use crate::api::{Code, limits};

/// Much of each, which would kill a recursive parser.
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
            *(if nesting(&source(middle)).depth <= DEPTH_MAX { &mut fits } else { &mut breaks }) = middle;
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

/// Words of JavaScript and TypeScript, to be strung together at random.
const WORDS: &[&str] = &[
    "a",
    "b",
    "1",
    "'x'",
    "`t`",
    "`${",
    "}`",
    "/r/u",
    "/",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "<",
    ">",
    "=>",
    "=",
    ":",
    "?",
    "!",
    ".",
    "?.",
    ",",
    ";",
    "\n",
    " as ",
    " satisfies ",
    "const ",
    "let ",
    "function ",
    "class ",
    "async ",
    "await ",
    "type ",
    "interface ",
    "declare ",
    "abstract ",
    "private ",
    "readonly ",
    "static ",
    "import ",
    "export ",
    "default ",
    "from ",
    "\"everloop\"",
    "if ",
    "else ",
    "for ",
    "of ",
    "new ",
    "typeof ",
    "keyof ",
    "extends ",
    "implements ",
    "return ",
    "any",
    "number",
    "é",
    "\u{a0}",
    "\u{2028}",
    "// c\n",
    "/* c */",
    "#p",
    "...",
    "+",
    "++",
    "@d ",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_text_panics_and_stripping_keeps_every_column(words in prop::collection::vec(prop::sample::select(WORDS), 0..40)) {
        let source = words.concat();
        for finding in findings(&source) {
            prop_assert!(finding.length >= 1 && finding.line as usize <= source.split('\n').count());
        }
        let _ = shareable(&source);
        if let Ok(stripped) = strip_types(&source, "main.ts") {
            let columns = |text: &str| text.split('\n').map(|line| line.chars().count()).collect::<Vec<_>>();
            prop_assert_eq!(columns(&source), columns(&stripped));
            prop_assert_eq!(strip_types(&stripped, "main.js"), Ok(stripped.clone()), "types are left or too much is gone: {}", source);
        }
    }
}
