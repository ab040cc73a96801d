//! Sending: one call, repeated while it is unanswered.

use std::time::{Duration, Instant};

use rand::RngExt as _;
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::de::DeserializeOwned;

use super::ClientError;
use super::reply::{self, Reply};
use super::servers::Servers;
use crate::api::http::{STORE_HEADER, TERM_HEADER};
use crate::api::{DurationMs, Name};

/// An answer to a plain call comes in milliseconds; a service whose store hangs says so after some seconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// A listening server accepts at once, even far away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// First pause before a repeat; it doubles up to [`PAUSE_MAX`].
const PAUSE_FIRST: Duration = Duration::from_millis(50);
/// Longest pause: a restarted server is noticed within this.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Where to, and as whom.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// `http://host:port`, perhaps with a path before `/v1`; several replicas of one service with commas between.
    pub server: String,
    /// The namespace of all calls.
    pub namespace: Name,
    /// A bearer token.
    pub token: Option<String>,
    /// How long to repeat.
    pub patience: Patience,
}

/// How long calls are repeated, with back-off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// When nothing listens at the address, and nothing ever has answered this client.
    pub unreachable: Duration,
    /// When the call was sent and not answered, when the service says that it cannot answer now, or when a server that has
    /// answered before is gone.
    pub unanswered: Duration,
}

impl Default for Patience {
    /// For a person at a terminal: a wrong address is told at once, a restart of the service is sat out.
    fn default() -> Self {
        Self { unreachable: Duration::ZERO, unanswered: Duration::from_secs(20) }
    }
}

/// See the module. Cheap to clone; clones share connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    servers: Servers,
    server: String,
    namespace: Name,
    patience: Patience,
    store: Option<std::sync::Arc<str>>,
    term: Term,
    answered: std::sync::Arc<std::sync::atomic::AtomicBool>,
}

/// In which term of an operator calls are made.
#[derive(Debug, Clone)]
enum Term {
    None,
    Given(u64),
    Own(std::sync::Arc<tokio::sync::OnceCell<u64>>),
}

/// One call, so that it can be sent several times.
pub(super) struct Call {
    method: Method,
    path: String,
    key: Option<String>,
    body: Option<(&'static str, String)>,
    wait: DurationMs,
}

impl Call {
    pub(super) fn get(path: String) -> Self {
        Self { method: Method::GET, path, key: None, body: None, wait: DurationMs(0) }
    }

    /// A mutating call. `key` is equal over all repeats.
    pub(super) fn mutate(method: Method, path: String, key: String, content_type: &'static str, body: String) -> Self {
        Self { method, path, key: Some(key), body: Some((content_type, body)), wait: DurationMs(0) }
    }

    /// The service may take so long on purpose.
    pub(super) fn waiting(mut self, wait: DurationMs) -> Self {
        self.wait = wait;
        self
    }
}

impl Client {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// [`ClientError::Config`] when the address is no HTTP address or the token cannot stand in a header.
    pub fn new(config: ClientConfig) -> Result<Self, ClientError> {
        let wrong = |why: String| ClientError::Config(format!("the server address {:?} cannot be used: {why}", config.server));
        let servers = Servers::parse(&config.server).map_err(wrong)?;
        let mut headers = HeaderMap::new();
        if let Some(token) = &config.token {
            let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
                .map_err(|_| ClientError::Config("the token holds characters that cannot stand in an HTTP header".into()))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let http = reqwest::Client::builder()
            .default_headers(headers)
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("everloop/", env!("CARGO_PKG_VERSION")));
        let http = if servers.are_local() { http.no_proxy() } else { http };
        let http = http.build().map_err(|e| ClientError::Config(format!("failed to set up HTTP: {}", reply::chain(&e))))?;
        Ok(Self {
            http,
            servers,
            server: config.server,
            namespace: config.namespace,
            patience: config.patience,
            store: None,
            term: Term::None,
            answered: std::sync::Arc::default(),
        })
    }

    /// The address as it was configured.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The namespace of all calls.
    #[must_use]
    pub fn namespace(&self) -> &Name {
        &self.namespace
    }

    /// The same connections, another namespace.
    #[must_use]
    pub fn in_namespace(&self, namespace: Name) -> Self {
        Self { namespace, ..self.clone() }
    }

