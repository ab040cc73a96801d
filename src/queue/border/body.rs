//! Bodies: bounded, in time, JSON, and known fields only.

use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use serde::de::DeserializeOwned;

use super::problem::Refused;
use crate::api::{Code, Json, Problem, limits};
use crate::queue::service::Service;

/// Everything but commits is at most a definition or a payload with its frame.
const PLAIN_BYTES_MAX: usize = limits::COMMIT_BYTES_MAX;
/// A payload, with room for the white space around it.
const PAYLOAD_BYTES_MAX: usize = limits::PAYLOAD_BYTES_MAX + (64 << 10);

/// A body as JSON. An empty one is `{}`: fine where all fields have defaults.
pub struct Body<T>(pub T);

/// A body as JSON, of the size of a commit.
pub struct LargeBody<T>(pub T);

/// A body that is a payload: any JSON value, kept to the letter; an empty one is `null`.
pub struct Payload(pub Json);

impl<T: DeserializeOwned> FromRequest<Arc<Service>> for Body<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, service: &Arc<Service>) -> Result<Self, Refused> {
        read(request, service, PLAIN_BYTES_MAX).await.map(Self)
    }
}

impl<T: DeserializeOwned> FromRequest<Arc<Service>> for LargeBody<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, service: &Arc<Service>) -> Result<Self, Refused> {
        read(request, service, limits::REQUEST_BYTES_MAX).await.map(Self)
    }
}

impl FromRequest<Arc<Service>> for Payload {
    type Rejection = Refused;

    async fn from_request(request: Request, service: &Arc<Service>) -> Result<Self, Refused> {
        let bytes = bytes(request, service, PAYLOAD_BYTES_MAX).await?;
        let text = std::str::from_utf8(&bytes).map_err(|_| Problem::new(Code::InvalidJson, "the body is not UTF-8"))?;
        if text.is_empty() { Ok(Self(Json::null())) } else { Ok(Self(Json::checked(text.trim())?)) }
    }
}

async fn read<T: DeserializeOwned>(request: Request, service: &Service, max: usize) -> Result<T, Refused> {
    let bytes = bytes(request, service, max).await?;
    let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
    serde_json::from_slice(text).map_err(|error| unreadable(&error).into())
}

async fn bytes(request: Request, service: &Service, max: usize) -> Result<axum::body::Bytes, Refused> {
    let json = is_json(request.headers());
    let read = tokio::time::timeout(service.config.body_timeout, axum::body::to_bytes(request.into_body(), max)).await;
    let bytes = match read {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) if is_too_large(&error) => {
            return Err(Problem::new(Code::PayloadTooLarge, format!("the body has more than the {max} bytes that this route takes"))
                .next("send less at once; store large data elsewhere and pass its address")
                .into());
        }
        Ok(Err(error)) => return Err(Problem::new(Code::InvalidRequest, format!("the body broke off: {error}")).into()),
        Err(_) => {
            let seconds = service.config.body_timeout.as_secs_f64();
            let problem = Problem::new(Code::RequestTimeout, format!("the body did not come within {seconds} s; nothing was changed"));
            return Err(problem.next("send it again, with the same Idempotency-Key").into());
        }
    };
    if !bytes.is_empty() && !json {
        let problem = Problem::new(Code::UnsupportedContentType, "the body is not said to be JSON");
        return Err(problem.next("send it with the header Content-Type: application/json").into());
    }
    Ok(bytes)
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

fn is_too_large(error: &axum::Error) -> bool {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if error.to_string().contains("length limit exceeded") {
            return true;
        }
        source = error.source();
    }
    false
}

/// What is wrong with a document, and the field that was probably meant.
#[must_use]
pub fn unreadable(error: &serde_json::Error) -> Problem {
    let detail = error.to_string();
    if !error.is_data() {
        return Problem::new(Code::InvalidJson, format!("the body is not JSON: {detail}")).next("send one JSON object");
    }
    let next = nearest_field(&detail).unwrap_or_else(|| "see /openapi.json for the fields of this route".to_owned());
    Problem::new(Code::InvalidRequest, format!("the body is not what this route takes: {detail}")).next(next)
}

/// From "unknown field `inptu`, expected one of `id`, `input`" to the nearest right one.
#[must_use]
pub fn nearest_field(message: &str) -> Option<String> {
    let named = message.strip_prefix("unknown field ")?;
    let mut names = named.split('`').skip(1).step_by(2);
    let unknown = names.next()?;
    let known: Vec<&str> = names.collect();
    let score = |name: &&&str| (strsim::jaro_winkler(name, unknown) * 1_000.0).round();
    match known.iter().max_by(|a, b| score(a).total_cmp(&score(b))) {
        Some(near) if score(&near) > 750.0 => Some(format!("did you mean `{near}`?")),
        Some(_) => Some(format!("the fields are {}", known.join(", "))),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_field_is_named() {
        let near = |message| nearest_field(message).unwrap();
        assert_eq!(near("unknown field `inptu`, expected one of `workflow`, `id`, `input` at line 1 column 9"), "did you mean `input`?");
        assert_eq!(near("unknown field `zzz`, expected `reason`"), "the fields are reason");
        assert_eq!(nearest_field("missing field `workflow`"), None);
    }
}
