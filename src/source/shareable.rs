//! Whether the top level of a module may be shared between runs : a strict whitelist, decided by reading.
//!
//! Shareable is what nobody can change once the realm is frozen: functions, classes without state of their own, and constants that
//! are primitives or literals of these. No call, `new`, `await` or getter may run at the top level. Everything else gets a realm
//! per run.

use std::collections::HashSet;

use oxc_ast::ast::{
    ArrayExpressionElement, BindingPattern, Class, ClassElement, Declaration, ExportDefaultDeclarationKind, Expression, ObjectPropertyKind,
    PropertyKey, PropertyKind, Statement, VariableDeclaration,
};
use oxc_syntax::operator::{BinaryOperator, UnaryOperator};
use oxc_syntax::symbol::SymbolFlags;

use super::module::{Module, with_module};
use super::typescript::check_typescript;

/// The names that the top level binds to values of its own, when runs may share a realm with this module in it: these are
/// frozen. What does not parse may not be shared.
#[must_use]
pub fn shareable(source: &str) -> Option<Vec<String>> {
    with_module(source, |module| own_values(&module)).ok().flatten()
}

fn own_values(module: &Module<'_, '_>) -> Option<Vec<String>> {
    let mut constants = Constants::default();
    let immutable = check_typescript(module.program).is_empty() && module.program.body.iter().all(|it| constants.statement(it));
    if !immutable {
        return None;
    }
    let mut names = Vec::new();
    for symbol in module.scoping.get_bindings(module.scoping.root_scope_id()).values() {
        let flags = module.scoping.symbol_flags(*symbol);
        if flags.intersects(SymbolFlags::Import | SymbolFlags::TypeImport) {
            continue;
        }
        // `function f() {}` and `class C {}` are variables: an assignment to one would be seen by the other runs. What is
        // only declared has no value that could be frozen.
        if module.scoping.symbol_is_mutated(*symbol) || (flags.is_value() && flags.contains(SymbolFlags::Ambient)) {
            return None;
        }
        if flags.is_value() {
            names.push(module.scoping.symbol_name(*symbol).to_owned());
        }
    }
    names.sort_unstable();
    Some(names)
}

/// The constants seen so far: only these may be named in later ones, so that nothing throws and nothing is read too early.
#[derive(Default)]
struct Constants<'a> {
    primitives: HashSet<&'a str>,
    literals: HashSet<&'a str>,
    classes: HashSet<&'a str>,
}

impl<'a> Constants<'a> {
    fn statement(&mut self, statement: &Statement<'a>) -> bool {
        match statement {
            Statement::ImportDeclaration(_)
            | Statement::ExportNamedDeclaration(_)
            | Statement::ExportFromDeclaration(_)
            | Statement::ExportAllDeclaration(_)
            | Statement::EmptyStatement(_) => true,
            Statement::ExportDeclaration(export) => self.declaration(&export.declaration),
            Statement::ExportDefaultDeclaration(export) => match &export.declaration {
                ExportDefaultDeclarationKind::FunctionDeclaration(_) | ExportDefaultDeclarationKind::TSInterfaceDeclaration(_) => true,
                ExportDefaultDeclarationKind::ClassDeclaration(class) => self.class(class),
                declaration => declaration.as_expression().is_some_and(|e| {
                    matches!(
                        e.get_inner_expression(),
                        Expression::ArrowFunctionExpression(_) | Expression::FunctionExpression(_) | Expression::Identifier(_)
                    )
                }),
            },
            statement => statement.as_declaration().is_some_and(|declaration| self.declaration(declaration)),
        }
    }

    fn declaration(&mut self, declaration: &Declaration<'a>) -> bool {
        match declaration {
            Declaration::FunctionDeclaration(_)
            | Declaration::TSTypeAliasDeclaration(_)
            | Declaration::TSInterfaceDeclaration(_)
            | Declaration::TSExternalModuleDeclaration(_)
            | Declaration::TSGlobalDeclaration(_) => true,
            Declaration::ClassDeclaration(class) => self.class(class),
            Declaration::VariableDeclaration(variables) => variables.declare || self.constants(variables),
            Declaration::TSEnumDeclaration(it) => it.declare,
            Declaration::TSNamespaceDeclaration(it) => it.declare,
            Declaration::TSImportEqualsDeclaration(it) => it.import_kind.is_type(),
        }
    }

