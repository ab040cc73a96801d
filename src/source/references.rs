//! The names that a module uses, and the constructs that its realm does not have.

use std::collections::HashSet;

use oxc_ast::ast::{ArrowFunctionExpression, Function, PropertyDefinition, VariableDeclaration, VariableDeclarationKind};
use oxc_ast::ast::{
    AwaitExpression, Expression, ForOfStatement, IdentifierReference, ImportExpression, ImportMeta, StaticMemberExpression, UnaryExpression,
};
use oxc_ast_visit::{VisitJs, walk_js};
use oxc_semantic::{Reference, ScopeFlags, Scoping};
use oxc_span::Span;
use oxc_syntax::operator::UnaryOperator;

use super::module::Module;
use super::names::{EVERLOOP, Role, globals, instead_of, is_global, nearest};
use super::position::Raw;
use crate::api::Code;

/// What may be named.
pub(super) struct Names<'n> {
    pub role: Role,
    pub activities: &'n [&'n str],
}

/// Names that are not there, forbidden globals, `import()`, `import.meta`, `await` outside of a function.
pub(super) fn check_references(module: &Module<'_, '_>, names: &Names<'_>) -> Vec<Raw> {
    let mut guards = Guards { names: HashSet::new() };
    guards.visit_program(module.program);
    let mut visitor =
        Visitor { names, scoping: &module.scoping, guarded: guards.names, functions: 0, found: Vec::new(), reported: HashSet::new() };
    visitor.visit_program(module.program);
    visitor.found
}

/// Names that the module asks about with `typeof`: it knows that they may be missing.
struct Guards<'a> {
    names: HashSet<&'a str>,
}

impl<'a> VisitJs<'a> for Guards<'a> {
    fn visit_unary_expression(&mut self, it: &UnaryExpression<'a>) {
        if let (UnaryOperator::Typeof, Expression::Identifier(name)) = (it.operator, it.argument.without_parentheses()) {
            self.names.insert(name.name.as_str());
        }
        walk_js::walk_unary_expression(self, it);
    }
}

struct Visitor<'v, 'a> {
    names: &'v Names<'v>,
    scoping: &'v Scoping,
    guarded: HashSet<&'a str>,
    /// How many functions are around this place.
    functions: usize,
    found: Vec<Raw>,
    /// Unknown names are reported once each.
    reported: HashSet<&'a str>,
}

impl<'a> Visitor<'_, 'a> {
    fn find(&mut self, code: Code, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.found.push(Raw::at(code, span, message, help));
    }

    /// Whether nothing in the module itself gives the name a value: not declared, or only to the type checker (`declare`).
    fn is_from_outside(&self, reference: &Reference) -> bool {
        reference.symbol_id().is_none_or(|symbol| {
            let flags = self.scoping.symbol_flags(symbol);
            flags.is_ambient() && !self.scoping.symbol_redeclarations(symbol).iter().any(|r| !r.flags.is_ambient() && r.flags.is_value())
        })
    }

    fn check_name(&mut self, it: &IdentifierReference<'a>) {
        let Some(reference) = it.reference_id.get().map(|id| self.scoping.get_reference(id)) else { return };
        if !reference.is_value() || !self.is_from_outside(reference) {
            return;
        }
        let name = it.name.as_str();
        let (role, is_write) = (self.names.role, reference.is_write() && !reference.is_read());
        let is_activity = role == Role::Workflow && self.names.activities.contains(&name);
        if is_activity || is_global(name, role) || self.guarded.contains(name) || !self.reported.insert(name) {
            return;
        }
        if let Some(help) = instead_of(name, role) {
            let whose = if role == Role::Workflow { "workflow" } else { "script activity" };
            return self.find(Code::ForbiddenGlobal, it.span, format!("a {whose} has no `{name}`"), help);
        }
        let help = self.help(name, reference, is_write);
        self.find(Code::UnknownName, it.span, format!("`{name}` is not defined"), help);
    }

    fn help(&self, name: &str, reference: &Reference, is_write: bool) -> String {
        let (role, activities) = (self.names.role, self.names.activities);
        if role == Role::Workflow && EVERLOOP.contains(&name) {
            return format!("add `import {{ {name} }} from \"everloop\";` at the top");
        }
        if role == Role::Script && activities.contains(&name) {
            return "a script cannot call other activities; let the workflow call both".into();
        }
        let scopes = self.scoping.scope_ancestors(reference.scope_id());
        let locals: Vec<&str> = scopes
            .flat_map(|scope| self.scoping.get_bindings(scope).iter())
            .filter(|(_, symbol)| self.scoping.symbol_flags(**symbol).can_be_referenced_by_value())
            .map(|(local, _)| local.as_str())
            .collect();
        let callable: &[&str] = if role == Role::Workflow { activities } else { &[] };
        let importable: &[&str] = if role == Role::Workflow { EVERLOOP } else { &[] };
        let all: Vec<&str> = [&locals[..], callable, importable].concat().into_iter().chain(globals(role)).collect();
        match nearest(name, all) {
            Some(right) if importable.contains(&right) && !locals.contains(&right) => {
                format!("did you mean `{right}`? add `import {{ {right} }} from \"everloop\";` at the top")
            }
            Some(right) => format!("did you mean `{right}`?"),
            None if is_write => format!("declare it: `let {name}`"),
            None if role == Role::Workflow => format!("declare it, or add an activity `{name}` under `activities`"),
            None => "declare it".into(),
        }
    }

    fn top_level_await(&mut self, span: Span) {
        if self.functions == 0 {
            let help = "put it into the default function; a module only declares";
            self.find(Code::SyntaxError, Span::new(span.start, span.start + 5), "`await` outside of a function", help);
        }
    }
}

