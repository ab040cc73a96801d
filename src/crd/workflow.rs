//! `kind: Workflow`: from text to [`Workflow`].

use std::collections::BTreeMap;
use std::rc::Rc;

use super::read::{Fields, Reader, join};
use super::rules::validate;
use super::yaml::{Key, Node, Spot, Style, Value, documents};
use crate::api::definition::{Activity, BodyKind, Definition, Http, Retry, Timeouts, Workflow};
use crate::api::error::Finding;
use crate::api::{Name, Problem};
use crate::source::{SOURCE_PLACE, nearest, script_place};

/// Group and version of all resources.
pub const API_VERSION: &str = "everloop.dev/v1alpha1";
/// The kind that is read here.
pub const KIND: &str = "Workflow";
/// The pool of a workflow that names none.
pub const POOL_DEFAULT: &str = "default";

/// What a file contains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// Its workflows, in their order.
    pub workflows: Vec<ParsedWorkflow>,
    /// Documents of other kinds, such as `ConfigMap settings (line 12)`: not read, and not an error.
    pub skipped: Vec<String>,
}

/// A workflow and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedWorkflow {
    /// `metadata.namespace`; the caller's when it is absent.
    pub namespace: Option<Name>,
    /// The workflow.
    pub workflow: Workflow,
    /// The file that it came from.
    pub file: String,
    /// The line of the document's first field, from 1.
    pub line: u32,
    /// Lines of the file before the first line of the inline source; 0 when its lines are not lines of the file.
    pub source_line_offset: u32,
    /// Where each source is, by its place ([`SOURCE_PLACE`], [`script_place`]), and each activity's name (`spec.activities.<name>`).
    pub sources: BTreeMap<String, SourceText>,
}

/// Where a source stands in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceText {
    /// Line of its first line, or of its key when `exact` is false.
    pub line: u32,
    /// Characters before each of its lines (before its only line when it is not a block).
    pub indent: u32,
    /// Whether lines of the source are lines of the file.
    pub exact: bool,
    /// Length of what stands there, in characters, when `exact` is false.
    pub length: u32,
}

/// Reads all workflows of a text of one or more YAML documents. `file` is named in findings.
///
/// # Errors
/// A problem with a finding for each mistake; its code is the first finding's: `InvalidYaml`, `UnknownField`, `InvalidResource`.
#[expect(clippy::result_large_err, reason = "a refused file is rare and its problem is moved once")]
pub fn parse(text: &str, file: &str) -> Result<Parsed, Problem> {
    let documents = documents(text, file).map_err(|finding| problem(file, vec![*finding]))?;
    let mut reader = Reader { file, findings: Vec::new() };
    let mut parsed = Parsed { workflows: Vec::new(), skipped: Vec::new() };
    for document in &documents {
        reader.document(document, &mut parsed);
    }
    if reader.findings.is_empty() { Ok(parsed) } else { Err(problem(file, reader.findings)) }
}

fn problem(file: &str, mut findings: Vec<Finding>) -> Problem {
    findings.sort_by_key(|f| (f.line, f.column));
    findings.truncate(FINDINGS_MAX);
    let first = &findings[0];
    let more = if findings.len() > 1 { format!(" (and {} more)", findings.len() - 1) } else { String::new() };
    let detail = format!("{file}:{}:{}: {}{more}", first.line, first.column, first.message);
    Problem::new(first.code, detail).next(first.help.clone()).with_findings(findings)
}

/// Findings that one answer carries.
const FINDINGS_MAX: usize = 100;