    fn constants(&mut self, variables: &VariableDeclaration<'a>) -> bool {
        variables.kind.is_const()
            && variables.declarations.iter().all(|variable| {
                let (BindingPattern::BindingIdentifier(id), Some(init)) = (&variable.id, &variable.init) else { return false };
                if self.primitive(init) {
                    self.primitives.insert(id.name.as_str())
                } else {
                    self.literal(init) && self.literals.insert(id.name.as_str())
                }
            })
    }

    /// An expression whose value is a primitive and whose evaluation runs no code and cannot throw.
    fn primitive(&self, expression: &Expression<'a>) -> bool {
        match expression.get_inner_expression() {
            Expression::StringLiteral(_)
            | Expression::NumericLiteral(_)
            | Expression::BigIntLiteral(_)
            | Expression::BooleanLiteral(_)
            | Expression::NullLiteral(_) => true,
            Expression::TemplateLiteral(template) => template.expressions.is_empty(),
            Expression::Identifier(name) => {
                matches!(name.name.as_str(), "undefined" | "NaN" | "Infinity") || self.primitives.contains(name.name.as_str())
            }
            Expression::UnaryExpression(it) => match it.operator {
                UnaryOperator::UnaryNegation => number(&it.argument) || bigint(&it.argument),
                UnaryOperator::LogicalNot | UnaryOperator::Void => self.primitive(&it.argument),
                _ => false,
            },
            Expression::BinaryExpression(_) => number(expression),
            _ => false,
        }
    }

    fn literal(&self, expression: &Expression<'a>) -> bool {
        match expression.get_inner_expression() {
            Expression::ArrayExpression(array) => array.elements.iter().all(|element| match element {
                ArrayExpressionElement::SpreadElement(_) | ArrayExpressionElement::Elision(_) => false,
                element => element.as_expression().is_some_and(|e| self.value(e)),
            }),
            Expression::ObjectExpression(object) => object.properties.iter().all(|property| match property {
                ObjectPropertyKind::ObjectProperty(property) => {
                    property.kind == PropertyKind::Init
                        && !property.method
                        && plain_key(&property.key, property.computed)
                        && self.value(&property.value)
                }
                ObjectPropertyKind::SpreadProperty(_) => false,
            }),
            Expression::Identifier(name) => self.literals.contains(name.name.as_str()),
            _ => false,
        }
    }

    fn value(&self, expression: &Expression<'a>) -> bool {
        self.primitive(expression) || self.literal(expression)
    }

    fn class(&mut self, class: &Class<'a>) -> bool {
        let heritage = class.heritage.as_ref().is_none_or(|heritage| match heritage.expression.get_inner_expression() {
            Expression::Identifier(name) => name.name.ends_with("Error") || self.classes.contains(name.name.as_str()),
            _ => false,
        });
        let body = class.body.body.iter().all(|element| match element {
            ClassElement::MethodDefinition(method) => plain_class_key(&method.key, method.computed),
            ClassElement::PropertyDefinition(property) => {
                (property.declare || !property.r#static) && plain_class_key(&property.key, property.computed)
            }
            ClassElement::TSIndexSignature(_) => true,
            ClassElement::StaticBlock(_) | ClassElement::AccessorProperty(_) => false,
        });
        if let Some(id) = &class.id {
            self.classes.insert(id.name.as_str());
        }
        class.declare || (class.decorators.is_empty() && heritage && body)
    }
}

/// `__proto__: x` in a literal is no property.
fn plain_key(key: &PropertyKey<'_>, computed: bool) -> bool {
    !computed && key.static_name().is_some_and(|name| name != "__proto__")
}

fn plain_class_key(key: &PropertyKey<'_>, computed: bool) -> bool {
    !computed || matches!(key, PropertyKey::StringLiteral(_) | PropertyKey::NumericLiteral(_))
}

fn bigint(expression: &Expression<'_>) -> bool {
    matches!(expression.get_inner_expression(), Expression::BigIntLiteral(_))
}

/// `30 * 60 * 1000`: arithmetic on number literals only, because other operands may throw.
fn number(expression: &Expression<'_>) -> bool {
    match expression.get_inner_expression() {
        Expression::NumericLiteral(_) => true,
        Expression::UnaryExpression(it) => it.operator == UnaryOperator::UnaryNegation && number(&it.argument),
        Expression::BinaryExpression(it) => {
            let arithmetic = matches!(
                it.operator,
                BinaryOperator::Addition
                    | BinaryOperator::Subtraction
                    | BinaryOperator::Multiplication
                    | BinaryOperator::Division
                    | BinaryOperator::Remainder
                    | BinaryOperator::Exponential
            );
            arithmetic && number(&it.left) && number(&it.right)
        }
        _ => false,
    }
}
