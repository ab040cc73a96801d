//! What `fetch` does outside of JavaScript.

use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::super::address;
use super::super::http::client;
use super::super::reply::{self, Unread};

/// As browsers have it.
const REDIRECTS_MAX: usize = 20;

/// What the script asks for.
#[derive(Debug, Deserialize)]
struct Request {
    url: String,
    method: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
}

/// What it gets beside the body.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Head<'a> {
    status: u16,
    status_text: &'a str,
    url: String,
    redirected: bool,
    headers: Vec<(&'a str, String)>,
}

/// An answer, as the realm takes it.
#[derive(Debug)]
pub(super) struct Fetched {
    /// JSON of status, headers and so on.
    pub(super) head: String,
    /// The body, as text.
    pub(super) body: String,
}

/// Sends requests, on the worker's own runtime: a script that computes holds nobody's answer up.
#[derive(Debug, Clone)]
pub(super) struct Fetcher {
    client: reqwest::Client,
    allow_local: bool,
    runtime: Handle,
}

impl Fetcher {
    pub(super) fn new(allow_local: bool) -> Result<Self, reqwest::Error> {
        let redirects = reqwest::redirect::Policy::custom(move |attempt| {
            if attempt.previous().len() > REDIRECTS_MAX {
                return attempt.error("too many redirects");
            }
            match address::check(attempt.url()) {
                Err(refused) if !allow_local => attempt.error(refused),
                _ => attempt.follow(),
            }
        });
        Ok(Self { client: client(allow_local, redirects)?, allow_local, runtime: Handle::current() })
    }

    /// Starts a request; `done` is told the answer or a message, unless it is aborted.
    pub(super) fn start(&self, request: String, done: impl FnOnce(Result<Fetched, String>) + Send + 'static) -> AbortHandle {
        let (client, allow_local) = (self.client.clone(), self.allow_local);
        self.runtime.spawn(async move { done(perform(&client, allow_local, &request).await) }).abort_handle()
    }
}

async fn perform(client: &reqwest::Client, allow_local: bool, request: &str) -> Result<Fetched, String> {
    let request: Request = serde_json::from_str(request).map_err(|e| e.to_string())?;
    let what = format!("fetch {}", request.url);
    let url: reqwest::Url = request.url.parse().map_err(|e| format!("{what}: {e}"))?;
    if !allow_local {
        address::check(&url).map_err(|refused| format!("{what}: {refused}"))?;
    }
    let method = reqwest::Method::from_bytes(request.method.as_bytes()).map_err(|e| format!("{what}: {e}"))?;
    let mut builder = client.request(method, url.clone());
    for (name, value) in &request.headers {
        builder = builder.header(name, value);
    }
    if let Some(body) = request.body {
        builder = builder.body(body);
    }
    let mut response = builder.send().await.map_err(|error| match address::refusal(&error) {
        Some(refused) => format!("{what}: {refused}"),
        None => format!("{what}: {}", reply::chain(&error.without_url())),
    })?;
    let body = reply::read(&mut response).await.map_err(|unread| match unread {
        Unread::TooLarge => format!("{what}: the answer is larger than {} bytes", crate::api::limits::ACTIVITY_RESPONSE_BYTES_MAX),
        Unread::Broken(error) => format!("{what}: {}", reply::chain(&error.without_url())),
    })?;
    let headers = response.headers().iter();
    let head = Head {
        status: response.status().as_u16(),
        status_text: response.status().canonical_reason().unwrap_or_default(),
        url: response.url().to_string(),
        redirected: *response.url() != url,
        headers: headers.map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes()).into_owned())).collect(),
    };
    let head = serde_json::to_string(&head).map_err(|e| e.to_string())?;
    Ok(Fetched { head, body: String::from_utf8_lossy(&body).into_owned() })
}
