//! The worker's calls: the session, its stream, polls, commits, definitions and journals.
//!
//! One call is one request: nothing here waits and tries again. An answer that did not come, or that cannot be read, is
//! *unknown*, never *refused*; the caller repeats it.

use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Servers;
use crate::api::definition::{Activity, Definition};
use crate::api::worker::{CommitAnswer, Item, Leases, OpenSession, Poll, Renew, Renewed, SessionOpened, Work};
use crate::api::{Code, Entry, Json, Problem, RunKey, Seq, SessionId, Version};

const READ_JOURNAL: &str = "read a journal";

/// `api::http::Journal` with entries that are not read yet.
#[derive(Debug, Deserialize)]
pub struct JournalPage {
    /// Whose journal it is.
    pub uid: String,
    /// The run's head when it was read.
    pub head: String,
    /// How many entries there are in all.
    pub turns: u32,
    /// Those of the page.
    pub entries: Vec<Json>,
}

impl JournalPage {
    /// Reads the entries: some microseconds each.
    ///
    /// # Errors
    /// [`Error::Unreadable`].
    pub fn read(&self) -> Result<Vec<Entry>, Error> {
        let unreadable = |error: serde_json::Error| Error::Unreadable { operation: READ_JOURNAL, detail: error.to_string() };
        self.entries.iter().map(|entry| serde_json::from_str(entry.get()).map_err(unreadable)).collect()
    }
}

/// A call that was not answered as asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The service refused it and says why.
    #[error("failed to {operation}: {problem}")]
    Refused {
        /// What was asked.
        operation: &'static str,
        /// Why not.
        problem: Box<Problem>,
    },
    /// No answer, or half of one: the outcome is unknown.
    #[error("failed to {operation}: {detail}")]
    Unknown {
        /// What was asked.
        operation: &'static str,
        /// What was seen.
        detail: String,
    },
    /// An answer came whose body this program cannot read: a newer service, or not our service at all.
    #[error("failed to read the answer to {operation}: {detail}")]
    Unreadable {
        /// What was asked.
        operation: &'static str,
        /// What was found.
        detail: String,
    },
}

impl Error {
    /// The session has ended.
    #[must_use]
    pub fn is_session_lost(&self) -> bool {
        self.code() == Some(Code::SessionLost)
    }

    /// The stable code of a refusal.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Refused { problem, .. } => Some(problem.code),
            Self::Unknown { .. } | Self::Unreadable { .. } => None,
        }
    }

    /// The same request would be refused again.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.code().is_some_and(|code| code.status() < 500 && !matches!(code, Code::Overloaded | Code::MailboxFull))
    }
}

/// A [`CommitRequest`](crate::api::worker::CommitRequest) with borrowed items, so that a repeat copies nothing.
#[derive(Debug, Serialize)]
pub struct CommitBody<'a> {
    /// The session.
    pub session: &'a SessionId,
    /// The number of this request.
    pub seq: Seq,
    /// The worker's name, for the journal.
    pub worker: &'a str,
    /// What to commit.
    pub items: Vec<&'a Item>,
}

/// A typed client of the worker's routes. Cheap to clone; connections are shared.
#[derive(Debug, Clone)]
pub struct WorkerClient {
    http: reqwest::Client,
    servers: Servers,
    /// Of each server the two addresses that are called all the time; read once.
    urls: Arc<[Urls]>,
}

#[derive(Debug)]
struct Urls {
    poll: reqwest::Url,
    commit: reqwest::Url,
}

