//! From the store's grants to the work that travels to a worker.

use std::collections::HashMap;

use super::service::Service;
use super::view::{Scheduled, stored};
use super::waiters::{Granted, Reservation};
use crate::api::worker::{ActivityWork, TurnWork};
use crate::api::{Json, Seq, SessionId};
use crate::machine::commit::AttemptClaim;
use crate::store::StoreError;
use crate::store::op::{AttemptGrant, Grants, Release, Released, TurnGrant};
use crate::telemetry::metrics::GrantLabels;

/// A turn as the worker gets it.
///
/// # Errors
/// [`StoreError::Damaged`].
pub fn turn(grant: TurnGrant) -> Result<TurnWork, StoreError> {
    let damaged = |error: crate::api::json::InvalidJson| StoreError::Damaged { operation: "read an event", detail: error.to_string() };
    Ok(TurnWork {
        uid: stored(&grant.record.uid)?,
        workflow: stored(&grant.record.workflow)?,
        version: stored(&grant.record.version)?,
        head: stored(&grant.record.head)?,
        seq: grant.record.seq,
        number: grant.record.turns,
        next_command: grant.record.next_command,
        at: grant.record.at.max(grant.now),
        started_at: grant.record.started_at,
        deaths: grant.record.deaths,
        events: grant.events.iter().map(|event| Json::trusted(event).map_err(damaged)).collect::<Result<_, _>>()?,
        run: grant.run,
    })
}

/// An attempt as the worker gets it. Without name and argument, the worker knows them.
fn attempt(grant: AttemptGrant, known: Option<(String, Json)>) -> ActivityWork {
    let (name, argument) = known.unzip();
    ActivityWork {
        run: grant.run,
        uid: grant.uid,
        workflow: grant.workflow,
        version: grant.version,
        command: grant.attempt.command,
        attempt: grant.attempt.attempt,
        seq: grant.attempt.seq,
        scheduled_at: grant.attempt.scheduled_at,
        started_at: grant.attempt.started_at,
        timeout_ms: grant.attempt.timeout_ms,
        name,
        argument,
    }
}

/// Names and arguments of attempts, in their order; `None` where the worker knows them. An entry that many share is read once.
fn names(grants: &[AttemptGrant]) -> Vec<Result<Option<(String, Json)>, StoreError>> {
    let mut entries: HashMap<*const u8, Result<Scheduled<'_>, StoreError>> = HashMap::new();
    let name = |grant| {
        let AttemptGrant { entry, attempt, .. }: &AttemptGrant = grant;
        if entry.is_empty() {
            return Ok(None);
        }
        let scheduled = entries.entry(entry.as_ptr()).or_insert_with(|| Scheduled::of(entry));
        scheduled.as_ref().map_err(Clone::clone)?.find(attempt.command).map(Some)
    };
    grants.iter().map(name).collect()
}

impl Service {
    /// All grants of an operation, as the worker gets them. What cannot be read is left to its time-out and to the log: it
    /// would fail for every worker.
    pub fn granted(&self, grants: Grants, by: &'static str) -> Granted {
        let mut granted = Granted::default();
        for grant in grants.turns {
            match turn(grant) {
                Ok(work) => granted.turns.push(work),
                Err(error) => tracing::error!(%error, "a leased turn cannot be handed out"),
            }
        }
        let names = names(&grants.attempts);
        for (grant, name) in grants.attempts.into_iter().zip(names) {
            match name {
                Ok(name) => granted.activities.push(attempt(grant, name)),
                Err(error) => tracing::error!(%error, "a leased attempt cannot be handed out"),
            }
        }
        let count = |kind, n: usize| {
            if n > 0 {
                self.metrics.grants.get_or_create(&GrantLabels { kind, by }).inc_by(n as u64);
            }
        };
        count("turn", granted.turns.len());
        count("attempt", granted.activities.len());
        granted
    }

    /// Hands what an operation granted to the poll whose slots it was offered; hands it back to the store when that poll is gone.
    pub async fn hand_over(&self, reservation: Option<Reservation>, grants: Grants) {
        let Some(reservation) = reservation else { return };
        let offer = reservation.offer();
        let Err(left) = reservation.fulfil(self.granted(grants, "offer")) else { return };
        if let Err(error) = self.hand_back(&offer.session, offer.seq, left).await {
            tracing::warn!(%error, session = %offer.session, "a grant that nobody waits for was not handed back; it ends with its session");
        }
    }

    /// Hands leases back to the store.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn hand_back(&self, session: &SessionId, seq: Seq, work: Granted) -> Result<(), StoreError> {
        let now = self.clock.for_store();
        for turn in work.turns {
            let what = Released::Turn {
                session: session.clone(),
                seq,
                blocked: String::new(),
                head: super::service::new_head(),
                keeps_context: false,
            };
            self.store.release(Release { run: turn.run, what, now }).await?;
        }
        for work in work.activities {
            let claim = AttemptClaim { command: work.command, attempt: work.attempt, session: session.to_string(), seq };
            self.store.release(Release { run: work.run, what: Released::Attempt(claim), now }).await?;
        }
        Ok(())
    }
}
