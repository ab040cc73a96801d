//! TypeScript without its types: each is overwritten with blanks, so that every line and column of the JavaScript stays.
//!
//! Where blanks would let two statements run together, a `;` takes the place of the first one. JavaScript comes back as it is.

use oxc_ast::ast::{
    ArrowFunctionExpression, Class, ClassElement, ExportSpecifier, FormalParameter, ImportDeclarationSpecifier, MethodDefinition,
    PropertyDefinition, Statement, TSAsExpression, TSIndexSignature, TSInstantiationExpression, TSNonNullExpression, TSSatisfiesExpression,
    TSThisParameter, TSTypeAnnotation, TSTypeParameterDeclaration, TSTypeParameterInstantiation, VariableDeclarator,
};
use oxc_ast::ast::{Declaration, ExportDefaultDeclarationKind};
use oxc_ast_visit::{Visit, walk};
use oxc_span::{GetSpan, Span};

use super::module::{Module, check_javascript, with_module};
use super::position::{Raw, placed};
use super::typescript::check_typescript;
use crate::api::Code;
use crate::api::error::Finding;

/// The source as JavaScript, with every line and column (in characters) kept; plain JavaScript byte for byte.
///
/// # Errors
/// Syntax errors, and TypeScript that is more than types (enums, namespaces, parameter properties), with what to write instead.
pub fn strip_types(source: &str, module_name: &str) -> Result<String, Vec<Finding>> {
    match javascript(source) {
        Ok(stripped) => Ok(stripped.unwrap_or_else(|| source.to_owned())),
        Err(raw) => Err(placed(raw, source, module_name)),
    }
}

/// The source without types; `None` when it has none. What it returns is JavaScript: what TypeScript allows and JavaScript does not
/// (a function declared twice) is an error, at the same place.
pub(super) fn javascript(source: &str) -> Result<Option<String>, Vec<Raw>> {
    let edits = with_module(source, |module| {
        if module.program.source_type.is_javascript() {
            let found = check_typescript(module.program);
            return if found.is_empty() { Ok(None) } else { Err(found) };
        }
        edits(&module, source).map(Some)
    })??;
    let Some(edits) = edits else { return Ok(None) };
    let stripped = apply(source, edits);
    check_javascript(&stripped)?;
    Ok(Some(stripped))
}

fn edits(module: &Module<'_, '_>, source: &str) -> Result<Vec<Edit>, Vec<Raw>> {
    let mut stripper = Stripper { text: source, edits: Vec::new(), found: check_typescript(module.program) };
    stripper.visit_program(module.program);
    if stripper.found.is_empty() { Ok(stripper.edits) } else { Err(stripper.found) }
}

/// A part of the text that becomes blanks; `first` and `last` may put a character at its ends instead.
struct Edit {
    start: usize,
    end: usize,
    first: Option<char>,
    last: Option<char>,
}

fn apply(source: &str, mut edits: Vec<Edit>) -> String {
    edits.sort_by_key(|edit| (edit.start, std::cmp::Reverse(edit.end)));
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    for edit in edits {
        // Inside a part that is blank already.
        if edit.end <= at {
            continue;
        }
        let start = edit.start.max(at);
        out.push_str(&source[at..start]);
        let mut chars = source[start..edit.end].chars().peekable();
        let mut first = edit.first;
        while let Some(char) = chars.next() {
            let blank = if matches!(char, '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}') { char } else { ' ' };
            let ends = chars.peek().is_none();
            out.push(first.take().or(if ends { edit.last } else { None }).unwrap_or(blank));
        }
        at = edit.end;
    }
    out.push_str(&source[at..]);
    out
}

struct Stripper<'t> {
    text: &'t str,
    edits: Vec<Edit>,
    found: Vec<Raw>,
}

