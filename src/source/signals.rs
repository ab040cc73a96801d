//! Which signals a source reads, as far as reading it tells.

use std::collections::BTreeSet;

use oxc_ast::ast::{CallExpression, Expression, IdentifierReference, ImportDeclarationSpecifier, Program, Statement};
use oxc_ast_visit::{VisitJs, walk_js};

use super::module::with_module;

/// The functions of "everloop" that read signals; the first argument is the name.
const READERS: [&str; 2] = ["signal", "onSignal"];

/// The names of the signals that a workflow's source reads, sorted; `None` when some name is only known when the code runs, or
/// when the source does not parse.
#[must_use]
pub fn signals(source: &str) -> Option<Vec<String>> {
    with_module(source, |module| {
        let mut reads = Reads { readers: readers(module.program)?, names: BTreeSet::new(), calls: 0, mentions: 0, dynamic: false };
        reads.visit_program(module.program);
        // Every mention of a reader is a call with a literal name, or somebody may call it with any.
        (!reads.dynamic && reads.calls == reads.mentions).then(|| reads.names.into_iter().collect())
    })
    .ok()
    .flatten()
}

/// The local names of the readers; `None` when the whole module is imported under one name.
fn readers<'a>(program: &Program<'a>) -> Option<BTreeSet<&'a str>> {
    let mut local = BTreeSet::new();
    for statement in &program.body {
        let Statement::ImportDeclaration(import) = statement else { continue };
        for specifier in import.specifiers.iter().flatten() {
            match specifier {
                ImportDeclarationSpecifier::ImportSpecifier(one) if READERS.contains(&one.imported.name().as_str()) => {
                    local.insert(one.local.name.as_str());
                }
                ImportDeclarationSpecifier::ImportNamespaceSpecifier(_) => return None,
                _ => {}
            }
        }
    }
    Some(local)
}

struct Reads<'a> {
    readers: BTreeSet<&'a str>,
    names: BTreeSet<String>,
    calls: usize,
    mentions: usize,
    dynamic: bool,
}

impl<'a> VisitJs<'a> for Reads<'a> {
    fn visit_call_expression(&mut self, it: &CallExpression<'a>) {
        if let Expression::Identifier(callee) = &it.callee
            && self.readers.contains(callee.name.as_str())
        {
            self.calls += 1;
            match it.arguments.first().and_then(|a| a.as_expression()) {
                Some(Expression::StringLiteral(name)) => {
                    self.names.insert(name.value.to_string());
                }
                _ => self.dynamic = true,
            }
        }
        walk_js::walk_call_expression(self, it);
    }

    fn visit_identifier_reference(&mut self, it: &IdentifierReference<'a>) {
        self.mentions += usize::from(self.readers.contains(it.name.as_str()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literal_names_are_known_and_anything_else_is_not() {
        let of = |body: &str| {
            signals(&format!("import {{ signal, onSignal as on }} from \"everloop\";\nexport default async () => {{ {body} }};"))
        };
        assert_eq!(of("await signal('b'); on(\"a\", () => {}); await signal('b')"), Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(of(""), Some(vec![]));
        assert_eq!(of("const name = 'a'; await signal(name)"), None);
        assert_eq!(of("const read = signal; await read('a')"), None);
        assert_eq!(signals("import * as all from \"everloop\"; export default async () => all.signal('a');"), None);
        assert_eq!(signals("syntax error"), None);
    }
}
