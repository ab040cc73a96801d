//! A workflow's definition: what a version is the hash of.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ids::{Name, Version};
use super::time::DurationMs;

/// The number of the canonical form. It is hashed with the definition, so another form makes other versions.
pub const CANONICAL_FORM: u32 = 1;

/// Source and activities, as written: no default is filled in, so that an upgrade makes no new versions. Pool, schedules,
/// retention and the like are outside of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// The module, JavaScript or TypeScript.
    pub source: String,
    /// The activities that it may call, by name.
    #[serde(default)]
    pub activities: BTreeMap<String, Activity>,
}

impl Definition {
    /// The text that is hashed: JSON with the number of the form, maps sorted by key, absent fields absent.
    #[must_use]
    pub fn canonical(&self) -> String {
        #[derive(Serialize)]
        struct Canonical<'a> {
            form: u32,
            source: &'a str,
            activities: &'a BTreeMap<String, Activity>,
        }
        let form = Canonical { form: CANONICAL_FORM, source: &self.source, activities: &self.activities };
        super::json::Json::of(&form).get().to_owned()
    }

    /// Reads what [`Definition::canonical`] wrote.
    ///
    /// # Errors
    /// What is wrong with the text, a newer form included.
    pub fn from_canonical(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Canonical {
            form: u32,
            source: String,
            activities: BTreeMap<String, Activity>,
        }
        let read: Canonical = serde_json::from_str(text).map_err(|e| e.to_string())?;
        if read.form > CANONICAL_FORM {
            return Err(format!("the definition has form {}; this program knows up to {CANONICAL_FORM}", read.form));
        }
        Ok(Self { source: read.source, activities: read.activities })
    }

    /// The version of this definition.
    #[must_use]
    pub fn version(&self) -> Version {
        Version::of(&self.canonical())
    }
}

/// A definition together with where it belongs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Workflow {
    /// Its name.
    pub name: Name,
    /// The pool that runs it.
    pub pool: Name,
    /// What it is.
    pub definition: Definition,
    /// How long closed runs are kept; absent: the service's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<DurationMs>,
}

/// One activity: its kind, exactly one of `http`, `script`, `queue`, and its policies.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Activity {
    /// An HTTP request that the worker sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<Http>,
    /// A JavaScript module that the worker runs, with `fetch`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// The name of a queue that a program in any language polls over HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<Name>,
    /// Short for `timeouts.startToClose`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<DurationMs>,
    /// See [`Timeouts`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Timeouts>,
    /// See [`Retry`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
}

/// The kind of an activity, when exactly one is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind<'a> {
    /// See [`Activity::http`].
    Http(&'a Http),
    /// See [`Activity::script`].
    Script(&'a str),
    /// See [`Activity::queue`].
    Queue(&'a Name),
}

impl Activity {
    /// Which kind it is.
    ///
    /// # Errors
    /// A sentence, when none or several are given.
    pub fn kind(&self) -> Result<Kind<'_>, &'static str> {
        match (&self.http, &self.script, &self.queue) {
            (Some(http), None, None) => Ok(Kind::Http(http)),
            (None, Some(script), None) => Ok(Kind::Script(script)),
            (None, None, Some(queue)) => Ok(Kind::Queue(queue)),
            (None, None, None) => Err("it has no kind: give one of http, script, queue"),
            _ => Err("it has several kinds: give exactly one of http, script, queue"),
        }
    }

    /// From the start of an attempt to its end. Always finite: [`START_TO_CLOSE_DEFAULT`] when nothing is given.
    #[must_use]
    pub fn start_to_close(&self) -> DurationMs {
        self.timeouts.as_ref().and_then(|t| t.start_to_close).or(self.timeout).unwrap_or(START_TO_CLOSE_DEFAULT)
    }
}

/// A lost attempt must end some time; a minute suits calls, longer work says so.
pub const START_TO_CLOSE_DEFAULT: DurationMs = DurationMs::from_secs(60);

/// An HTTP request. 2xx is the value; 408, 425, 429 and 5xx are tried again; other answers fail at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Http {
    /// GET, HEAD, POST, PUT, PATCH or DELETE; default POST.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Where to. `{field.of.argument}` is replaced by that part of the argument, percent-encoded.
    pub url: String,
    /// Headers, values with the same templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Added to the URL, values with the same templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub query: BTreeMap<String, String>,
    /// `json` (default: the argument as JSON), `text` (the argument, a string, as it is) or `none` (default of GET, HEAD and DELETE).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<BodyKind>,
}

/// What an HTTP activity sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum BodyKind {
    /// The argument as JSON.
    Json,
    /// The argument, a string, as text.
    Text,
    /// Nothing.
    None,
}

/// The four time-outs of an activity, and none of them is needed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Timeouts {
    /// From scheduled to the first attempt's start. Not retried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule_to_start: Option<DurationMs>,
    /// One attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_to_close: Option<DurationMs>,
    /// All attempts and the waiting between them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule_to_close: Option<DurationMs>,
    /// Between two heartbeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<DurationMs>,
}

/// When and how often a failed attempt is tried again. Delay of attempt n+1: `initial * factor^(n-1)`, at most `max`, and of
/// that a random part between half and all ("equal jitter": M. Brooker, Exponential Backoff And Jitter, 2015).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Retry {
    /// Attempts in all, the first included; absent: no bound. 1 means no retry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// Delay before the second attempt; default 1s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial: Option<DurationMs>,
    /// Growth of the delay, 1 to 100; default 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor: Option<f64>,
    /// Largest delay; default 1m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<DurationMs>,
    /// Types of errors that are not tried again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub non_retryable: Vec<String>,
}

impl Eq for Retry {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_definitions_keep_their_hash_for_ever() {
        let plain = Definition { source: "export default async () => 1;\n".into(), activities: BTreeMap::new() };
        assert_eq!(plain.canonical(), r#"{"form":1,"source":"export default async () => 1;\n","activities":{}}"#);
        assert_eq!(plain.version().short(), GOLDEN_PLAIN);
        let http = Http { method: None, url: "http://x/".into(), headers: BTreeMap::new(), query: BTreeMap::new(), body: None };
        let activity = Activity {
            http: Some(http),
            timeout: Some(DurationMs::from_secs(10)),
            retry: Some(Retry { max_attempts: Some(5), factor: Some(2.0), ..Retry::default() }),
            ..Activity::default()
        };
        let rich = Definition { activities: BTreeMap::from([("pay".into(), activity)]), ..plain };
        assert_eq!(
            rich.canonical(),
            r#"{"form":1,"source":"export default async () => 1;\n","activities":{"pay":{"http":{"url":"http://x/"},"timeout":"10s","retry":{"maxAttempts":5,"factor":2.0}}}}"#
        );
        assert_eq!(rich.version().short(), GOLDEN_RICH);
        assert_eq!(Definition::from_canonical(&rich.canonical()), Ok(rich));
        assert!(Definition::from_canonical(r#"{"form":2,"source":"","activities":{}}"#).is_err());
    }

    const GOLDEN_PLAIN: &str = "d9f7824f";
    const GOLDEN_RICH: &str = "09ffcdc4";
}