impl Stripper<'_> {
    fn byte(&self, at: usize) -> u8 {
        self.text.as_bytes().get(at).copied().unwrap_or(0)
    }

    fn blank(&mut self, start: u32, end: u32) {
        self.edits.push(Edit { start: start as usize, end: end as usize, first: None, last: None });
    }

    fn blank_span(&mut self, span: Span) {
        self.blank(span.start, span.end);
    }

    /// A statement or class element that goes: what was before it must not join what comes after it.
    fn blank_element(&mut self, span: Span) {
        self.edits.push(Edit { start: span.start as usize, end: span.end as usize, first: Some(';'), last: None });
    }

    /// The next byte that is neither white space nor comment.
    fn skip(&self, from: u32) -> usize {
        let bytes = self.text.as_bytes();
        let mut at = from as usize;
        loop {
            let rest = &self.text[at..];
            at += rest.len() - rest.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}').len();
            match (self.byte(at), self.byte(at + 1)) {
                (b'/', b'/') => at += self.text[at..].find(['\n', '\r', '\u{2028}', '\u{2029}']).unwrap_or(bytes.len() - at),
                (b'/', b'*') => at += self.text[at..].find("*/").map_or(bytes.len() - at, |n| n + 2),
                _ => return at,
            }
        }
    }

    /// Blanks one mark, `?` or `!` or `,`, when it is the next thing.
    fn blank_mark(&mut self, from: u32, mark: u8) {
        let at = self.skip(from);
        if self.byte(at) == mark {
            self.edits.push(Edit { start: at, end: at + 1, first: None, last: None });
        }
    }

    fn word(&self, at: usize) -> &str {
        let rest = &self.text[at..];
        &rest[..rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len())]
    }

    /// Blanks modifiers of TypeScript between the start of a class or class element and its name.
    fn blank_modifiers(&mut self, start: u32, end: u32) {
        let mut at = self.skip(start);
        let mut separator = Some(';');
        while at < end as usize {
            let length = self.word(at).len();
            match self.word(at) {
                "public" | "private" | "protected" | "override" | "readonly" | "abstract" | "declare" => {
                    self.edits.push(Edit { start: at, end: at + length, first: separator.take(), last: None });
                }
                "static" | "async" | "get" | "set" => separator = None,
                _ => return,
            }
            at = self.skip(position(at + length));
        }
    }

    /// The type after `as`. TypeScript ends the statement there when the next line begins with one of `( [ `` ` ``; blanks would not.
    fn blank_cast(&mut self, from: u32, span: Span) {
        let next = self.skip(span.end);
        let joins = matches!(self.byte(next), b'(' | b'[' | b'`') && self.text[span.end as usize..next].contains(['\n', '\r']);
        self.edits.push(Edit { start: from as usize, end: span.end as usize, first: joins.then_some(';'), last: None });
    }

    fn has_newline(&self, start: u32, end: u32) -> bool {
        self.text[start as usize..end as usize].contains(['\n', '\r', '\u{2028}', '\u{2029}'])
    }

    /// Specifiers of types in `import { type A, b }`, each with its comma.
    fn blank_specifier(&mut self, span: Span) {
        self.blank_span(span);
        self.blank_mark(span.end, b',');
    }
}

fn position(at: usize) -> u32 {
    super::position::number(at)
}

/// Whether a declaration leaves nothing to run.
fn only_types(declaration: &Declaration<'_>) -> bool {
    match declaration {
        Declaration::TSTypeAliasDeclaration(_)
        | Declaration::TSInterfaceDeclaration(_)
        | Declaration::TSExternalModuleDeclaration(_)
        | Declaration::TSGlobalDeclaration(_)
        | Declaration::TSEnumDeclaration(_)
        | Declaration::TSNamespaceDeclaration(_)
        | Declaration::TSImportEqualsDeclaration(_) => true,
        Declaration::VariableDeclaration(it) => it.declare,
        Declaration::FunctionDeclaration(it) => it.declare || it.body.is_none(),
        Declaration::ClassDeclaration(it) => it.declare,
    }
}

pub(super) fn statement_is_only_types(statement: &Statement<'_>) -> bool {
    match statement {
        Statement::ImportDeclaration(it) => it.import_kind.is_type(),
        Statement::ExportAllDeclaration(it) => it.export_kind.is_type(),
        Statement::ExportNamedDeclaration(it) => it.export_kind.is_type(),
        Statement::ExportFromDeclaration(it) => it.export_kind.is_type(),
        Statement::ExportDeclaration(it) => only_types(&it.declaration),
        Statement::TSNamespaceExportDeclaration(_) => true,
        Statement::ExportDefaultDeclaration(it) => match &it.declaration {
            ExportDefaultDeclarationKind::TSInterfaceDeclaration(_) => true,
            ExportDefaultDeclarationKind::FunctionDeclaration(function) => function.body.is_none(),
            _ => false,
        },
        statement => statement.as_declaration().is_some_and(only_types),
    }
}

