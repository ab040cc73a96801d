//! The worker's session and its poll.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::body::{Body as Streamed, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;

use crate::api::worker::{ActivityLease, Leases, OpenSession, Poll, Renew, Renewed, SessionOpened, TurnLease, Work};
use crate::api::{Code, Problem, SessionId, limits};
use crate::machine::commit::AttemptClaim;
use crate::queue::border::body::Body;
use crate::queue::border::extract::{IdempotencyKey, SessionPath};
use crate::queue::border::problem::{Answer, Refused};
use crate::queue::service::Shared;
use crate::queue::sessions::{self, GOODBYE, Stream, lost};

/// A line of the stream at least so often, so that both ends see a dead connection.
const LINE_EVERY: Duration = Duration::from_secs(2);
/// Runs that a worker may say it executes: one per event loop, and it has few.
const EXECUTING_MAX: usize = 1_024;

/// `POST /v1/worker/session`.
pub async fn open(
    State(service): State<Shared>,
    IdempotencyKey(key): IdempotencyKey,
    Body(open): Body<OpenSession>,
) -> Answer<(StatusCode, Json<SessionOpened>)> {
    let session = sessions::new_id(&open.worker, &open.pool, key.as_deref())?;
    service.open_session(&session, &open.pool).await?;
    tracing::info!(%session, pool = %open.pool, "session opened");
    let ttl_ms = u64::try_from(service.config.session_ttl.as_millis()).unwrap_or(u64::MAX);
    Ok((StatusCode::CREATED, Json(SessionOpened { session, ttl_ms, now: service.clock.now() })))
}

/// `POST /v1/worker/session/{id}/renew`.
pub async fn renew(State(service): State<Shared>, SessionPath { session }: SessionPath, Body(renew): Body<Renew>) -> Answer<Json<Renewed>> {
    sessions::pool_of(&session)?;
    if renew.executing.len() > EXECUTING_MAX {
        return Err(Problem::new(Code::InvalidRequest, format!("more than {EXECUTING_MAX} runs in execution")).into());
    }
    if service.renew_session(&session, Some(renew.executing)).await? {
        Ok(Json(Renewed { now: service.clock.now(), moved: service.shutdown.is_cancelled(), draining: false }))
    } else {
        Err(lost(&session).into())
    }
}

/// `DELETE /v1/worker/session/{id}`: goodbye. A repeat is fine.
pub async fn goodbye(State(service): State<Shared>, SessionPath { session }: SessionPath) -> Answer<StatusCode> {
    sessions::pool_of(&session)?;
    service.end_session(&session, GOODBYE).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /v1/worker/session/{id}/leases`: what the store has leased to the session; nothing when it has ended.
pub async fn leases(State(service): State<Shared>, SessionPath { session }: SessionPath) -> Answer<Json<Leases>> {
    sessions::pool_of(&session)?;
    let mut leases = Leases::default();
    for partition in service.partitions() {
        let held = service.store.leases(partition, &session).await?;
        leases.turns.extend(held.turns.into_iter().map(|(run, seq)| TurnLease { run, seq }));
        let lease = |(run, claim): (_, AttemptClaim)| ActivityLease { run, command: claim.command, attempt: claim.attempt, seq: claim.seq };
        leases.activities.extend(held.attempts.into_iter().map(lease));
    }
    leases.now = service.clock.now();
    Ok(Json(leases))
}

/// `GET /v1/worker/session/{id}/stream`: lines of [`Renewed`], until the worker leaves or this replica stops.
pub async fn stream(State(service): State<Shared>, SessionPath { session }: SessionPath) -> Answer<Response> {
    sessions::pool_of(&session)?;
    if !service.renew_session(&session, None).await? {
        return Err(lost(&session).into());
    }
    // The first line must not contradict what another replica has said.
    service.look_for_marks().await?;
    let attached = Stream::attach(&service, &session);
    let lines = stream::unfold(Lines { service, session, attached, said: None, moved: false }, Lines::next);
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Streamed::from_stream(lines)).into_response())
}

struct Lines {
    service: Shared,
    session: SessionId,
    /// Dropped with the connection.
    attached: Stream,
    /// Whether the last line said that it is to be drained; absent before the first.
    said: Option<bool>,
    moved: bool,
}

impl Lines {
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        if self.moved {
            return None;
        }
        if let Some(said) = self.said {
            tokio::select! {
                () = tokio::time::sleep(LINE_EVERY) => {}
                () = self.is_otherwise(said) => {}
                () = self.service.shutdown.cancelled() => {}
            }
        }
        let draining = self.service.is_draining(&self.session);
        self.said = Some(draining);
        self.moved = self.service.shutdown.is_cancelled();
        if self.moved {
            self.attached.moved();
        }
        let line = crate::api::Json::of(&Renewed { now: self.service.clock.now(), moved: self.moved, draining });
        Some((Ok(Bytes::from(format!("{}\n", line.get()))), self))
    }

    /// Waits until the worker is to do another thing than it was told.
    async fn is_otherwise(&self, said: bool) {
        loop {
            let mut changed = std::pin::pin!(self.service.draining.changed().notified());
            changed.as_mut().enable();
            if self.service.is_draining(&self.session) != said {
                return;
            }
            changed.await;
        }
    }
}

/// `POST /v1/worker/poll`.
pub async fn poll(State(service): State<Shared>, Body(poll): Body<Poll>) -> Answer<Json<Work>> {
    if poll.turns > limits::SLOTS_MAX || poll.activities > limits::SLOTS_MAX {
        let detail = format!("a worker offers at most {} slots of each kind", limits::SLOTS_MAX);
        return Err(Refused::from(Problem::new(Code::InvalidRequest, detail).next("offer fewer, and run more workers")));
    }
    let granted = service.poll(&poll).await?;
    Ok(Json(Work { now: service.clock.now(), turns: granted.turns, activities: granted.activities }))
}
