//! HTTP activities: one request per attempt. 2xx is the value; 408, 425, 429 and 5xx may be tried again, and so may whatever
//! happens to the connection; every other answer is final.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Method, StatusCode, Url};
use serde_json::Value;

use super::outcome::{failed, failed_for_good};
use super::reply::{self, Unread};
use super::retry_after::retry_after_ms;
use super::template::{TemplateError, fill_text, fill_url};
use super::{Task, address};
use crate::api::definition::{BodyKind, Http as Declared, Kind};
use crate::api::worker::AttemptOutcome;
use crate::api::{Json, RunError};

const HTTP_ERROR: &str = "HttpError";
/// Of a refusing answer's body, in characters: what people see first.
const EXCERPT_CHARS: usize = 200;

/// Sends requests.
#[derive(Debug)]
pub(super) struct Http {
    client: reqwest::Client,
    allow_local: bool,
}

/// The client of activities and of `fetch` in scripts.
pub(super) fn client(allow_local: bool, redirects: reqwest::redirect::Policy) -> Result<reqwest::Client, reqwest::Error> {
    let builder = reqwest::Client::builder()
        .no_proxy()
        .tcp_nodelay(true)
        .connect_timeout(Duration::from_secs(10))
        .user_agent(concat!("everloop/", env!("CARGO_PKG_VERSION")))
        .redirect(redirects);
    if allow_local { builder } else { builder.dns_resolver(address::NoLocal) }.build()
}

impl Http {
    pub(super) fn new(allow_local: bool) -> Result<Self, reqwest::Error> {
        Ok(Self { client: client(allow_local, reqwest::redirect::Policy::none())?, allow_local })
    }

    /// One attempt, without its time-out.
    pub(super) async fn attempt(&self, task: &Task) -> AttemptOutcome {
        let request = match self.request(task) {
            Ok(request) => request,
            Err(outcome) => return outcome,
        };
        let what = format!("{} {}", request.method(), without_secrets(request.url()));
        match self.client.execute(request).await {
            Ok(response) => answer(&what, response).await,
            Err(error) => match address::refusal(&error) {
                Some(refused) => failed_for_good("AddressRefused", format!("{what}: {refused}")),
                None => failed(HTTP_ERROR, format!("{what} was not answered: {}", reply::chain(&error.without_url()))),
            },
        }
    }

    fn request(&self, task: &Task) -> Result<reqwest::Request, AttemptOutcome> {
        let work = &task.work;
        let name = work.name.as_deref().unwrap_or_default();
        let Some(Ok(Kind::Http(declared))) = task.definition.activities.get(name).map(crate::api::definition::Activity::kind) else {
            return Err(failed_for_good("UnknownActivity", format!("{name:?} is not an HTTP activity")));
        };
        let argument_json = work.argument.clone().unwrap_or_default();
        let argument = argument_json.to_value();
        let method_text = declared.method.as_deref().unwrap_or("POST");
        let method = Method::from_bytes(method_text.as_bytes()).map_err(|_| not_sent(format!("{method_text:?} is not a method")))?;
        let url = url(declared, &argument)?;
        if !self.allow_local {
            address::check(&url).map_err(|refused| failed_for_good("AddressRefused", format!("{method} {url}: {refused}")))?;
        }
        let mut request = reqwest::Request::new(method.clone(), url);
        let bodiless = matches!(method, Method::GET | Method::HEAD | Method::DELETE);
        let kind = declared.body.unwrap_or(if bodiless { BodyKind::None } else { BodyKind::Json });
        match kind {
            BodyKind::None => {}
            BodyKind::Json => {
                request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                *request.body_mut() = Some(argument_json.get().to_owned().into());
            }
            BodyKind::Text => {
                let Value::String(text) = &argument else {
                    return Err(template_error("body: text sends the argument as it is, so it has to be a string".to_owned()));
                };
                request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
                *request.body_mut() = Some(text.clone().into());
            }
        }
        headers(request.headers_mut(), declared, &argument)?;
        let own = [
            ("idempotency-key", format!("{}/{}", work.uid, work.command)),
            ("x-everloop-run", work.run.id.to_string()),
            ("x-everloop-attempt", work.attempt.to_string()),
        ];
        for (name, value) in own {
            if let Ok(value) = HeaderValue::from_str(&value) {
                request.headers_mut().insert(HeaderName::from_static(name), value);
            }
        }
        Ok(request)
    }
}

