//! What a module imports: names of "everloop", and nothing else.

use oxc_ast::ast::{ImportDeclaration, ImportDeclarationSpecifier, ModuleExportName, Program, Statement, StringLiteral};
use oxc_span::{GetSpan, Span};

use super::names::{EVERLOOP, Role, nearest};
use super::position::Raw;
use crate::api::Code;

/// The one module that there is.
const MODULE: &str = "everloop";

/// Import statements and re-exports that cannot work.
pub(super) fn check_imports(program: &Program<'_>, role: Role) -> Vec<Raw> {
    let mut found = Vec::new();
    for statement in &program.body {
        match statement {
            Statement::ImportDeclaration(import) if import.import_kind.is_value() => check_import(import, role, &mut found),
            Statement::ExportAllDeclaration(export) if export.export_kind.is_value() => {
                check_module_name(&export.source, role, &mut found);
            }
            Statement::ExportFromDeclaration(export)
                if export.export_kind.is_value() && check_module_name(&export.source, role, &mut found) =>
            {
                for specifier in export.specifiers.iter().filter(|s| s.export_kind.is_value()) {
                    check_name(&specifier.local, &mut found);
                }
            }
            _ => {}
        }
    }
    found
}

fn check_import(import: &ImportDeclaration<'_>, role: Role, found: &mut Vec<Raw>) {
    if let (Some(_), _) | (_, Some(_)) = (&import.phase, &import.with_clause) {
        let message = "import phases and attributes are not supported";
        found.push(Raw::at(Code::UnknownImport, import.span, message, "write `import { sleep } from \"everloop\"`"));
        return;
    }
    if !check_module_name(&import.source, role, found) {
        return;
    }
    for specifier in import.specifiers.iter().flatten() {
        match specifier {
            ImportDeclarationSpecifier::ImportSpecifier(one) if one.import_kind.is_value() => check_name(&one.imported, found),
            ImportDeclarationSpecifier::ImportDefaultSpecifier(one) => {
                let help = format!("write `import {{ {} }} from \"everloop\"`", EVERLOOP.join(", "));
                found.push(Raw::at(Code::UnknownImport, one.span, "\"everloop\" has no default export", help));
            }
            _ => {}
        }
    }
}

fn check_module_name(source: &StringLiteral<'_>, role: Role, found: &mut Vec<Raw>) -> bool {
    let name = source.value.as_str();
    let (message, help) = match role {
        Role::Workflow if name == MODULE => return true,
        Role::Script => (
            format!("a script activity cannot import {name:?}"),
            "put the code into the script, or run it in a program of your own (a queue or http activity)".to_owned(),
        ),
        Role::Workflow if nearest(name, [MODULE]).is_some() => {
            (format!("there is no module {name:?}"), "did you mean \"everloop\"?".to_owned())
        }
        Role::Workflow => (
            format!("there is no module {name:?}: only \"everloop\" can be imported"),
            "put the code into the source, or into an activity".to_owned(),
        ),
    };
    found.push(Raw::at(Code::UnknownImport, source.span, message, help));
    false
}

fn check_name(name: &ModuleExportName<'_>, found: &mut Vec<Raw>) {
    let text = name.name();
    if EVERLOOP.contains(&text.as_str()) {
        return;
    }
    let help = nearest(&text, EVERLOOP.iter().copied())
        .map_or_else(|| format!("it has {}", EVERLOOP.join(", ")), |right| format!("did you mean `{right}`?"));
    let span: Span = name.span();
    found.push(Raw::at(Code::UnknownImport, span, format!("\"everloop\" has no `{text}`"), help));
}
