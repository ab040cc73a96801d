//! Writing to stdout (data) and stderr (talk).

use std::io::{ErrorKind, Write as _};

use serde::Serialize;

use super::args::Format;
use super::error::CliError;

/// A value in the wanted form. JSON and YAML are the shape that travels over HTTP, in its order of fields.
pub fn render<T: Serialize>(format: Format, value: &T, table: impl FnOnce() -> String) -> String {
    match format {
        Format::Table => table(),
        Format::Json => json(value),
        Format::Yaml => yaml(value),
    }
}

/// Indented JSON. Payloads inside stand as they came, to the letter.
pub fn json<T: Serialize>(value: &T) -> String {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_else(|e| format!("{{\"error\":\"failed to write JSON: {e}\"}}"));
    text.push('\n');
    text
}

/// YAML of the same. It goes over JSON text, because raw payloads are known to that serializer only.
pub fn yaml<T: Serialize>(value: &T) -> String {
    serde_json::from_str::<serde_yaml_ng::Value>(&json(value))
        .map_err(|e| e.to_string())
        .and_then(|value| serde_yaml_ng::to_string(&value).map_err(|e| e.to_string()))
        .unwrap_or_else(|e| format!("error: 'failed to write YAML: {e}'\n"))
}

/// Data, to stdout. A reader that went away (`| head`) has what it wanted.
pub fn print(text: &str) -> Result<(), CliError> {
    is_read(text).map(|_| ())
}

/// The same; whether there still is a reader.
pub fn is_read(text: &str) -> Result<bool, CliError> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(CliError::io("write to stdout", &error)),
        written => Ok(written.is_ok()),
    }
}

/// A sentence for people, to stderr.
pub fn say(text: &str) {
    // There is nobody to tell when stderr is gone.
    let _ = writeln!(std::io::stderr(), "{text}");
}
