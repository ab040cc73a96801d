//! What stands in the path, the query and the headers, checked where it enters.

use std::str::FromStr;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::body::nearest_field;
use super::problem::Refused;
use crate::api::ids::InvalidId;
use crate::api::{Code, DurationMs, Name, Problem, RunId, RunKey, SessionId, Version, limits};

async fn path<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<Vec<(String, String)>, Refused> {
    let bad = |error: axum::extract::rejection::PathRejection| Problem::new(Code::InvalidRequest, error.body_text());
    Path::<Vec<(String, String)>>::from_request_parts(parts, state).await.map(|path| path.0).map_err(|error| bad(error).into())
}

fn part<T: FromStr<Err = InvalidId>>(path: &[(String, String)], name: &str) -> Result<T, Refused> {
    Ok(text(path, name)?.parse()?)
}

fn text<'a>(path: &'a [(String, String)], name: &str) -> Result<&'a str, Refused> {
    let found = path.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    found.ok_or_else(|| Problem::new(Code::Internal, format!("the route has no {name}")).into())
}

macro_rules! from_path {
    ($($(#[$doc:meta])* $name:ident($($field:ident: $type:ty = $read:expr),+);)*) => {
        $($(#[$doc])*
        pub struct $name { $(#[doc = concat!("The path's ", stringify!($field), ".")] pub $field: $type),+ }

        impl<S: Send + Sync> FromRequestParts<S> for $name {
            type Rejection = Refused;

            async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
                let path = path(parts, state).await?;
                Ok(Self { $($field: ($read)(&path)?),+ })
            }
        })*
    };
}

from_path! {
    /// `/v1/namespaces/{ns}/...`.
    Namespace(name: Name = |path: &[_]| part(path, "ns"));
    /// `.../workflows/{name}`.
    WorkflowPath(namespace: Name = |path: &[_]| part(path, "ns"), name: Name = |path: &[_]| part(path, "name"));
    /// `.../runs/{id}`; a `/` in the id comes as `%2F`.
    RunPath(run: RunKey = |path: &[_]| Ok::<_, Refused>(RunKey { namespace: part(path, "ns")?, id: part::<RunId>(path, "id")? }));
    /// `.../signals/{name}`.
    SignalPath(name: String = |path: &[_]| signal_name(text(path, "name")?));
    /// `.../queues/{queue}`.
    QueuePath(namespace: Name = |path: &[_]| part(path, "ns"), queue: Name = |path: &[_]| part(path, "queue"));
    /// `/v1/pools/{pool}`.
    PoolPath(pool: Name = |path: &[_]| part(path, "pool"));
    /// `/v1/versions/{version}`.
    VersionPath(version: Version = |path: &[_]| part(path, "version"));
    /// `/v1/worker/session/{id}`.
    SessionPath(session: SessionId = |path: &[_]| part(path, "id"));
    /// `/v1/activities/{token}/...`.
    TokenPath(token: String = |path: &[_]| text(path, "token").map(str::to_owned));
}

fn signal_name(name: &str) -> Result<String, Refused> {
    if name.is_empty() || name.len() > limits::SIGNAL_NAME_BYTES_MAX || name.chars().any(char::is_control) {
        let detail = format!("a signal's name has 1 to {} bytes and no control characters", limits::SIGNAL_NAME_BYTES_MAX);
        return Err(Problem::new(Code::InvalidRequest, detail).next("shorten the name, and put data into the payload").into());
    }
    Ok(name.to_owned())
}

/// The query, with known parameters only.
pub struct Params<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        let read = Query::<T>::try_from_uri(&parts.uri);
        read.map(|query| Self(query.0)).map_err(|error: QueryRejection| {
            let text = error.body_text();
            let detail = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
            let problem = Problem::new(Code::InvalidRequest, format!("the query is not what this route takes: {detail}"));
            problem.next(nearest_field(detail).unwrap_or_else(|| "see /openapi.json for the parameters".to_owned())).into()
        })
    }
}

/// How long a request waits: what was asked, at most [`limits::LONG_POLL_MAX`].
#[must_use]
pub fn wait(asked: Option<DurationMs>) -> Duration {
    asked.unwrap_or_default().min(limits::LONG_POLL_MAX).to_std()
}

/// The `Idempotency-Key`, when there is one.
pub struct IdempotencyKey(pub Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        let Some(value) = parts.headers.get("idempotency-key") else { return Ok(Self(None)) };
        let max = limits::IDEMPOTENCY_KEY_BYTES_MAX;
        let key = value.to_str().ok().filter(|key| !key.is_empty() && key.len() <= max && key.bytes().all(|b| b.is_ascii_graphic()));
        let bad = || {
            let detail = format!("an Idempotency-Key has 1 to {max} printable ASCII characters without blanks");
            Problem::new(Code::InvalidRequest, detail).next("send a UUID")
        };
        key.map(|key| Self(Some(key.to_owned()))).ok_or_else(|| bad().into())
    }
}

impl IdempotencyKey {
    /// The key for one operation: the same key of another one is another. Empty for none.
    #[must_use]
    pub fn of(self, operation: &str) -> String {
        self.0.map_or_else(String::new, |key| format!("{operation} {key}"))
    }
}
