//! Errors that cross a border: a stable code, what happened, why, and what to do next. RFC 9457 problem+json on the wire.

use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $status:literal,)*) => {
        /// The stable names of everything that can be refused. Documented in `docs/errors.md`; never renamed, never reused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// All of them.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// The HTTP status that carries it.
            #[must_use]
            pub fn status(self) -> u16 {
                match self { $(Code::$name => $status,)* }
            }

            /// Its name on the wire.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => stringify!($name),)* }
            }
        }
    };
}

codes! {
    /// A request that is not what the route takes.
    InvalidRequest = 400,
    /// A document that is not JSON.
    InvalidJson = 400,
    /// JSON deeper than the bound.
    JsonTooDeep = 400,
    /// A text that is not YAML.
    InvalidYaml = 400,
    /// A field that the resource does not have.
    UnknownField = 400,
    /// A resource that breaks a rule of its kind.
    InvalidResource = 400,
    /// The source does not parse.
    SyntaxError = 400,
    /// The source has no default export.
    NoDefaultExport = 400,
    /// A name that is neither declared nor a global.
    UnknownName = 400,
    /// A global that would break determinism.
    ForbiddenGlobal = 400,
    /// An import that does not exist.
    UnknownImport = 400,
    /// A signal that no code of the run's version reads.
    UnknownSignal = 400,
    /// Another content type than the route takes.
    UnsupportedContentType = 415,
    /// A payload over its bound.
    PayloadTooLarge = 413,
    /// No such route.
    NotFound = 404,
    /// No workflow of that name.
    WorkflowNotFound = 404,
    /// No run of that id.
    RunNotFound = 404,
    /// No such version.
    VersionNotFound = 404,
    /// A method that the route does not have.
    MethodNotAllowed = 405,
    /// The body did not come in time.
    RequestTimeout = 408,
    /// The run id is taken by a run with another workflow or input.
    RunIdTaken = 409,
    /// The run has ended.
    RunClosed = 409,
    /// The idempotency key was used for another request.
    IdempotencyKeyReused = 409,
    /// The run has not ended.
    RunOpen = 409,
    /// The run is not in a state that allows it.
    NotApplicable = 409,
    /// Somebody else holds the workflow.
    WorkflowHeld = 409,
    /// The workflow takes no new runs.
    WorkflowRetired = 409,
    /// The request is for another store than the service has.
    StoreChanged = 409,
    /// The request is of an operator that does not lead any more.
    OldTerm = 409,
    /// The attempt was given to somebody else, or has ended.
    AttemptLost = 409,
    /// The feed of changes does not reach back so far.
    ChangesTooOld = 410,
    /// The session has ended; open a new one.
    SessionLost = 410,
    /// Too many unread events.
    MailboxFull = 429,
    /// Too many requests at once.
    Overloaded = 429,
    /// Bug.
    Internal = 500,
    /// The store does not answer: the outcome is unknown; repeat with the same key.
    StoreUnavailable = 503,
    /// The service is stopping.
    Stopping = 503,
    /// The disk of the store is full.
    StorageFull = 507,
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A refused request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Problem {
    /// `urn:everloop:error:<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The code again, for people.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened and why.
    pub detail: String,
    /// See [`Code`].
    pub code: Code,
    /// What to do or to type next; empty when there is nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub next: String,
    /// Where in a source or document, when it is about one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// Names the request in the service's log.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub request: String,
}

impl Problem {
    /// A problem with a code and what happened.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:everloop:error:{code}"),
            title: code.as_str().to_owned(),
            status: code.status(),
            detail: detail.into(),
            code,
            next: String::new(),
            findings: Vec::new(),
            request: String::new(),
        }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = next.into();
        self
    }

    /// Adds where.
    #[must_use]
    pub fn with_findings(mut self, findings: Vec<Finding>) -> Self {
        self.findings = findings;
        self
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl std::error::Error for Problem {}

/// One thing that is wrong in a source or a document, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Finding {
    /// See [`Code`].
    pub code: Code,
    /// What is wrong.
    pub message: String,
    /// What to do instead; empty when the message says it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub help: String,
    /// The file, the module or the field (`spec.source.inline`).
    pub place: String,
    /// From 1; 0 when there is none.
    pub line: u32,
    /// From 1, in characters; 0 when there is none.
    pub column: u32,
    /// Characters that are meant, at least 1.
    pub length: u32,
}