/// For one request that waits for nothing: the service answers within its store's time-out.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// What a long poll may take beyond its wait.
const POLL_GRACE: Duration = Duration::from_secs(15);
/// A line of the stream is a clock and a flag.
const STREAM_LINE_BYTES_MAX: usize = 64 << 10;
/// An id in a path: everything but RFC 3986's unreserved characters is encoded, `/` too.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl WorkerClient {
    /// A client of a service.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(servers: Servers) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .tcp_nodelay(true)
            .connect_timeout(Duration::from_secs(5))
            .pool_max_idle_per_host(16)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let url = |server: &str, path: &str| http.get(format!("{server}{path}")).build().map(|request| request.url().clone());
        let urls =
            servers.iter().map(|server| Ok(Urls { poll: url(server, "/v1/worker/poll")?, commit: url(server, "/v1/worker/commit")? }));
        let urls: Vec<Urls> = urls.collect::<Result<_, reqwest::Error>>()?;
        Ok(Self { http, servers, urls: urls.into() })
    }

    /// Where the service is asked now.
    #[must_use]
    pub fn server(&self) -> &str {
        self.servers.current().1
    }

    /// Makes a request of the server that is asked now. When it does not answer, the next one is asked from then on: by those who
    /// repeat the call.
    async fn asked<T>(&self, ask: impl AsyncFnOnce(usize, &str) -> Result<T, Error>) -> Result<T, Error> {
        let (at, server) = self.servers.current();
        let answer = ask(at, server).await;
        if let Err(Error::Unknown { .. }) = &answer {
            self.servers.failed(at);
        }
        answer
    }

    /// Opens a session.
    ///
    /// # Errors
    /// See [`Error`]; so for all calls.
    pub async fn open_session(&self, body: &OpenSession) -> Result<SessionOpened, Error> {
        self.post("open a session", "/v1/worker/session", body, ANSWER_WITHIN).await
    }

    /// Renews a session. `within`: no answer by then is no answer.
    ///
    /// # Errors
    /// `SessionLost`: it has ended, for ever.
    pub async fn renew(&self, session: &SessionId, body: &Renew, within: Duration) -> Result<Renewed, Error> {
        self.post("renew the session", &format!("/v1/worker/session/{session}/renew"), body, within).await
    }

    /// Says goodbye: every lease goes back at once. A repeat is answered like the first.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn close_session(&self, session: &SessionId) -> Result<(), Error> {
        self.asked(async |_, server| {
            let request = self.http.delete(format!("{server}/v1/worker/session/{session}")).timeout(ANSWER_WITHIN);
            body("close the session", request).await.map(|_| ())
        })
        .await
    }

    /// Opens the session's stream.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn stream(&self, session: &SessionId) -> Result<SessionStream, Error> {
        let operation = "open the session's stream";
        self.asked(async |_, server| {
            let request = self.http.get(format!("{server}/v1/worker/session/{session}/stream"));
            let response = match tokio::time::timeout(ANSWER_WITHIN, request.send()).await {
                Ok(response) => response.map_err(|e| unknown(operation, &e))?,
                Err(_) => return Err(Error::Unknown { operation, detail: "no answer in time".to_owned() }),
            };
            if response.status().is_success() {
                return Ok(SessionStream { response, buffer: Vec::new() });
            }
            Err(refused(operation, response).await)
        })
        .await
    }

    /// What the store has leased to the session.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn leases(&self, session: &SessionId) -> Result<Leases, Error> {
        self.get("list the leases of the session", &format!("/v1/worker/session/{session}/leases")).await
    }

    /// Waits for work.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn poll(&self, body: &Poll) -> Result<Work, Error> {
        let within = Duration::from_millis(body.wait_ms) + POLL_GRACE;
        self.asked(async |at, _| self.post_to("poll", self.urls[at].poll.clone(), body, within).await).await
    }

    /// Commits.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn commit(&self, body: &CommitBody<'_>) -> Result<CommitAnswer, Error> {
        self.asked(async |at, _| self.post_to("commit", self.urls[at].commit.clone(), body, ANSWER_WITHIN).await).await
    }

    /// A version's definition.
    ///
    /// # Errors
    /// `VersionNotFound`, and see [`Error`].
    pub async fn definition(&self, version: &Version) -> Result<Definition, Error> {
        /// The canonical form has its number beside the definition.
        #[derive(Deserialize)]
        struct Stored {
            source: String,
            #[serde(default)]
            activities: std::collections::BTreeMap<String, Activity>,
        }
        let stored: Stored = self.get("read a definition", &format!("/v1/versions/{version}")).await?;
        Ok(Definition { source: stored.source, activities: stored.activities })
    }

    /// A page of a run's journal, from entry `from` on.
    ///
    /// # Errors
    /// `RunNotFound`, and see [`Error`].
    pub async fn journal(&self, run: &RunKey, from: u32) -> Result<JournalPage, Error> {
        let id = utf8_percent_encode(run.id.as_str(), SEGMENT);
        self.get(READ_JOURNAL, &format!("/v1/namespaces/{}/runs/{id}/journal?from={from}", run.namespace)).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        path: &str,
        body_value: &impl Serialize,
        within: Duration,
    ) -> Result<T, Error> {
        self.asked(async |_, server| self.post_to(operation, format!("{server}{path}"), body_value, within).await).await
    }

    async fn post_to<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        url: impl reqwest::IntoUrl,
        body_value: &impl Serialize,
        within: Duration,
    ) -> Result<T, Error> {
        let text = serde_json::to_vec(body_value).map_err(|e| Error::Unreadable { operation, detail: e.to_string() })?;
        let request = self.http.post(url).header(reqwest::header::CONTENT_TYPE, "application/json").body(text).timeout(within);
        read(operation, &body(operation, request).await?)
    }

    async fn get<T: DeserializeOwned>(&self, operation: &'static str, path: &str) -> Result<T, Error> {
        self.asked(async |_, server| {
            let request = self.http.get(format!("{server}{path}")).timeout(ANSWER_WITHIN);
            read(operation, &body(operation, request).await?)
        })
        .await
    }
}

