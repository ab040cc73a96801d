//! Reads values of the tree and collects what is wrong with them.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::str::FromStr;

use super::yaml::{Key, Node, Spot, Style, Value};
use crate::api::error::Finding;
use crate::api::ids::{InvalidId, Name};
use crate::api::{Code, DurationMs};
use crate::source::nearest;

/// Where findings go.
pub(super) struct Reader<'f> {
    pub file: &'f str,
    pub findings: Vec<Finding>,
}

/// The fields of one map, each to be taken once; what is left is unknown.
pub(super) struct Fields<'n> {
    pub path: String,
    pub at: Spot,
    entries: &'n [(Key, Rc<Node>)],
    known: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// The value of a field; `null` is as good as absent.
    pub fn take(&mut self, name: &'static str) -> Option<&'n Node> {
        if !self.known.contains(&name) {
            self.known.push(name);
        }
        let node = self.entries.iter().find(|(key, _)| key.name == name).map(|(_, node)| &**node)?;
        (!matches!(node.value, Value::Null)).then_some(node)
    }

    /// Allows fields that are not read.
    pub fn ignore(&mut self, names: &[&'static str]) {
        self.known.extend(names);
    }

    /// All of them, for maps whose keys are chosen by the user.
    pub fn all(&self) -> &'n [(Key, Rc<Node>)] {
        self.entries
    }

    /// The path of a field.
    pub fn field(&self, name: &str) -> String {
        join(&self.path, name)
    }
}

pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

impl Reader<'_> {
    pub fn find(&mut self, code: Code, at: Spot, message: impl Into<String>, help: impl Into<String>) {
        let Spot { line, column, length } = at;
        let (message, help, place) = (message.into(), help.into(), self.file.to_owned());
        self.findings.push(Finding { code, message, help, place, line, column, length });
    }

    pub fn invalid(&mut self, at: Spot, path: &str, message: &str, help: impl Into<String>) {
        self.find(Code::InvalidResource, at, format!("`{path}` {message}"), help);
    }

    /// A map; a finding when it is something else.
    pub fn fields<'n>(&mut self, node: &'n Node, path: &str) -> Option<Fields<'n>> {
        let Value::Map(entries) = &node.value else {
            self.invalid(node.at, path, &format!("must be a map of fields, not {}", kind(&node.value)), "");
            return None;
        };
        Some(Fields { path: path.to_owned(), at: node.at, entries, known: Vec::new() })
    }

    /// Reports the fields that were not taken.
    pub fn done(&mut self, fields: &Fields<'_>) {
        for (key, _) in fields.entries.iter().filter(|(key, _)| !fields.known.contains(&key.name.as_str())) {
            let help = nearest(&key.name, fields.known.iter().copied())
                .map_or_else(|| format!("known here: {}", fields.known.join(", ")), |right| format!("did you mean `{right}`?"));
            self.find(Code::UnknownField, key.at, format!("unknown field `{}`", fields.field(&key.name)), help);
        }
    }

    /// A text with how it was written.
    pub fn text<'n>(&mut self, node: &'n Node, path: &str) -> Option<(&'n str, Style)> {
        match &node.value {
            Value::Text(text, style) => Some((text, *style)),
            Value::Other(kind, text) => {
                self.invalid(node.at, path, &format!("must be a string, not {kind}"), format!("put it in quotes: \"{text}\""));
                None
            }
            value => {
                self.invalid(node.at, path, &format!("must be a string, not {}", kind(value)), "");
                None
            }
        }
    }

    pub fn string(&mut self, fields: &mut Fields<'_>, name: &'static str) -> Option<String> {
        let node = fields.take(name)?;
        self.text(node, &fields.field(name)).map(|(text, _)| text.to_owned())
    }

    pub fn name(&mut self, fields: &mut Fields<'_>, name: &'static str) -> Option<Name> {
        let node = fields.take(name)?;
        let path = fields.field(name);
        let (text, _) = self.text(node, &path)?;
        let invalid = |error: InvalidId| format!("is no name: {}", error.rule);
        self.parsed(node, &path, text.parse().map_err(invalid), suggest_name(text))
    }

    pub fn duration(&mut self, fields: &mut Fields<'_>, name: &'static str) -> Option<DurationMs> {
        let node = fields.take(name)?;
        let path = fields.field(name);
        let text = match &node.value {
            Value::Other("a number", text) => text,
            _ => self.text(node, &path)?.0,
        };
        let error = |_| format!("is no duration: {text:?}");
        self.parsed(
            node,
            &path,
            text.parse().map_err(error),
            "write a number with a unit (ms, s, m, h, d), such as 250ms, 10s or 1h30m".into(),
        )
    }

    /// A number of the given type.
    pub fn number<T: FromStr>(&mut self, fields: &mut Fields<'_>, name: &'static str, what: &str) -> Option<T> {
        let node = fields.take(name)?;
        let number = match &node.value {
            Value::Other("a number", text) => text.parse().ok(),
            _ => None,
        };
        self.parsed(node, &fields.field(name), number.ok_or_else(|| format!("must be {what}")), String::new())
    }

    fn parsed<T>(&mut self, node: &Node, path: &str, result: Result<T, String>, help: String) -> Option<T> {
        result.map_err(|message| self.invalid(node.at, path, &message, help)).ok()
    }

    pub fn string_map(&mut self, fields: &mut Fields<'_>, name: &'static str) -> BTreeMap<String, String> {
        let path = fields.field(name);
        let Some(map) = fields.take(name).and_then(|node| self.fields(node, &path)) else { return BTreeMap::new() };
        let entry = |(key, node): &(Key, Rc<Node>)| Some((key.name.clone(), self.text(node, &map.field(&key.name))?.0.to_owned()));
        map.all().iter().filter_map(entry).collect()
    }

    pub fn string_list(&mut self, fields: &mut Fields<'_>, name: &'static str) -> Vec<String> {
        let Some(node) = fields.take(name) else { return Vec::new() };
        let path = fields.field(name);
        let Value::List(items) = &node.value else {
            self.invalid(node.at, &path, &format!("must be a list, not {}", kind(&node.value)), "write `[one, two]`");
            return Vec::new();
        };
        items.iter().filter_map(|item| self.text(item, &path).map(|(text, _)| text.to_owned())).collect()
    }
}

/// A text as a name that is close to it.
fn suggest_name(text: &str) -> String {
    let lower = text.to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    match lower.trim_matches('-').parse::<Name>() {
        Ok(name) if name.as_str() != text => format!("such as `{name}`"),
        _ => String::new(),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Other(kind, _) => kind,
        Value::Text(..) => "a string",
        Value::List(_) => "a list",
        Value::Map(_) => "a map",
    }
}