fn url(declared: &Declared, argument: &Value) -> Result<Url, AttemptOutcome> {
    let text = fill_url(&declared.url, argument).map_err(|e| filled("url", &e))?;
    let mut url: Url = text.parse().map_err(|e| not_sent(format!("{text:?} is not a URL: {e}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(not_sent(format!("{text:?} is neither http nor https")));
    }
    for (name, template) in &declared.query {
        let value = fill_text(template, argument).map_err(|e| filled(&format!("query {name:?}"), &e))?;
        url.query_pairs_mut().append_pair(name, &value);
    }
    Ok(url)
}

fn headers(headers: &mut HeaderMap, declared: &Declared, argument: &Value) -> Result<(), AttemptOutcome> {
    for (name, template) in &declared.headers {
        let value = fill_text(template, argument).map_err(|e| filled(&format!("header {name:?}"), &e))?;
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| not_sent(format!("{name:?} is not a header's name")))?;
        let value = HeaderValue::from_str(&value)
            .map_err(|_| not_sent(format!("the value of header {name:?} has characters that it may not have")))?;
        headers.insert(header, value);
    }
    Ok(())
}

async fn answer(what: &str, mut response: reqwest::Response) -> AttemptOutcome {
    let status = response.status();
    let headers = std::mem::take(response.headers_mut());
    let body = match reply::read(&mut response).await {
        Ok(body) => body,
        Err(Unread::TooLarge) => {
            let max = crate::api::limits::ACTIVITY_RESPONSE_BYTES_MAX;
            return failed_for_good("ResponseTooLarge", format!("{what} answered more than the {max} bytes that are allowed"));
        }
        Err(Unread::Broken(error)) => {
            return failed(HTTP_ERROR, format!("{what} answered {status}, and then: {}", reply::chain(&error.without_url())));
        }
    };
    if status.is_success() {
        return value(what, &headers, &body);
    }
    let excerpt: String = String::from_utf8_lossy(&body).chars().take(EXCERPT_CHARS).collect();
    let mut message = format!("{what} answered {status}");
    if status.is_redirection() {
        let to = headers.get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or("nowhere");
        message = format!("{message} to {to}: redirects are not followed, write the final URL into the activity");
    } else if !excerpt.is_empty() {
        message = format!("{message}: {excerpt}");
    }
    let details = Json::of(&serde_json::json!({"status": status.as_u16(), "body": excerpt}));
    AttemptOutcome::Failed {
        error: RunError { details: Some(details), ..RunError::new(HTTP_ERROR, message) },
        final_: !may_pass(status),
        retry_after_ms: retry_after_ms(&headers),
    }
}

fn may_pass(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429)
}

/// JSON when the answer says that it is, else the text as a string; nothing is `null`.
fn value(what: &str, headers: &HeaderMap, body: &[u8]) -> AttemptOutcome {
    if body.is_empty() {
        return AttemptOutcome::Completed { result: Json::null() };
    }
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let text = String::from_utf8_lossy(body);
    if kind != "application/json" && !kind.ends_with("+json") {
        return AttemptOutcome::Completed { result: Json::of(&text) };
    }
    match Json::checked(&text) {
        Ok(result) => AttemptOutcome::Completed { result },
        Err(error) => failed_for_good("InvalidResponse", format!("{what} answered {kind} that cannot be used: {error}")),
    }
}

/// Credentials in a URL stay out of messages.
fn without_secrets(url: &Url) -> String {
    let mut url = url.clone();
    if url.password().is_some() {
        // Only a URL without a host refuses it, and that has none either.
        let _ = url.set_password(Some("***"));
    }
    url.to_string()
}

fn filled(what: &str, error: &TemplateError) -> AttemptOutcome {
    template_error(format!("{what}: {error}"))
}

fn template_error(message: String) -> AttemptOutcome {
    failed_for_good("TemplateError", message)
}

fn not_sent(message: String) -> AttemptOutcome {
    failed_for_good("InvalidRequest", message)
}
