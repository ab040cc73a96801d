//! One parsed module: the bounds before the parser, the parser, and its complaints as findings.

use std::thread;

use oxc_allocator::Allocator;
use oxc_ast::ast::Program;
use oxc_diagnostics::{Diagnostics, OxcDiagnostic};
use oxc_parser::{ParseOptions, Parser};
use oxc_semantic::{Scoping, SemanticBuilder};
use oxc_span::SourceType;

use super::nesting::nesting;
use super::position::Raw;
use crate::api::{Code, limits};

/// Levels that a source may nest, brackets and operators together. Hand-written code stays below 200.
pub(super) const DEPTH_MAX: usize = 2_000;
/// Up to here the caller's own stack is enough.
const DEPTH_INLINE: usize = 64;
/// Stack that one level may take, in bytes: measured below 4 KiB. Untouched pages cost nothing.
const STACK_BYTES_PER_LEVEL: usize = 16 << 10;
/// A text whose depth is not certain nests at most once per byte, so it must be small.
const UNSURE_BYTES_MAX: usize = 16 << 10;

/// A module without syntax errors.
pub(super) struct Module<'m, 'a> {
    pub program: &'m Program<'a>,
    pub scoping: Scoping,
}

/// Parses a source and hands it to `work`. JavaScript first, then TypeScript: some JavaScript means another thing when it is read as
/// TypeScript (`a < b > (c)`). Never overflows the stack, whatever the source is.
///
/// # Errors
/// The syntax errors, or the bound that the source breaks.
pub(super) fn with_module<R: Send>(source: &str, work: impl FnOnce(Module<'_, '_>) -> R + Send) -> Result<R, Vec<Raw>> {
    with_stack(source, || parse(source, &[SourceType::mjs(), SourceType::ts().with_module(true)], work))
}

/// What is wrong with a source as JavaScript.
pub(super) fn check_javascript(source: &str) -> Result<(), Vec<Raw>> {
    with_stack(source, || parse(source, &[SourceType::mjs()], |_| ()))
}

/// Runs `read` where the stack is large enough for the source, if it keeps the bounds.
fn with_stack<R: Send>(source: &str, read: impl FnOnce() -> Result<R, Vec<Raw>> + Send) -> Result<R, Vec<Raw>> {
    if source.len() > limits::SOURCE_BYTES_MAX {
        let message = format!("the source has {} bytes; at most {} are allowed", source.len(), limits::SOURCE_BYTES_MAX);
        return Err(refused(Code::PayloadTooLarge, message, "a workflow is a function, not a bundle", 0));
    }
    let found = nesting(source);
    if found.depth > DEPTH_MAX {
        let message = format!("nested too deeply: more than {DEPTH_MAX} levels of brackets and operators");
        return Err(refused(Code::SyntaxError, message, "split the expression into statements", found.deepest));
    }
    if found.depth <= DEPTH_INLINE && !found.unsure {
        return read();
    }
    if found.unsure && source.len() > UNSURE_BYTES_MAX {
        let message = "cannot tell whether a `/` here divides or begins a regular expression".to_owned();
        let help = "put the regular expression in a constant of its own, or parentheses around the dividend";
        return Err(refused(Code::SyntaxError, message, help, found.unsure_at));
    }
    let levels = if found.unsure { source.len() } else { found.depth };
    let stack = levels.max(DEPTH_INLINE) * STACK_BYTES_PER_LEVEL;
    thread::scope(|scope| match thread::Builder::new().name("source".into()).stack_size(stack).spawn_scoped(scope, read) {
        Ok(reader) => reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
        Err(error) => Err(refused(Code::SyntaxError, format!("no memory to read a source of {levels} levels: {error}"), "", 0)),
    })
}

fn refused(code: Code, message: String, help: &str, at: usize) -> Vec<Raw> {
    vec![Raw { code, message, help: help.to_owned(), start: at, end: at + 1 }]
}

/// The first of these languages that the source is in; the errors of the last when it is in none.
fn parse<R>(source: &str, languages: &[SourceType], work: impl FnOnce(Module<'_, '_>) -> R) -> Result<R, Vec<Raw>> {
    let allocator = Allocator::default();
    let options = ParseOptions { parse_regular_expression: true, ..ParseOptions::default() };
    let mut errors = Vec::new();
    for language in languages {
        let parsed = Parser::new(&allocator, source, *language).with_options(options).parse();
        if parsed.panicked || parsed.diagnostics.has_errors() {
            errors = syntax_errors(&parsed.diagnostics);
            continue;
        }
        let analysed = SemanticBuilder::new_compiler().build(&parsed.program);
        if analysed.diagnostics.has_errors() {
            errors = syntax_errors(&analysed.diagnostics);
            continue;
        }
        return Ok(work(Module { program: &parsed.program, scoping: analysed.semantic.into_scoping() }));
    }
    Err(errors)
}

fn syntax_errors(diagnostics: &Diagnostics) -> Vec<Raw> {
    diagnostics.errors().map(syntax_error).collect()
}

fn syntax_error(diagnostic: &OxcDiagnostic) -> Raw {
    let (start, length) = diagnostic.labels.first().map_or((0, 0), |l| (l.offset() as usize, l.len() as usize));
    let help = diagnostic.help.as_deref().unwrap_or_default().to_owned();
    Raw { code: Code::SyntaxError, message: diagnostic.message.to_string(), help, start, end: start + length }
}
