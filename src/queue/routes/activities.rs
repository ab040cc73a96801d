//! Settling tasks by their token.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use crate::api::http::{Extended, FailTask};
use crate::api::worker::AttemptOutcome;
use crate::api::{Code, Problem, RunError};
use crate::queue::border::body::{Body, Payload};
use crate::queue::border::extract::TokenPath;
use crate::queue::border::problem::Answer;
use crate::queue::service::{Service, Shared};
use crate::queue::token::Token;
use crate::queue::waiters::{Free, Reservation};
use crate::store::op::{Finish, Finished, Grants};

/// `POST /v1/activities/{token}/complete`: the body is the result, any JSON value; none is `null`.
pub async fn complete(State(service): State<Shared>, TokenPath { token }: TokenPath, Payload(result): Payload) -> Answer<StatusCode> {
    service.settle(&Token::decode(&token)?, "complete", AttemptOutcome::Completed { result }).await
}

/// `POST /v1/activities/{token}/fail`.
pub async fn fail(State(service): State<Shared>, TokenPath { token }: TokenPath, Body(fail): Body<FailTask>) -> Answer<StatusCode> {
    if let Some(details) = &fail.details {
        details.check()?;
    }
    let error = RunError { details: fail.details, ..RunError::new(fail.kind, fail.message) };
    let outcome = AttemptOutcome::Failed { error, final_: !fail.retryable, retry_after_ms: None };
    service.settle(&Token::decode(&token)?, "fail", outcome).await
}

/// `POST /v1/activities/{token}/heartbeat`: the lease ends a heartbeat time-out from now, at most with start-to-close. Without a
/// heartbeat time-out it says nothing but that the task is still wanted.
pub async fn heartbeat(State(service): State<Shared>, TokenPath { token }: TokenPath) -> Answer<Json<Extended>> {
    let token = Token::decode(&token)?;
    match service.store.extend(&token.run, &token.claim(), service.clock.for_store()).await? {
        Some(deadline) => Ok(Json(Extended { deadline })),
        None => Err(lost().into()),
    }
}

fn lost() -> Problem {
    Problem::new(Code::AttemptLost, "the task was settled before, timed out, or its run has ended")
        .next("drop the work; if it is still wanted the queue's poll gives it out anew")
}

impl Service {
    /// The token names what is settled, so a repeat is known without any other key.
    async fn settle(&self, token: &Token, how: &str, outcome: AttemptOutcome) -> Answer<StatusCode> {
        let key = format!("{how} {}/{}/{}", token.command, token.attempt, token.seq);
        let outcome = self.outcome(token.tried(), outcome).await?;
        let facts = self.facts.known(&token.run);
        let pool = facts.as_ref().map(|facts| &facts.pool);
        let reservation = self.waiters.reserve(pool, Free { turns: 1, activities: 0 }, self.partition(&token.run));
        let offer = reservation.as_ref().map(Reservation::offer);
        let now = self.clock.for_store();
        let finish = Finish { run: token.run.clone(), attempt: token.claim(), outcome, turn: None, key, now, offer };
        let (grants, settled) = match self.store.finish(finish).await? {
            Finished::Accepted { grants, .. } => (grants, Ok(StatusCode::NO_CONTENT)),
            Finished::AttemptLost | Finished::NotFound => (Grants::default(), Err(lost().into())),
        };
        self.hand_over(reservation, grants).await;
        settled
    }
}
