//! The rules of a definition beyond its types. They hold for YAML and for what comes over HTTP alike.

use crate::api::DurationMs;
use crate::api::definition::{Activity, BodyKind, Definition, Http, Kind, Retry, Timeouts};
use crate::api::limits;

/// A rule that is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The path of the field, such as `spec.activities.pay.retry.factor`.
    pub path: String,
    /// What is wrong with it; completes "`path` ...".
    pub message: String,
    /// What to do instead; may be empty.
    pub help: String,
}

/// Every rule that a definition breaks. Names of activities and sources are the business of [`crate::source::check`].
#[must_use]
pub fn validate(definition: &Definition) -> Vec<Violation> {
    let mut broken = Broken(Vec::new());
    if definition.activities.len() > limits::ACTIVITIES_MAX {
        let count = definition.activities.len();
        broken.add("spec.activities", format!("has {count} activities; at most {} are allowed", limits::ACTIVITIES_MAX), "");
    }
    for (name, activity) in &definition.activities {
        broken.activity(&format!("spec.activities.{name}"), activity);
    }
    broken.0
}

/// Longest time-out or delay: ten years. A longer one is a mistake in the unit.
const DURATION_MAX: DurationMs = DurationMs::from_secs(10 * 366 * 24 * 3600);

const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

struct Broken(Vec<Violation>);

impl Broken {
    fn add(&mut self, path: &str, message: impl Into<String>, help: impl Into<String>) {
        self.0.push(Violation { path: path.to_owned(), message: message.into(), help: help.into() });
    }

    fn activity(&mut self, path: &str, activity: &Activity) {
        match activity.kind() {
            Ok(Kind::Http(http)) => self.http(&format!("{path}.http"), http),
            Ok(Kind::Script(_) | Kind::Queue(_)) => {}
            Err(_) => {
                let kinds = [("http", activity.http.is_some()), ("script", activity.script.is_some()), ("queue", activity.queue.is_some())];
                let given: Vec<&str> = kinds.iter().filter(|(_, given)| *given).map(|(kind, _)| *kind).collect();
                if given.is_empty() {
                    self.add(path, "has no kind", "give it one of `http`, `script`, `queue`");
                } else {
                    self.add(path, format!("has several kinds: {}", given.join(" and ")), "keep exactly one");
                }
            }
        }
        self.duration(&format!("{path}.timeout"), activity.timeout);
        if let Some(timeouts) = &activity.timeouts {
            self.timeouts(&format!("{path}.timeouts"), timeouts);
            if let (Some(_), Some(_)) = (&activity.http, timeouts.heartbeat) {
                let help = "leave it out; `startToClose` bounds the request";
                self.add(&format!("{path}.timeouts.heartbeat"), "has no meaning for `http`: a request gives no sign of life", help);
            }
            if let (Some(_), Some(_)) = (activity.timeout, timeouts.start_to_close) {
                self.add(&format!("{path}.timeout"), "is given twice, here and as `timeouts.startToClose`", "keep one of them");
            }
        }
        if let Some(retry) = &activity.retry {
            self.retry(&format!("{path}.retry"), retry);
        }
    }

    fn timeouts(&mut self, path: &str, timeouts: &Timeouts) {
        let all = [
            ("scheduleToStart", timeouts.schedule_to_start),
            ("startToClose", timeouts.start_to_close),
            ("scheduleToClose", timeouts.schedule_to_close),
            ("heartbeat", timeouts.heartbeat),
        ];
        for (name, duration) in all {
            self.duration(&format!("{path}.{name}"), duration);
        }
    }

    fn retry(&mut self, path: &str, retry: &Retry) {
        if retry.max_attempts == Some(0) {
            self.add(&format!("{path}.maxAttempts"), "must be at least 1", "1 means no retry; leave it out for no bound");
        }
        if retry.factor.is_some_and(|factor| !(1.0..=100.0).contains(&factor)) {
            self.add(&format!("{path}.factor"), "must be from 1 to 100", "1 keeps the delay, 2 doubles it each time");
        }
        self.duration(&format!("{path}.initial"), retry.initial);
        self.duration(&format!("{path}.max"), retry.max);
        if let (Some(initial), Some(max)) = (retry.initial, retry.max)
            && max < initial
        {
            self.add(&format!("{path}.max"), format!("is shorter than `initial`, which is {initial}"), "");
        }
    }

    fn duration(&mut self, path: &str, duration: Option<DurationMs>) {
        match duration {
            Some(DurationMs(0)) => self.add(path, "must be longer than zero", "leave it out for the default"),
            Some(duration) if duration > DURATION_MAX => self.add(path, format!("is longer than ten years: {duration}"), "check the unit"),
            _ => {}
        }
    }

    fn http(&mut self, path: &str, http: &Http) {
        let method = http.method.as_deref().unwrap_or("POST");
        if !METHODS.contains(&method) {
            let upper = method.to_ascii_uppercase();
            let help =
                if METHODS.contains(&upper.as_str()) { format!("write `{upper}`") } else { format!("one of {}", METHODS.join(", ")) };
            self.add(&format!("{path}.method"), format!("is no method: {method:?}"), help);
        } else if matches!(method, "GET" | "HEAD") && matches!(http.body, Some(BodyKind::Json | BodyKind::Text)) {
            self.add(
                &format!("{path}.body"),
                format!("cannot be sent with {method}"),
                "use `query` or a template in `url`, or another method",
            );
        }
        self.url(&format!("{path}.url"), &http.url);
        for (name, value) in &http.headers {
            let field = format!("{path}.headers.{name}");
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)) {
                self.add(&field, "is no header name", "");
            }
            if value.contains(['\r', '\n', '\0']) {
                self.add(&field, "contains a line break", "");
            }
            self.template(&field, value);
        }
        for (name, value) in &http.query {
            self.template(&format!("{path}.query.{name}"), value);
        }
    }

    fn url(&mut self, path: &str, url: &str) {
        let Some((scheme, rest)) = url.split_once("://") else {
            self.add(path, format!("is no URL: {url:?}"), "write it in full, such as `http://payments.shop.svc/charge`");
            return;
        };
        if !matches!(scheme, "http" | "https") {
            self.add(path, format!("has the scheme {scheme:?}"), "only http and https are supported");
        } else if rest.split(['/', '?', '#']).next().unwrap_or_default().is_empty() {
            self.add(path, "has no host", "write it in full, such as `http://payments.shop.svc/charge`");
        } else if url.chars().any(|c| c.is_whitespace() || c.is_control()) {
            self.add(path, "contains blanks", "write %20 for a space");
        } else if url.len() > URL_BYTES_MAX {
            self.add(path, format!("is longer than {URL_BYTES_MAX} bytes"), "");
        }
        self.template(path, url);
    }

    /// `{field.of.argument}`: braces in pairs, names of fields between dots.
    fn template(&mut self, path: &str, text: &str) {
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let Some(end) = rest[at..].find('}').filter(|end| *end > 0) else {
                let side = if rest[at..].starts_with('{') { "`{` without `}`" } else { "`}` without `{`" };
                self.add(path, format!("has a {side}"), "`{field}` stands for that field of the argument");
                return;
            };
            let name = &rest[at + 1..at + end];
            let good = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '$'));
            if !name.split('.').all(good) {
                let help = "`{field}` stands for that field of the argument, `{a.b}` for a field of a field";
                self.add(path, format!("has the template `{{{name}}}`, which names no field"), help);
                return;
            }
            rest = &rest[at + end + 1..];
        }
    }
}

/// What servers accept at least.
const URL_BYTES_MAX: usize = 8_000;
