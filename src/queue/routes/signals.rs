//! Events from outside: signals and requests to cancel.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use crate::api::http::{Accepted, Reason};
use crate::api::{Code, Event, Problem, RunKey};
use crate::queue::border::body::{Body, Payload};
use crate::queue::border::extract::{IdempotencyKey, RunPath, SignalPath};
use crate::queue::border::problem::{Answer, Refused, run_closed, run_not_found};
use crate::queue::facts::RunFacts;
use crate::queue::outcome;
use crate::queue::service::{Service, Shared};
use crate::queue::unread::unread_signal;
use crate::queue::waiters::{Free, Reservation};
use crate::store::StoreError;
use crate::store::op::{Deliver, Delivered, Grants};

/// `POST /v1/namespaces/{ns}/runs/{id}/signals/{name}`: the body is the payload, any JSON value; none is `null`.
pub async fn signal(
    State(service): State<Shared>,
    RunPath { run }: RunPath,
    SignalPath { name }: SignalPath,
    key: IdempotencyKey,
    Payload(payload): Payload,
) -> Answer<(StatusCode, Json<Accepted>)> {
    service.check_signal(&run, &name).await?;
    let key = key.of(&format!("signal {name}"));
    let event = outcome::text(&Event::SignalReceived { name, payload });
    service.deliver(run, event, false, key).await
}

/// `POST /v1/namespaces/{ns}/runs/{id}/cancel`.
pub async fn cancel(
    State(service): State<Shared>,
    RunPath { run }: RunPath,
    key: IdempotencyKey,
    Body(Reason { reason }): Body<Reason>,
) -> Answer<(StatusCode, Json<Accepted>)> {
    let event = outcome::text(&Event::CancelRequested { reason });
    service.deliver(run, event, true, key.of("cancel")).await
}

impl Service {
    /// Refuses a signal that the run's code reads nowhere. What is cached may be old, so a refusal is checked against the store.
    async fn check_signal(&self, run: &RunKey, name: &str) -> Result<(), Refused> {
        if let Some(facts) = self.facts.known(run)
            && self.unread(&facts, name).await?.is_none()
        {
            return Ok(());
        }
        let facts = self.facts.read(&*self.store, run).await?.ok_or_else(|| run_not_found(run))?;
        match self.unread(&facts, name).await? {
            Some(problem) => Err(problem.into()),
            None => Ok(()),
        }
    }

    async fn unread(&self, facts: &RunFacts, name: &str) -> Result<Option<Problem>, StoreError> {
        let known = self.definitions.known(&*self.store, &facts.version).await?;
        Ok(unread_signal(known.as_ref().and_then(|known| known.signals.as_deref()), name))
    }

    async fn deliver(&self, run: RunKey, event: String, cancel: bool, key: String) -> Answer<(StatusCode, Json<Accepted>)> {
        let facts = self.facts.known(&run);
        let pool = facts.as_ref().map(|facts| &facts.pool);
        let reservation = self.waiters.reserve(pool, Free { turns: 1, activities: 0 }, self.partition(&run));
        let offer = reservation.as_ref().map(Reservation::offer);
        let deliver = Deliver { run: run.clone(), event, cancel, key, now: self.clock.for_store(), offer };
        let (grant, answer) = match self.store.deliver(deliver).await? {
            Delivered::Accepted { grant } => (grant, Ok(false)),
            Delivered::Repeat => (None, Ok(true)),
            Delivered::NotFound => (None, Err(run_not_found(&run))),
            Delivered::Closed(status) => (None, Err(run_closed(&run, status))),
            Delivered::MailboxFull => {
                let problem = Problem::new(Code::MailboxFull, format!("run {} has as many unread events as it may have", run.id));
                (None, Err(problem.next("repeat the request later, with the same Idempotency-Key")))
            }
        };
        self.hand_over(reservation, Grants { turns: grant.into_iter().collect(), attempts: Vec::new() }).await;
        Ok((StatusCode::ACCEPTED, Json(Accepted { repeat: answer? })))
    }
}
