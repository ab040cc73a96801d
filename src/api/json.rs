//! JSON text that is passed on and never re-encoded.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::limits;

/// Opaque JSON text: an input, a result, an argument, a signal. Valid JSON; size and depth are checked where it enters ([`Json::checked`]).
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Json(Box<RawValue>);

/// Why a text is not accepted as a payload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJson {
    /// Longer than [`limits::PAYLOAD_BYTES_MAX`].
    #[error("{bytes} bytes of JSON are more than the {max} that are allowed")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// Nested deeper than [`limits::JSON_DEPTH_MAX`].
    #[error("JSON nested deeper than {max} levels")]
    TooDeep {
        /// The bound.
        max: usize,
    },
    /// Not JSON.
    #[error("not JSON: {0}")]
    Syntax(String),
}

impl Json {
    /// `null`.
    #[must_use]
    pub fn null() -> Self {
        Self(RawValue::NULL.to_owned())
    }

    /// Reads a text and checks size, depth and syntax.
    ///
    /// # Errors
    /// [`InvalidJson`] says which of them failed.
    pub fn checked(text: &str) -> Result<Self, InvalidJson> {
        let max = limits::PAYLOAD_BYTES_MAX;
        if text.len() > max {
            return Err(InvalidJson::TooLarge { bytes: text.len(), max });
        }
        check_depth(text)?;
        Self::trusted(text)
    }

    /// Reads a text that the store or a worker made: syntax only.
    ///
    /// # Errors
    /// [`InvalidJson::Syntax`].
    pub fn trusted(text: &str) -> Result<Self, InvalidJson> {
        let raw: Box<RawValue> = serde_json::from_str(text).map_err(|e| InvalidJson::Syntax(e.to_string()))?;
        Ok(Self(raw))
    }

    /// Checks size and depth of what came inside another JSON document.
    ///
    /// # Errors
    /// [`InvalidJson::TooLarge`] or [`InvalidJson::TooDeep`].
    pub fn check(&self) -> Result<(), InvalidJson> {
        let max = limits::PAYLOAD_BYTES_MAX;
        if self.get().len() > max {
            return Err(InvalidJson::TooLarge { bytes: self.get().len(), max });
        }
        check_depth(self.get())
    }

    /// Any value as JSON.
    #[must_use]
    pub fn of<T: Serialize>(value: &T) -> Self {
        // A map with keys that are no strings is the only way to fail, and no type of ours has one.
        serde_json::value::to_raw_value(value).map_or_else(|_| Self::null(), Self)
    }

    /// The text.
    #[must_use]
    pub fn get(&self) -> &str {
        self.0.get()
    }

    /// The parsed value.
    #[must_use]
    pub fn to_value(&self) -> serde_json::Value {
        serde_json::from_str(self.get()).unwrap_or(serde_json::Value::Null)
    }
}

impl utoipa::PartialSchema for Json {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        super::schema::anything("Any JSON value, passed on to the letter.")
    }
}

impl utoipa::ToSchema for Json {}

/// Counts brackets outside of strings; an unbalanced text is left to the parser.
fn check_depth(text: &str) -> Result<(), InvalidJson> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth > limits::JSON_DEPTH_MAX {
                    return Err(InvalidJson::TooDeep { max: limits::JSON_DEPTH_MAX });
                }
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl Eq for Json {}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.get())
    }
}

impl Default for Json {
    fn default() -> Self {
        Self::null()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_kept_to_the_letter() {
        let text = r#"{"b":1.0,"a":[1e3,"\u00e9"]}"#;
        assert_eq!(Json::checked(text).unwrap().get(), text);
    }

    #[test]
    fn depth_and_size_are_bounded_and_brackets_in_strings_do_not_count() {
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(Json::checked(&deep(limits::JSON_DEPTH_MAX)).is_ok());
        assert_eq!(Json::checked(&deep(limits::JSON_DEPTH_MAX + 1)), Err(InvalidJson::TooDeep { max: 64 }));
        assert!(Json::checked(&format!("\"{}\\\"[[\"", "[".repeat(100))).is_ok());
        let long = format!("\"{}\"", "x".repeat(limits::PAYLOAD_BYTES_MAX));
        assert!(matches!(Json::checked(&long), Err(InvalidJson::TooLarge { .. })));
        assert!(matches!(Json::checked("{"), Err(InvalidJson::Syntax(_))));
    }
}
