//! YAML as a tree whose nodes know where they are.
//!
//! Anchors and aliases are followed within a bound; tags are refused; a key may appear once.

use std::collections::HashMap;
use std::rc::Rc;

use granit_parser::{Event, Parser, ScalarStyle, Span};

use crate::api::Code;
use crate::api::error::Finding;
use crate::api::limits;

/// Nodes of all documents with aliases counted as often as they are used: text of a bound length must not grow without one.
const NODES_MAX: usize = 200_000;
/// Text that is read at once: some hundred workflows.
const TEXT_BYTES_MAX: usize = limits::REQUEST_BYTES_MAX;

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub value: Value,
    pub at: Spot,
    /// What another use of it costs: this node and all below it, and long texts as several.
    size: usize,
}

/// A place in the text: line and column from 1, length in characters on that line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Spot {
    pub line: u32,
    pub column: u32,
    pub length: u32,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Null,
    /// Plain text that is a boolean or a number to YAML, and as text to nobody.
    Other(&'static str, String),
    Text(String, Style),
    List(Vec<Rc<Node>>),
    Map(Vec<(Key, Rc<Node>)>),
}

#[derive(Debug, Clone)]
pub(super) struct Key {
    pub name: String,
    pub at: Spot,
}

/// How a text was written: whether its lines are lines of the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// `|`: line for line, each indented by this many characters, the first at this line.
    Block { first_line: u32, indent: u32 },
    /// On one line as it stands, from this place on.
    Inline,
    /// Folded or with escapes.
    Changed,
}

/// The documents of a text; empty ones are left out.
///
/// # Errors
/// One finding: where the text stops being YAML, or what of YAML is not supported.
pub(super) fn documents(text: &str, file: &str) -> Result<Vec<Rc<Node>>, Box<Finding>> {
    let finding = |message: String, help: &str, at: Spot| {
        let Spot { line, column, length } = at;
        Box::new(Finding {
            code: Code::InvalidYaml,
            message,
            help: help.to_owned(),
            place: file.to_owned(),
            line,
            column,
            length: length.max(1),
        })
    };
    if text.len() > TEXT_BYTES_MAX {
        return Err(finding(format!("{} bytes of YAML; at most {TEXT_BYTES_MAX} are read at once", text.len()), "", Spot::default()));
    }
    let lines: Vec<&str> = text.split('\n').collect();
    let mut builder = Builder { lines: &lines, open: Vec::new(), anchors: HashMap::new(), nodes: 0, documents: Vec::new() };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let mark = error.marker();
            finding(error.info(), hint(&lines, mark.line()), Spot { line: number(mark.line()), column: number(mark.col() + 1), length: 1 })
        })?;
        builder.event(event, &span).map_err(|(message, help, at)| finding(message, help, at))?;
    }
    Ok(builder.documents)
}

/// The mistake that YAML's own message does not name.
fn hint(lines: &[&str], line: usize) -> &'static str {
    let text = line.checked_sub(1).and_then(|at| lines.get(at)).copied().unwrap_or_default();
    let blanks = &text[..text.len() - text.trim_start().len()];
    if blanks.contains('\t') { "YAML is indented with spaces; this line has a tab" } else { "" }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

type Refusal = (String, &'static str, Spot);

struct Builder<'t> {
    lines: &'t [&'t str],
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<Node>>,
    nodes: usize,
    documents: Vec<Rc<Node>>,
}

/// A list or map that is being read.
struct Open {
    at: Spot,
    anchor: usize,
    size: usize,
    what: What,
}

