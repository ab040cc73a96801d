//! `{a.b.0}` in URLs, queries and headers: parts of the argument. `{}` is the argument itself; `{{` and `}}` are braces.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

/// What cannot be filled in, and why. Completes "the url: ...".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum TemplateError {
    /// The argument has no such part.
    #[error("the argument has no {path:?}{hint}")]
    Missing {
        /// As it stands in the template.
        path: String,
        /// What it has instead.
        hint: String,
    },
    /// The part is not a text, a number or a boolean.
    #[error("{path:?} of the argument is {what}, and only texts, numbers and booleans can be filled in")]
    NotScalar {
        /// As it stands in the template.
        path: String,
        /// What it is.
        what: &'static str,
    },
    /// A brace without its other one.
    #[error("{0}")]
    Syntax(&'static str),
}

/// Everything but RFC 3986's unreserved characters: what is filled in never ends a part of the URL.
const IN_URL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Fills in parts of the argument, percent-encoded.
pub(super) fn fill_url(template: &str, argument: &Value) -> Result<String, TemplateError> {
    fill(template, argument, |text| utf8_percent_encode(text, IN_URL).to_string())
}

/// Fills in parts of the argument as they are.
pub(super) fn fill_text(template: &str, argument: &Value) -> Result<String, TemplateError> {
    fill(template, argument, str::to_owned)
}

fn fill(template: &str, argument: &Value, encode: impl Fn(&str) -> String) -> Result<String, TemplateError> {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if rest.starts_with(brace) {
            out.push_str(brace);
            rest = &rest[1..];
        } else if brace == "}" {
            return Err(TemplateError::Syntax("a \"}\" without its \"{\"; write \"}}\" for a brace"));
        } else {
            let end = rest.find('}').ok_or(TemplateError::Syntax("a \"{\" without its \"}\"; write \"{{\" for a brace"))?;
            out.push_str(&encode(&look_up(&rest[..end], argument)?));
            rest = &rest[end + 1..];
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn look_up(path: &str, argument: &Value) -> Result<String, TemplateError> {
    let mut value = argument;
    let parts = path.trim().split('.').filter(|_| !path.trim().is_empty());
    for part in parts {
        let next = match value {
            Value::Object(fields) => fields.get(part),
            Value::Array(items) => part.parse::<usize>().ok().and_then(|index| items.get(index)),
            _ => None,
        };
        value = next.ok_or_else(|| TemplateError::Missing { path: path.to_owned(), hint: hint(value) })?;
    }
    let not_scalar = |what| Err(TemplateError::NotScalar { path: path.to_owned(), what });
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(yes) => Ok(yes.to_string()),
        Value::Null => not_scalar("null"),
        Value::Array(_) => not_scalar("a list"),
        Value::Object(_) => not_scalar("an object"),
    }
}

/// What is there instead, for the message.
fn hint(value: &Value) -> String {
    match value {
        Value::Object(fields) if fields.is_empty() => "; there it is an empty object".to_owned(),
        Value::Object(fields) => {
            let names: Vec<_> = fields.keys().take(10).map(String::as_str).collect();
            format!("; there it has {}", names.join(", "))
        }
        Value::Array(items) => format!("; there it is a list of {}", items.len()),
        Value::Null => "; there it is null".to_owned(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => "; there it is neither an object nor a list".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_fill_in_parts_of_the_argument() {
        let argument = serde_json::json!({"id": "a/b ü", "n": 1.5, "ok": true, "list": [{"x": 7}], "empty": {}, "none": null});
        for (template, url, text) in [
            ("/plain", "/plain", "/plain"),
            ("/{id}", "/a%2Fb%20%C3%BC", "/a/b ü"),
            ("{n}-{ok}", "1.5-true", "1.5-true"),
            ("/{list.0.x}", "/7", "/7"),
            ("{{id}}{{{n}}}", "{id}{1.5}", "{id}{1.5}"),
            ("", "", ""),
        ] {
            assert_eq!(fill_url(template, &argument).as_deref(), Ok(url), "{template}");
            assert_eq!(fill_text(template, &argument).as_deref(), Ok(text), "{template}");
        }
        assert_eq!(fill_url("/{}", &serde_json::json!("x y")).as_deref(), Ok("/x%20y"));
    }

    #[test]
    fn what_cannot_be_filled_in_says_what_is_there() {
        let argument = serde_json::json!({"a": {"b": 1}, "list": [1, 2], "none": null});
        for (template, message) in [
            ("{a.c}", "the argument has no \"a.c\"; there it has b"),
            ("{list.2}", "the argument has no \"list.2\"; there it is a list of 2"),
            ("{a.b.c}", "the argument has no \"a.b.c\"; there it is neither an object nor a list"),
            ("{none.x}", "the argument has no \"none.x\"; there it is null"),
            ("{none}", "\"none\" of the argument is null, and only texts, numbers and booleans can be filled in"),
            ("{a}", "\"a\" of the argument is an object, and only texts, numbers and booleans can be filled in"),
            ("{a", "a \"{\" without its \"}\"; write \"{{\" for a brace"),
            ("a}", "a \"}\" without its \"{\"; write \"}}\" for a brace"),
        ] {
            assert_eq!(fill_url(template, &argument).unwrap_err().to_string(), message, "{template}");
        }
    }
}