impl<'a> VisitJs<'a> for Visitor<'_, 'a> {
    fn visit_identifier_reference(&mut self, it: &IdentifierReference<'a>) {
        self.check_name(it);
    }

    fn visit_static_member_expression(&mut self, it: &StaticMemberExpression<'a>) {
        if let Expression::Identifier(object) = &it.object
            && object.name == "globalThis"
            && let Some(help) = instead_of(&it.property.name, self.names.role)
            && !self.guarded.contains(it.property.name.as_str())
        {
            self.find(Code::ForbiddenGlobal, it.property.span, format!("there is no `globalThis.{}`", it.property.name), help);
        }
        walk_js::walk_static_member_expression(self, it);
    }

    fn visit_unary_expression(&mut self, it: &UnaryExpression<'a>) {
        // `typeof name` and `typeof globalThis.name` only ask.
        let asks = it.operator == UnaryOperator::Typeof
            && match it.argument.without_parentheses() {
                Expression::Identifier(_) => true,
                Expression::StaticMemberExpression(member) => matches!(&member.object, Expression::Identifier(o) if o.name == "globalThis"),
                _ => false,
            };
        if asks {
            return;
        }
        walk_js::walk_unary_expression(self, it);
    }

    fn visit_import_expression(&mut self, it: &ImportExpression<'a>) {
        let help = "only \"everloop\" can be imported, at the top; put other code into the source or into an activity";
        self.find(Code::UnknownImport, it.span, "`import()` is not supported", help);
        walk_js::walk_import_expression(self, it);
    }

    fn visit_import_meta(&mut self, it: &ImportMeta) {
        self.find(Code::ForbiddenGlobal, it.span, "`import.meta` is not supported", "a module here has no address");
    }

    fn visit_await_expression(&mut self, it: &AwaitExpression<'a>) {
        self.top_level_await(it.span);
        walk_js::walk_await_expression(self, it);
    }

    fn visit_for_of_statement(&mut self, it: &ForOfStatement<'a>) {
        if it.r#await {
            self.top_level_await(it.span);
        }
        walk_js::walk_for_of_statement(self, it);
    }

    fn visit_variable_declaration(&mut self, it: &VariableDeclaration<'a>) {
        if it.kind == VariableDeclarationKind::AwaitUsing {
            self.top_level_await(it.span);
        }
        walk_js::walk_variable_declaration(self, it);
    }

    fn visit_function(&mut self, it: &Function<'a>, flags: ScopeFlags) {
        self.functions += 1;
        walk_js::walk_function(self, it, flags);
        self.functions -= 1;
    }

    fn visit_arrow_function_expression(&mut self, it: &ArrowFunctionExpression<'a>) {
        self.functions += 1;
        walk_js::walk_arrow_function_expression(self, it);
        self.functions -= 1;
    }

    fn visit_property_definition(&mut self, it: &PropertyDefinition<'a>) {
        if !it.declare {
            walk_js::walk_property_definition(self, it);
        }
    }
}