enum What {
    List(Vec<Rc<Node>>),
    Map { entries: Vec<(Key, Rc<Node>)>, names: HashMap<String, u32>, key: Option<Key> },
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, span: &Span) -> Result<(), Refusal> {
        let at = self.spot(span);
        if event.tag().is_some_and(|tag| !tag.is_yaml_core_schema()) {
            return Err(("YAML tags are not supported".into(), "remove the word with `!`", at));
        }
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let scalar_bytes = text.len();
                let value = self.scalar(text.into_owned(), style, span);
                let size = 1 + scalar_bytes / 64;
                self.node(Node { value, at, size }, anchor)
            }
            Event::SequenceStart(_, anchor, _) => {
                self.open.push(Open { at, anchor, size: 1, what: What::List(Vec::new()) });
                Ok(())
            }
            Event::MappingStart(_, anchor, _) => {
                let what = What::Map { entries: Vec::new(), names: HashMap::new(), key: None };
                self.open.push(Open { at, anchor, size: 1, what });
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(open) = self.open.pop() else { return Ok(()) };
                let value = match open.what {
                    What::List(items) => Value::List(items),
                    What::Map { entries, .. } => Value::Map(entries),
                };
                self.node(Node { value, at: open.at, size: open.size }, open.anchor)
            }
            Event::Alias(id) => {
                let Some(node) = self.anchors.get(&id).cloned() else {
                    return Err(("an alias inside of its own anchor".into(), "write the value out", at));
                };
                let cost = node.size;
                self.add(node, at, cost)
            }
            Event::DocumentEnd => {
                self.anchors.clear();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn node(&mut self, node: Node, anchor: usize) -> Result<(), Refusal> {
        let at = node.at;
        let node = Rc::new(node);
        if anchor > 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        self.add(node, at, 1)
    }

    fn add(&mut self, node: Rc<Node>, at: Spot, cost: usize) -> Result<(), Refusal> {
        self.nodes = self.nodes.saturating_add(cost);
        if self.nodes > NODES_MAX {
            return Err((format!("more than {NODES_MAX} values"), "split the file", at));
        }
        let Some(open) = self.open.last_mut() else {
            if !matches!(node.value, Value::Null) {
                self.documents.push(node);
            }
            return Ok(());
        };
        open.size = open.size.saturating_add(node.size);
        match &mut open.what {
            What::List(items) => items.push(node),
            What::Map { entries, names, key } => {
                if let Some(key) = key.take() {
                    entries.push((key, node));
                } else {
                    let name = match &node.value {
                        Value::Text(text, _) | Value::Other(_, text) => text.clone(),
                        Value::Null => "null".into(),
                        Value::List(_) | Value::Map(_) => {
                            return Err(("a key must be a word".into(), "put a text with `{` or `[` in quotes", at));
                        }
                    };
                    if let Some(line) = names.insert(name.clone(), at.line) {
                        return Err((format!("`{name}` is given twice, first on line {line}"), "keep one of them", at));
                    }
                    *key = Some(Key { name, at });
                }
            }
        }
        Ok(())
    }

    fn scalar(&self, text: String, style: ScalarStyle, span: &Span) -> Value {
        match style {
            ScalarStyle::Plain => match plain_kind(&text) {
                Some("null") => Value::Null,
                Some(kind) => Value::Other(kind, text),
                None => Value::Text(text, if span.start.line() == span.end.line() { Style::Inline } else { Style::Changed }),
            },
            ScalarStyle::Literal => {
                let style = self.block(&text, span);
                Value::Text(text, style)
            }
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => {
                let written = span.len() == text.chars().count() + 2 && span.start.line() == span.end.line();
                Value::Text(text, if written { Style::Inline } else { Style::Changed })
            }
            ScalarStyle::Folded => Value::Text(text, Style::Changed),
        }
    }

    /// Where the lines of a `|` text are. The parser's span begins at the first that is not blank.
    fn block(&self, text: &str, span: &Span) -> Style {
        let line = span.start.line();
        let Some((blank, first)) = text.split('\n').enumerate().find(|(_, line)| !line.is_empty()) else { return Style::Changed };
        let written = self.lines.get(line.saturating_sub(1)).map(|line| line.trim_end_matches('\r')).unwrap_or_default();
        match written.strip_suffix(first) {
            Some(indent) if line > blank => Style::Block { first_line: number(line - blank), indent: number(indent.chars().count()) },
            _ => Style::Changed,
        }
    }

    fn spot(&self, span: &Span) -> Spot {
        let line = span.start.line();
        let rest = self.lines.get(line.saturating_sub(1)).map_or(0, |l| l.trim_end().chars().count().saturating_sub(span.start.col()));
        let length = if span.start.line() == span.end.line() { span.len() } else { rest };
        Spot { line: number(line), column: number(span.start.col() + 1), length: number(length.max(1)) }
    }
}

/// What a text without quotes is to YAML 1.2 and to Kubernetes, when it is no string.
fn plain_kind(text: &str) -> Option<&'static str> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Some("null"),
        "true" | "True" | "TRUE" | "false" | "False" | "FALSE" | "yes" | "Yes" | "YES" | "no" | "No" | "NO" | "on" | "On" | "ON"
        | "off" | "Off" | "OFF" => return Some("a boolean"),
        _ => {}
    }
    let digits = text.trim_start_matches(['-', '+']);
    let number = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') && (text.parse::<f64>().is_ok() || is_radix(digits));
    number.then_some("a number")
}

fn is_radix(digits: &str) -> bool {
    let radix = |prefix: &str, radix: u32| digits.strip_prefix(prefix).is_some_and(|d| u64::from_str_radix(d, radix).is_ok());
    radix("0x", 16) || radix("0o", 8)
}
