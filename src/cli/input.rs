//! Payloads from the command line: `JSON`, `@FILE` or `@-`.

use std::io::Read as _;

use super::error::CliError;
use crate::api::Json;
use crate::api::json::InvalidJson;
use crate::api::limits::PAYLOAD_BYTES_MAX;

/// Reads a payload, checked for syntax, size and depth. `what` names it in errors: `--input`, `the payload`.
pub fn json(what: &str, text: &str) -> Result<Json, CliError> {
    let (place, text) = match text.strip_prefix('@') {
        Some("-") => (format!("{what} from stdin"), read(what, &mut std::io::stdin().lock())?),
        Some(path) => {
            let mut file = std::fs::File::open(path).map_err(|e| {
                CliError::input(format!("failed to read {what} from {path}: {e}"), "name a file that is there, or give the JSON itself")
            })?;
            (format!("{what} from {path}"), read(what, &mut file)?)
        }
        None => (what.to_owned(), text.to_owned()),
    };
    Json::checked(text.trim()).map_err(|error| match error {
        InvalidJson::Syntax(detail) => CliError::input(
            format!("{place} is not JSON: {detail} (InvalidJson)"),
            r#"quote it for the shell, such as '{"zip": 10115}' or '"text"'; or give @FILE"#,
        ),
        InvalidJson::TooLarge { .. } => {
            CliError::input(format!("{place} is too large: {error} (PayloadTooLarge)"), "store it elsewhere and pass a reference")
        }
        InvalidJson::TooDeep { .. } => {
            CliError::input(format!("{place} is too deep: {error} (JsonTooDeep)"), "flatten it, or pass the inner part as a string")
        }
    })
}

/// Reads one byte more than allowed, so that the bound is seen without reading an endless input.
fn read(what: &str, from: &mut dyn std::io::Read) -> Result<String, CliError> {
    let mut bytes = Vec::new();
    let most = u64::try_from(PAYLOAD_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(4096);
    from.take(most).read_to_end(&mut bytes).map_err(|e| CliError::io(&format!("read {what}"), &e))?;
    String::from_utf8(bytes).map_err(|_| CliError::input(format!("{what} is not UTF-8 text"), ""))
}