/// The lines of a session's stream.
#[derive(Debug)]
pub struct SessionStream {
    response: reqwest::Response,
    buffer: Vec<u8>,
}

impl SessionStream {
    /// The next line; `None` at the end. Cancel safe: what was read stays for the next call.
    ///
    /// # Errors
    /// When the connection breaks or a line is not readable.
    pub async fn next(&mut self) -> Result<Option<Renewed>, Error> {
        let operation = "read the session's stream";
        loop {
            if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                return read(operation, &line).map(Some);
            }
            if self.buffer.len() > STREAM_LINE_BYTES_MAX {
                return Err(Error::Unreadable { operation, detail: "a line without an end".to_owned() });
            }
            match self.response.chunk().await.map_err(|e| unknown(operation, &e))? {
                Some(chunk) => self.buffer.extend_from_slice(&chunk),
                None => return Ok(None),
            }
        }
    }
}

async fn body(operation: &'static str, request: reqwest::RequestBuilder) -> Result<Vec<u8>, Error> {
    let response = request.send().await.map_err(|e| unknown(operation, &e))?;
    if !response.status().is_success() {
        return Err(refused(operation, response).await);
    }
    response.bytes().await.map(|b| b.to_vec()).map_err(|e| unknown(operation, &e))
}

fn read<T: DeserializeOwned>(operation: &'static str, body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|e| Error::Unreadable { operation, detail: e.to_string() })
}

/// A refusal is one only with our problem document; a bare 502 of something in between leaves the outcome unknown.
async fn refused(operation: &'static str, response: reqwest::Response) -> Error {
    let status = response.status();
    match response.bytes().await {
        Ok(bytes) => {
            if let Ok(problem) = serde_json::from_slice::<Problem>(&bytes) {
                Error::Refused { operation, problem: Box::new(problem) }
            } else {
                let text: String = String::from_utf8_lossy(&bytes).chars().take(200).collect();
                Error::Unknown { operation, detail: format!("answered {status}: {text}") }
            }
        }
        Err(e) => unknown(operation, &e),
    }
}

fn unknown(operation: &'static str, error: &reqwest::Error) -> Error {
    let mut detail = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        detail = format!("{detail}: {inner}");
        source = inner.source();
    }
    Error::Unknown { operation, detail }
}