impl<'a> Visit<'a> for Stripper<'_> {
    fn visit_statement(&mut self, it: &Statement<'a>) {
        if statement_is_only_types(it) {
            self.blank_element(it.span());
        } else {
            walk::walk_statement(self, it);
        }
    }

    fn visit_import_declaration_specifier(&mut self, it: &ImportDeclarationSpecifier<'a>) {
        if let ImportDeclarationSpecifier::ImportSpecifier(one) = it
            && one.import_kind.is_type()
        {
            self.blank_specifier(one.span);
        }
    }

    fn visit_export_specifier(&mut self, it: &ExportSpecifier<'a>) {
        if it.export_kind.is_type() {
            self.blank_specifier(it.span);
        }
    }

    fn visit_ts_type_annotation(&mut self, it: &TSTypeAnnotation<'a>) {
        self.blank_span(it.span);
    }

    fn visit_ts_type_parameter_declaration(&mut self, it: &TSTypeParameterDeclaration<'a>) {
        self.blank_span(it.span);
    }

    fn visit_ts_type_parameter_instantiation(&mut self, it: &TSTypeParameterInstantiation<'a>) {
        self.blank_span(it.span);
    }

    fn visit_ts_this_parameter(&mut self, it: &TSThisParameter<'a>) {
        self.blank_span(it.span);
        self.blank_mark(it.span.end, b',');
    }

    fn visit_ts_index_signature(&mut self, it: &TSIndexSignature<'a>) {
        self.blank_element(it.span);
    }

    fn visit_ts_as_expression(&mut self, it: &TSAsExpression<'a>) {
        self.visit_expression(&it.expression);
        self.blank_cast(it.expression.span().end, it.span);
    }

    fn visit_ts_satisfies_expression(&mut self, it: &TSSatisfiesExpression<'a>) {
        self.visit_expression(&it.expression);
        self.blank_cast(it.expression.span().end, it.span);
    }

    fn visit_ts_non_null_expression(&mut self, it: &TSNonNullExpression<'a>) {
        self.visit_expression(&it.expression);
        self.blank_mark(it.expression.span().end, b'!');
    }

    fn visit_ts_instantiation_expression(&mut self, it: &TSInstantiationExpression<'a>) {
        self.visit_expression(&it.expression);
        self.blank_cast(it.expression.span().end, it.span);
    }

    fn visit_variable_declarator(&mut self, it: &VariableDeclarator<'a>) {
        if it.definite {
            self.blank_mark(it.id.span().end, b'!');
        }
        walk::walk_variable_declarator(self, it);
    }

    fn visit_formal_parameter(&mut self, it: &FormalParameter<'a>) {
        if it.optional {
            self.blank_mark(it.pattern.span().end, b'?');
        }
        walk::walk_formal_parameter(self, it);
    }

    fn visit_arrow_function_expression(&mut self, it: &ArrowFunctionExpression<'a>) {
        if it.r#async && self.has_newline(it.span.start, it.params.span.start) {
            let span = Span::new(it.span.start, it.params.span.start);
            let help = "write them on one line";
            self.found.push(Raw::at(Code::SyntaxError, span, "type parameters of an async arrow function over several lines", help));
            return;
        }
        walk::walk_arrow_function_expression(self, it);
        // `)` and `=>` must be on one line: the parenthesis moves to the end of a type of several lines.
        if let Some(result) = &it.return_type
            && self.has_newline(it.params.span.end, result.span.end)
        {
            self.edits.push(Edit { start: it.params.span.end as usize - 1, end: result.span.end as usize, first: None, last: Some(')') });
        }
    }

    fn visit_class(&mut self, it: &Class<'a>) {
        if it.r#abstract {
            self.blank_keyword(it);
        }
        if let Some(last) = it.implements.last() {
            let after = it
                .heritage
                .as_ref()
                .map(|h| h.type_arguments.as_ref().map_or(h.expression.span().end, |t| t.span.end))
                .or(it.type_parameters.as_ref().map(|t| t.span.end))
                .or(it.id.as_ref().map(|id| id.span.end));
            let start = after.map_or_else(|| self.implements_of_anonymous(it), |end| self.skip(end));
            self.blank(position(start), last.span.end);
        }
        if let Some(parameters) = &it.type_parameters {
            self.blank_span(parameters.span);
        }
        if let Some(heritage) = &it.heritage {
            self.visit_expression(&heritage.expression);
            if let Some(arguments) = &heritage.type_arguments {
                self.blank_span(arguments.span);
            }
        }
        for element in &it.body.body {
            self.visit_class_element(element);
        }
    }

    fn visit_class_element(&mut self, it: &ClassElement<'a>) {
        match it {
            ClassElement::MethodDefinition(method) if method.value.body.is_none() => self.blank_element(method.span),
            ClassElement::PropertyDefinition(property) if property.declare || property.r#type.is_abstract() => {
                self.blank_element(property.span);
            }
            element => walk::walk_class_element(self, element),
        }
    }

    fn visit_method_definition(&mut self, it: &MethodDefinition<'a>) {
        self.blank_modifiers(it.span.start, it.key.span().start);
        if it.optional {
            self.blank_mark(self.after_key(it.key.span(), it.computed), b'?');
        }
        walk::walk_method_definition(self, it);
    }

    fn visit_property_definition(&mut self, it: &PropertyDefinition<'a>) {
        self.blank_modifiers(it.span.start, it.key.span().start);
        let mark = if it.optional { Some(b'?') } else { it.definite.then_some(b'!') };
        if let Some(mark) = mark {
            self.blank_mark(self.after_key(it.key.span(), it.computed), mark);
        }
        walk::walk_property_definition(self, it);
    }
}

impl Stripper<'_> {
    /// Where a key ends, its bracket included.
    fn after_key(&self, key: Span, computed: bool) -> u32 {
        if computed { position(self.skip(key.end) + 1) } else { key.end }
    }

    /// `abstract` before `class`.
    fn blank_keyword(&mut self, class: &Class<'_>) {
        let at = self.skip(class.span.start);
        if self.word(at) == "abstract" {
            self.blank(position(at), position(at + "abstract".len()));
        }
    }

    /// `class implements A {}`: the word after `class`.
    fn implements_of_anonymous(&self, class: &Class<'_>) -> usize {
        let at = self.skip(class.span.start);
        let at = if self.word(at) == "abstract" { self.skip(position(at + "abstract".len())) } else { at };
        self.skip(position(at + "class".len()))
    }
}
