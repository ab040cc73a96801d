//! Refusals: every error of every route leaves as problem+json with the request's id.

use axum::Json as Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::api::ids::InvalidId;
use crate::api::json::InvalidJson;
use crate::api::{Code, Name, Problem, RunKey, RunStatus};
use crate::store::StoreError;

/// The error of all handlers.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused(pub Box<Problem>);

/// The answer of a handler.
pub type Answer<T> = Result<T, Refused>;

/// Seconds that a client should wait before it repeats what was refused for load or an outage.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem))
    }
}

impl From<InvalidId> for Refused {
    fn from(invalid: InvalidId) -> Self {
        Problem::new(Code::InvalidRequest, invalid.to_string()).next(format!("correct the {}", invalid.kind)).into()
    }
}

impl From<InvalidJson> for Refused {
    fn from(invalid: InvalidJson) -> Self {
        let detail = invalid.to_string();
        match invalid {
            InvalidJson::TooLarge { .. } => {
                Problem::new(Code::PayloadTooLarge, detail).next("store large data elsewhere and pass its address")
            }
            InvalidJson::TooDeep { .. } => Problem::new(Code::JsonTooDeep, detail).next("flatten the value"),
            InvalidJson::Syntax(_) => Problem::new(Code::InvalidJson, detail).next("send one JSON value"),
        }
        .into()
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Unavailable { .. } => {
                Problem::new(Code::StoreUnavailable, "the store does not answer, so it is unknown whether the request was carried out")
                    .next("repeat it with the same Idempotency-Key")
            }
            StoreError::Full { detail, .. } => {
                tracing::error!(%error, "the store is full");
                Problem::new(Code::StorageFull, format!("the disk of the store is full ({detail}); nothing was changed"))
                    .next("give the store more room, or shorten retention")
            }
            StoreError::Damaged { .. } | StoreError::Unfit(_) => {
                tracing::error!(%error, "the store has what this program cannot use");
                Problem::new(Code::Internal, "the service failed on what the store has; its log says more")
            }
        }
        .into()
    }
}

impl IntoResponse for Refused {
    /// The problem rides in the extensions to the border, where it gets the request's id.
    fn into_response(self) -> Response {
        let mut response = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR).into_response();
        response.extensions_mut().insert(self.0);
        response
    }
}

/// Writes the problem of a response, when it has one.
pub fn finish(mut response: Response, id: &str) -> Response {
    let Some(mut problem) = response.extensions_mut().remove::<Box<Problem>>() else { return response };
    id.clone_into(&mut problem.request);
    if problem.status >= 500 {
        tracing::warn!(request = id, code = %problem.code, detail = problem.detail, "failed");
    } else {
        tracing::debug!(request = id, code = %problem.code, detail = problem.detail, "refused");
    }
    let wait = matches!(problem.code, Code::Overloaded | Code::MailboxFull | Code::StoreUnavailable | Code::Stopping);
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    let mut response = (parts.status, Body(problem)).into_response();
    let headers = response.headers_mut();
    // `Allow` of a wrong method stands there already.
    for (name, value) in &parts.headers {
        headers.insert(name, value.clone());
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if wait {
        headers.insert(header::RETRY_AFTER, RETRY_AFTER);
    }
    response
}

/// No workflow of that name.
#[must_use]
pub fn workflow_not_found(namespace: &Name, name: &Name) -> Problem {
    Problem::new(Code::WorkflowNotFound, format!("there is no workflow {name} in namespace {namespace}"))
        .next("`everloop workflows` lists them; `everloop apply -f FILE` makes one")
}

/// No run of that id.
#[must_use]
pub fn run_not_found(run: &RunKey) -> Problem {
    Problem::new(Code::RunNotFound, format!("there is no run {} in namespace {}; or its retention is over", run.id, run.namespace))
        .next("`everloop list` shows the runs")
}

/// The run has ended.
#[must_use]
pub fn run_closed(run: &RunKey, status: RunStatus) -> Problem {
    Problem::new(Code::RunClosed, format!("run {} has ended: {status}", run.id)).next(format!("`everloop get {}` shows how", run.id))
}