    /// The same connections; every call is for the store of this id, and one that meets another is refused with `StoreChanged`.
    #[must_use]
    pub fn with_store(&self, id: &str) -> Self {
        Self { store: Some(id.into()), ..self.clone() }
    }

    /// The same connections; every call is made in this term, and refused with `OldTerm` once a higher one was given.
    #[must_use]
    pub fn with_term(&self, term: u64) -> Self {
        Self { term: Term::Given(term), ..self.clone() }
    }

    /// The same connections; every call is made in a term of their own, which the first one asks for.
    #[must_use]
    pub fn leading(&self) -> Self {
        Self { term: Term::Own(std::sync::Arc::default()), ..self.clone() }
    }

    async fn term(&self) -> Result<Option<u64>, ClientError> {
        match &self.term {
            Term::None => Ok(None),
            Term::Given(term) => Ok(Some(*term)),
            Term::Own(own) => {
                let without = Self { term: Term::None, ..self.clone() };
                own.get_or_try_init(|| Box::pin(async move { without.next_term().await })).await.copied().map(Some)
            }
        }
    }

    /// Path of a route inside of the namespace.
    pub(super) fn path(&self, segments: &[&str]) -> String {
        let mut all = vec!["v1", "namespaces", self.namespace.as_str()];
        all.extend_from_slice(segments);
        super::path::path(&all)
    }

    /// Sends, repeats while unanswered, and reads the answer.
    pub(super) async fn call<T: DeserializeOwned>(&self, call: Call) -> Result<T, ClientError> {
        let text = self.send(call).await?;
        serde_json::from_str(&text).map_err(|e| self.protocol(&format!("{e} in {}", reply::cut(&text))))
    }

    /// Likewise, for answers whose body says nothing.
    pub(super) async fn call_unit(&self, call: Call) -> Result<(), ClientError> {
        self.send(call).await.map(|_| ())
    }

    pub(super) fn protocol(&self, detail: &str) -> ClientError {
        ClientError::Protocol { server: self.server.clone(), detail: detail.to_owned() }
    }

    async fn send(&self, call: Call) -> Result<String, ClientError> {
        use std::sync::atomic::Ordering::Relaxed;
        let term = self.term().await?;
        let began = Instant::now();
        let mut pause = PAUSE_FIRST;
        let mut untried = self.servers.count() - 1;
        // Once a call may have reached the service it is repeated until answered, whatever the repeats meet.
        let mut patience = if self.answered.load(Relaxed) { self.patience.unanswered } else { self.patience.unreachable };
        loop {
            let (at, server) = self.servers.current();
            let reply = self.once(server, &call, term).await;
            if matches!(reply, Reply::NotReached(_) | Reply::Unanswered(..)) {
                self.servers.failed(at);
            }
            let (error, least_pause) = match reply {
                Reply::Answer(text) => {
                    self.answered.store(true, Relaxed);
                    return Ok(text);
                }
                Reply::Refused(error) => {
                    self.answered.store(true, Relaxed);
                    return Err(error);
                }
                Reply::NotReached(_) if untried > 0 => {
                    untried -= 1;
                    continue;
                }
                Reply::NotReached(error) => (error, Duration::ZERO),
                Reply::Unanswered(error, after) => {
                    patience = self.patience.unanswered;
                    (error, after)
                }
            };
            let jittered = pause.mul_f64(rand::rng().random_range(0.5..=1.0)).max(least_pause);
            if began.elapsed() + jittered > patience {
                return Err(error);
            }
            tokio::time::sleep(jittered).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn once(&self, server: &str, call: &Call, term: Option<u64>) -> Reply {
        let url = format!("{server}{}", call.path);
        let mut request = self.http.request(call.method.clone(), url).timeout(ANSWER_TIMEOUT + call.wait.to_std());
        if let Some(key) = &call.key {
            request = request.header("Idempotency-Key", key);
        }
        if let Some(store) = &self.store {
            request = request.header(STORE_HEADER, &**store);
        }
        if let Some(term) = term {
            request = request.header(TERM_HEADER, term);
        }
        if let Some((content_type, body)) = &call.body {
            request = request.header(CONTENT_TYPE, *content_type).body(body.clone());
        }
        match request.send().await {
            Ok(response) => reply::read(server, response).await,
            Err(error) => reply::failed(server, &error),
        }
    }
}
