//! The default export: the function that is the workflow, or the script.

use oxc_ast::ast::{
    BindingPattern, Declaration, ExportDefaultDeclarationKind, Expression, Function, IdentifierReference, ModuleExportName, Statement,
};
use oxc_span::{GetSpan, Span};

use super::module::Module;
use super::names::Role;
use super::position::Raw;
use crate::api::Code;

/// What an expression is, as far as reading tells.
enum Is {
    Function,
    /// A call's result, a parameter: only running it would tell.
    Unknown,
    /// Something that cannot be called, by its name.
    Other(&'static str),
}

/// That there is a default export and that it can be called.
pub(super) fn check_default_export(module: &Module<'_, '_>, source: &str, role: Role) -> Option<Raw> {
    let what = if role == Role::Workflow { "the workflow" } else { "the activity" };
    let Some((is, span)) = default_export(module) else {
        let (span, help) = missing(module, source, role);
        return Some(Raw::at(Code::NoDefaultExport, span, format!("there is no default export: the function that is {what}"), help));
    };
    match is {
        Is::Function | Is::Unknown => None,
        Is::Other(kind) => {
            let message = format!("the default export is {kind}; it must be a function, for it is {what}");
            Some(Raw::at(Code::NoDefaultExport, span, message, format!("write `{}`", template(role))))
        }
    }
}

fn template(role: Role) -> &'static str {
    match role {
        Role::Workflow => "export default async function main(input) { ... }",
        Role::Script => "export default async (argument) => { ... }",
    }
}

fn default_export(module: &Module<'_, '_>) -> Option<(Is, Span)> {
    for statement in &module.program.body {
        match statement {
            Statement::ExportDefaultDeclaration(export) => match &export.declaration {
                ExportDefaultDeclarationKind::FunctionDeclaration(function) if function.body.is_some() => {
                    return Some((of_function(function), function.id.as_ref().map_or(export.span, |id| id.span)));
                }
                ExportDefaultDeclarationKind::FunctionDeclaration(_) | ExportDefaultDeclarationKind::TSInterfaceDeclaration(_) => {}
                ExportDefaultDeclarationKind::ClassDeclaration(class) => {
                    return Some((Is::Other("a class"), class.id.as_ref().map_or(class.span, |id| id.span)));
                }
                declaration => return declaration.as_expression().map(|e| (of_expression(module, e, 0), e.span())),
            },
            Statement::ExportNamedDeclaration(export) if export.export_kind.is_value() => {
                if let Some(specifier) = export.specifiers.iter().find(|s| s.exported.name() == "default") {
                    let is = match &specifier.local {
                        ModuleExportName::IdentifierReference(name) => of_name(module, name, 0),
                        _ => Is::Unknown,
                    };
                    return Some((is, specifier.local.span()));
                }
            }
            Statement::ExportFromDeclaration(export) if export.specifiers.iter().any(|s| s.exported.name() == "default") => {
                return Some((Is::Unknown, export.span));
            }
            _ => {}
        }
    }
    None
}

fn of_function(function: &Function<'_>) -> Is {
    if function.generator { Is::Other("a generator") } else { Is::Function }
}

/// `depth` bounds chains of names.
fn of_expression(module: &Module<'_, '_>, expression: &Expression<'_>, depth: u8) -> Is {
    match expression.get_inner_expression() {
        Expression::ArrowFunctionExpression(_) => Is::Function,
        Expression::FunctionExpression(function) => of_function(function),
        Expression::ClassExpression(_) => Is::Other("a class"),
        Expression::ObjectExpression(_) => Is::Other("an object"),
        Expression::ArrayExpression(_) => Is::Other("an array"),
        Expression::StringLiteral(_) | Expression::TemplateLiteral(_) => Is::Other("a string"),
        Expression::NumericLiteral(_) | Expression::BigIntLiteral(_) => Is::Other("a number"),
        Expression::BooleanLiteral(_) => Is::Other("a boolean"),
        Expression::NullLiteral(_) => Is::Other("null"),
        Expression::RegExpLiteral(_) => Is::Other("a regular expression"),
        Expression::Identifier(name) if depth < 10 => of_name(module, name, depth),
        _ => Is::Unknown,
    }
}

fn of_name(module: &Module<'_, '_>, name: &IdentifierReference<'_>, depth: u8) -> Is {
    for statement in &module.program.body {
        let declaration = match statement {
            Statement::ExportDeclaration(export) => Some(&export.declaration),
            statement => statement.as_declaration(),
        };
        match declaration {
            Some(Declaration::FunctionDeclaration(function)) if function.id.as_ref().is_some_and(|id| id.name == name.name) => {
                return of_function(function);
            }
            Some(Declaration::ClassDeclaration(class)) if class.id.as_ref().is_some_and(|id| id.name == name.name) => {
                return Is::Other("a class");
            }
            Some(Declaration::VariableDeclaration(variables)) if variables.kind.is_const() => {
                for variable in &variables.declarations {
                    if let (BindingPattern::BindingIdentifier(id), Some(init)) = (&variable.id, &variable.init)
                        && id.name == name.name
                    {
                        return of_expression(module, init, depth + 1);
                    }
                }
            }
            _ => {}
        }
    }
    Is::Unknown
}

/// Where to point when there is none: at the function that was probably meant, else at the beginning.
fn missing(module: &Module<'_, '_>, source: &str, role: Role) -> (Span, String) {
    let mut candidates = module.program.body.iter().filter_map(|statement| {
        let declaration = match statement {
            Statement::ExportDeclaration(export) => &export.declaration,
            statement => statement.as_declaration()?,
        };
        match declaration {
            Declaration::FunctionDeclaration(function) if function.body.is_some() => {
                function.id.as_ref().map(|id| (id.span, id.name.to_string(), matches!(statement, Statement::ExportDeclaration(_))))
            }
            _ => None,
        }
    });
    let first = candidates.next();
    if let (Some((span, name, exported)), None) = (first, candidates.next()) {
        let help = if exported {
            format!("write `export default` instead of `export` before `{name}`")
        } else {
            format!("write `export default` before the function `{name}`")
        };
        (span, help)
    } else {
        let end = source.lines().next().map_or(0, str::len);
        (Span::new(0, u32::try_from(end).unwrap_or(0)), format!("write `{}`", template(role)))
    }
}