impl Reader<'_> {
    fn document(&mut self, document: &Node, parsed: &mut Parsed) {
        let Some(mut fields) = self.fields(document, "document") else { return };
        fields.path = String::new();
        let api_version = self.string(&mut fields, "apiVersion");
        let Some(kind) = self.string(&mut fields, "kind") else {
            return self.invalid(fields.at, "kind", "is missing", format!("write `kind: {KIND}`"));
        };
        if kind != KIND {
            return self.other_kind(&kind, api_version.as_deref(), document, &fields, parsed);
        }
        match api_version.as_deref() {
            Some(API_VERSION) => {}
            Some(other) => {
                let at = fields.take("apiVersion").map_or(fields.at, |node| node.at);
                let what = format!("of a Workflow is {API_VERSION}, not {other}");
                return self.invalid(at, "apiVersion", &what, format!("write `apiVersion: {API_VERSION}`"));
            }
            None => self.invalid(fields.at, "apiVersion", "is missing", format!("write `apiVersion: {API_VERSION}`")),
        }
        let before = self.findings.len();
        let metadata = fields.take("metadata").and_then(|node| self.metadata(node));
        let spec = fields.take("spec").map(|node| (node, self.spec(node)));
        fields.ignore(&["status"]);
        self.done(&fields);
        for (given, path) in [(fields.take("metadata").is_some(), "metadata"), (spec.is_some(), "spec")] {
            if !given {
                self.invalid(fields.at, path, "is missing", "");
            }
        }
        let (Some((name, namespace)), Some((node, Some(spec)))) = (metadata, spec) else { return };
        for violation in validate(&spec.definition) {
            let relative = violation.path.strip_prefix("spec.").unwrap_or(&violation.path);
            let at = locate(node, relative).unwrap_or(node.at);
            self.invalid(at, &violation.path, &violation.message, violation.help);
        }
        if self.findings.len() > before {
            return;
        }
        if parsed.workflows.iter().any(|other| other.workflow.name == name && other.namespace == namespace) {
            return self.invalid(fields.at, "metadata.name", &format!("`{name}` is taken by a workflow above"), "");
        }
        let Spec { pool, definition, retention, sources } = spec;
        let source_line_offset = sources.get(SOURCE_PLACE).filter(|s| s.exact).map_or(0, |s| s.line - 1);
        let workflow = Workflow { name, pool, definition, retention };
        parsed.workflows.push(ParsedWorkflow {
            namespace,
            workflow,
            file: self.file.to_owned(),
            line: document.at.line,
            source_line_offset,
            sources,
        });
    }

    fn other_kind(&mut self, kind: &str, api_version: Option<&str>, document: &Node, fields: &Fields<'_>, parsed: &mut Parsed) {
        const KINDS: [&str; 3] = [KIND, "WorkflowRun", "WorkerPool"];
        let ours = api_version.is_some_and(|version| version.starts_with("everloop.dev/"));
        let near = nearest(kind, KINDS);
        if (ours || near == Some(KIND)) && !KINDS.contains(&kind) {
            let help = near.map_or_else(|| format!("one of {}", KINDS.join(", ")), |right| format!("did you mean `{right}`?"));
            let at = locate_value(document, "kind").unwrap_or(fields.at);
            return self.invalid(at, "kind", &format!("{kind:?} is unknown"), help);
        }
        let name = locate_text(document, "metadata", "name").unwrap_or("without a name");
        parsed.skipped.push(format!("{kind} {name} (line {})", document.at.line));
    }

    fn metadata(&mut self, node: &Node) -> Option<(Name, Option<Name>)> {
        let mut fields = self.fields(node, "metadata")?;
        let given = fields.take("name").is_some();
        let name = self.name(&mut fields, "name");
        let namespace = self.name(&mut fields, "namespace");
        if !given {
            self.invalid(fields.at, "metadata.name", "is missing", "");
        }
        // What `kubectl get -o yaml` prints.
        fields.ignore(&["labels", "annotations", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp"]);
        fields.ignore(&["deletionGracePeriodSeconds", "finalizers", "ownerReferences", "managedFields", "selfLink"]);
        self.done(&fields);
        Some((name?, namespace))
    }

    fn spec(&mut self, node: &Node) -> Option<Spec> {
        let mut fields = self.fields(node, "spec")?;
        let mut sources = BTreeMap::new();
        let pool = self.name(&mut fields, "pool");
        let source = if let Some(source) = fields.take("source") {
            self.source(source, &mut sources)
        } else {
            self.invalid(fields.at, "spec.source", "is missing", "write `source:` and below it `inline: |` with the module");
            None
        };
        let activities = match fields.take("activities") {
            Some(activities) => self.activities(activities, &mut sources),
            None => BTreeMap::new(),
        };
        let retention = self.duration(&mut fields, "retention");
        self.done(&fields);
        let pool = pool.unwrap_or_else(|| POOL_DEFAULT.parse().expect("the default is a name"));
        Some(Spec { pool, definition: Definition { source: source?, activities }, retention, sources })
    }

    fn source(&mut self, node: &Node, sources: &mut BTreeMap<String, SourceText>) -> Option<String> {
        let mut fields = self.fields(node, "spec.source")?;
        let inline = fields.take("inline");
        let reference = fields.take("configMapKeyRef");
        self.done(&fields);
        match (inline, reference) {
            (_, Some(reference)) => {
                let help = "put the module under `spec.source.inline`, or apply the file to a cluster with `kubectl apply -f`";
                self.invalid(reference.at, "spec.source.configMapKeyRef", "can only be read inside a cluster", help);
                None
            }
            (Some(inline), None) => self.module(inline, SOURCE_PLACE, sources),
            (None, None) => {
                self.invalid(fields.at, "spec.source.inline", "is missing", "write `inline: |` and below it the module");
                None
            }
        }
    }

    fn module(&mut self, node: &Node, path: &str, sources: &mut BTreeMap<String, SourceText>) -> Option<String> {
        let (text, style) = self.text(node, path)?;
        let Spot { line, column, length } = node.at;
        let quote = u32::from(matches!(style, Style::Inline) && length as usize == text.chars().count() + 2);
        let place = match style {
            Style::Block { first_line, indent } => SourceText { line: first_line, indent, exact: true, length: 0 },
            Style::Inline => SourceText { line, indent: column - 1 + quote, exact: true, length: 0 },
            Style::Changed => SourceText { line, indent: column - 1, exact: false, length },
        };
        sources.insert(path.to_owned(), place);
        Some(text.to_owned())
    }

    fn activities(&mut self, node: &Node, sources: &mut BTreeMap<String, SourceText>) -> BTreeMap<String, Activity> {
        let Some(fields) = self.fields(node, "spec.activities") else { return BTreeMap::new() };
        let mut activities = BTreeMap::new();
        for (key, node) in fields.all() {
            let path = fields.field(&key.name);
            let Spot { line, column, length } = key.at;
            sources.insert(path.clone(), SourceText { line, indent: column - 1, exact: false, length });
            if let Some(activity) = self.activity(key, node, &path, sources) {
                activities.insert(key.name.clone(), activity);
            }
        }
        activities
    }

    fn activity(&mut self, key: &Key, node: &Node, path: &str, sources: &mut BTreeMap<String, SourceText>) -> Option<Activity> {
        if matches!(node.value, Value::Null) {
            return Some(Activity::default());
        }
        let mut fields = self.fields(node, path)?;
        let http = fields.take("http").map(|http| self.http(http, &fields.field("http")));
        let script = fields.take("script").map(|script| self.module(script, &script_place(&key.name), sources));
        let queue_given = fields.take("queue").is_some();
        let queue = self.name(&mut fields, "queue");
        let timeout = self.duration(&mut fields, "timeout");
        let timeouts = fields.take("timeouts").and_then(|timeouts| self.timeouts(timeouts, &fields.field("timeouts")));
        let retry = fields.take("retry").and_then(|retry| self.retry(retry, &fields.field("retry")));
        self.done(&fields);
        // A kind that could not be read has its finding; it must not be reported as missing too.
        if matches!(http, Some(None)) || matches!(script, Some(None)) || (queue_given && queue.is_none()) {
            return None;
        }
        Some(Activity { http: http.flatten(), script: script.flatten(), queue, timeout, timeouts, retry })
    }

    fn http(&mut self, node: &Node, path: &str) -> Option<Http> {
        let mut fields = self.fields(node, path)?;
        let method = self.string(&mut fields, "method");
        let given = fields.take("url").is_some();
        let url = self.string(&mut fields, "url");
        if !given {
            self.invalid(fields.at, &fields.field("url"), "is missing", "");
        }
        let headers = self.string_map(&mut fields, "headers");
        let query = self.string_map(&mut fields, "query");
        let body = match self.string(&mut fields, "body").as_deref() {
            None => None,
            Some("json") => Some(BodyKind::Json),
            Some("text") => Some(BodyKind::Text),
            Some("none") => Some(BodyKind::None),
            Some(other) => {
                let at = fields.take("body").map_or(fields.at, |node| node.at);
                self.invalid(at, &fields.field("body"), &format!("{other:?} is unknown"), "one of json, text, none");
                None
            }
        };
        self.done(&fields);
        Some(Http { method, url: url?, headers, query, body })
    }

    fn timeouts(&mut self, node: &Node, path: &str) -> Option<Timeouts> {
        let mut fields = self.fields(node, path)?;
        let timeouts = Timeouts {
            schedule_to_start: self.duration(&mut fields, "scheduleToStart"),
            start_to_close: self.duration(&mut fields, "startToClose"),
            schedule_to_close: self.duration(&mut fields, "scheduleToClose"),
            heartbeat: self.duration(&mut fields, "heartbeat"),
        };
        self.done(&fields);
        Some(timeouts)
    }

    fn retry(&mut self, node: &Node, path: &str) -> Option<Retry> {
        let mut fields = self.fields(node, path)?;
        let retry = Retry {
            max_attempts: self.number(&mut fields, "maxAttempts", "a whole number from 1 on"),
            initial: self.duration(&mut fields, "initial"),
            factor: self.number(&mut fields, "factor", "a number from 1 to 100"),
            max: self.duration(&mut fields, "max"),
            non_retryable: self.string_list(&mut fields, "nonRetryable"),
        };
        self.done(&fields);
        Some(retry)
    }
}

struct Spec {
    pool: Name,
    definition: Definition,
    retention: Option<crate::api::DurationMs>,
    sources: BTreeMap<String, SourceText>,
}

/// The place of a field: of its value when that is on one line, else of its key. Keys may contain dots.
fn locate(node: &Node, path: &str) -> Option<Spot> {
    let Value::Map(entries) = &node.value else { return None };
    entries.iter().find_map(|(key, value)| {
        if key.name == path {
            let below = matches!(value.value, Value::Map(_) | Value::List(_) | Value::Null);
            return Some(if below { key.at } else { value.at });
        }
        let rest = path.strip_prefix(&join(&key.name, ""))?;
        locate(value, rest).or(Some(key.at))
    })
}

fn entry<'n>(node: &'n Node, name: &str) -> Option<&'n Rc<Node>> {
    let Value::Map(entries) = &node.value else { return None };
    entries.iter().find(|(key, _)| key.name == name).map(|(_, value)| value)
}

fn locate_value(node: &Node, name: &str) -> Option<Spot> {
    entry(node, name).map(|value| value.at)
}

fn locate_text<'n>(node: &'n Node, outer: &str, inner: &str) -> Option<&'n str> {
    match &entry(entry(node, outer)?, inner)?.value {
        Value::Text(text, _) => Some(text),
        _ => None,
    }
}
