//! Settling tasks by their token: one, or many in a request.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use futures_util::future::join_all;

use crate::api::http::{Extended, FailTask, SettleTask, SettleTasks, SettledTask, SettledTasks};
use crate::api::worker::AttemptOutcome;
use crate::api::{Code, Json as Value, Problem, RunError, limits};
use crate::queue::border::body::{Body, LargeBody, Payload};
use crate::queue::border::extract::TokenPath;
use crate::queue::border::problem::Answer;
use crate::queue::service::{Service, Shared};
use crate::queue::token::Token;
use crate::store::op::Settlement;

/// `POST /v1/activities/{token}/complete`: the body is the result, any JSON value; none is `null`.
pub async fn complete(State(service): State<Shared>, TokenPath { token }: TokenPath, Payload(result): Payload) -> Answer<StatusCode> {
    service.complete(&token, result).await.map(|()| StatusCode::NO_CONTENT)
}

/// `POST /v1/activities/{token}/fail`.
pub async fn fail(State(service): State<Shared>, TokenPath { token }: TokenPath, Body(fail): Body<FailTask>) -> Answer<StatusCode> {
    service.fail(&token, fail).await.map(|()| StatusCode::NO_CONTENT)
}

/// `POST /v1/activities/settle`: each task as `/complete` or `/fail` would, and an answer for each. Those of one run go together.
pub async fn settle(State(service): State<Shared>, LargeBody(SettleTasks { tasks }): LargeBody<SettleTasks>) -> Answer<Json<SettledTasks>> {
    if !(1..=limits::TASKS_SETTLED_MAX).contains(&tasks.len()) {
        let detail = format!("{} tasks in one request; 1 to {} are allowed", tasks.len(), limits::TASKS_SETTLED_MAX);
        return Err(Problem::new(Code::InvalidRequest, detail).next("send the rest in another request").into());
    }
    let settled = join_all(tasks.into_iter().map(|task| service.settle_one(task))).await;
    let tasks = settled.into_iter().map(|answer| SettledTask { settled: answer.is_ok(), problem: answer.err().map(|refused| refused.0) });
    Ok(Json(SettledTasks { tasks: tasks.collect() }))
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
    async fn settle_one(self: &Shared, SettleTask { token, result, error }: SettleTask) -> Answer<()> {
        match (result, error) {
            (Some(_), Some(_)) => {
                let detail = "a task has a result or an error, not both";
                Err(Problem::new(Code::InvalidRequest, detail).next("leave out the one or the other").into())
            }
            (None, Some(error)) => self.fail(&token, error).await,
            (result, None) => self.complete(&token, result.unwrap_or_else(Value::null)).await,
        }
    }

    async fn complete(self: &Shared, token: &str, result: Value) -> Answer<()> {
        self.settled(&Token::decode(token)?, "complete", AttemptOutcome::Completed { result }).await
    }

    async fn fail(self: &Shared, token: &str, fail: FailTask) -> Answer<()> {
        if let Some(details) = &fail.details {
            details.check()?;
        }
        let error = RunError { details: fail.details, ..RunError::new(fail.kind, fail.message) };
        let outcome = AttemptOutcome::Failed { error, final_: !fail.retryable, retry_after_ms: None };
        self.settled(&Token::decode(token)?, "fail", outcome).await
    }

    /// The token names what is settled, so a repeat is known without any other key.
    async fn settled(self: &Shared, token: &Token, how: &str, outcome: AttemptOutcome) -> Answer<()> {
        let key = format!("{how} {}/{}/{}", token.command, token.attempt, token.seq);
        let outcome = self.outcome(token.tried(), outcome).await?;
        let counts = self.settle(&token.run, Settlement { attempt: token.claim(), outcome, key }).await?;
        if counts { Ok(()) } else { Err(lost().into()) }
    }
}
