//! Attempts past one of their four time-outs: which one it was, and what becomes of them.

use std::fmt;

use crate::api::definition::{Activity, Timeouts};
use crate::api::worker::AttemptOutcome;
use crate::api::{RunError, TimeMs, Version};
use crate::machine::activity::AttemptPhase;
use crate::machine::record::AttemptRecord;
use crate::queue::outcome::Tried;
use crate::queue::service::Service;
use crate::queue::view::scheduled;
use crate::queue::waiters::{Free, Reservation};
use crate::store::StoreError;
use crate::store::op::{Finish, Finished, Grants, TimedOut};

/// The four.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timeout {
    /// Nobody began in time.
    ScheduleToStart,
    /// The attempt took too long.
    StartToClose,
    /// All attempts together took too long.
    ScheduleToClose,
    /// The attempt was silent for too long.
    Heartbeat,
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ScheduleToStart => "schedule-to-start",
            Self::StartToClose => "start-to-close",
            Self::ScheduleToClose => "schedule-to-close",
            Self::Heartbeat => "heartbeat",
        })
    }
}

/// Which time-out an attempt has passed.
#[must_use]
pub fn which(activity: &Activity, attempt: &AttemptRecord, now: TimeMs) -> Timeout {
    let none = Timeouts::default();
    let timeouts = activity.timeouts.as_ref().unwrap_or(&none);
    if timeouts.schedule_to_close.is_some_and(|all| now >= attempt.scheduled_at.plus(all)) {
        return Timeout::ScheduleToClose;
    }
    match attempt.phase {
        AttemptPhase::Leased if now.0 >= attempt.started_at.0.saturating_add(attempt.timeout_ms) || attempt.heartbeat_ms == 0 => {
            Timeout::StartToClose
        }
        AttemptPhase::Leased => Timeout::Heartbeat,
        AttemptPhase::Queued => Timeout::ScheduleToStart,
        AttemptPhase::BackingOff => Timeout::ScheduleToClose,
    }
}

impl Service {
    /// Records the time-out. Somebody else may do so at the same time, or the attempt end by itself: the store takes the first.
    pub(super) async fn time_out(&self, timed_out: TimedOut) -> Result<(), StoreError> {
        let claim = timed_out.claim();
        let TimedOut { run, version, attempt } = timed_out;
        let Some(page) = self.store.journal(&run, attempt.turn, 1).await? else { return Ok(()) };
        let Some(entry) = page.entries.first() else { return Ok(()) };
        let (name, _) = scheduled(entry, attempt.command)?;
        let timeout = self.which(&version, &name, &attempt).await?;
        let again = matches!(timeout, Timeout::StartToClose | Timeout::Heartbeat);
        let message = format!("activity {name} passed its {timeout} time-out in attempt {}", attempt.attempt);
        let failed = AttemptOutcome::Failed { error: RunError::new("Timeout", message), final_: !again, retry_after_ms: None };
        let tried = Tried {
            version: &version,
            name: &name,
            command: attempt.command,
            attempt: attempt.attempt,
            scheduled_at: attempt.scheduled_at,
        };
        let outcome = self.outcome(tried, failed).await?;
        let facts = self.facts.known(&run);
        let reservation =
            self.waiters.reserve(facts.as_ref().map(|facts| &facts.pool), Free { turns: 1, activities: 0 }, self.partition(&run));
        let offer = reservation.as_ref().map(Reservation::offer);
        let finish = Finish { run, attempt: claim, outcome, turn: None, now: self.clock.for_store(), offer };
        match self.store.finish(finish).await? {
            Finished::Accepted { grants, .. } => self.hand_over(reservation, grants).await,
            Finished::AttemptLost | Finished::NotFound => self.hand_over(reservation, Grants::default()).await,
        }
        Ok(())
    }

    async fn which(&self, version: &Version, name: &str, attempt: &AttemptRecord) -> Result<Timeout, StoreError> {
        let known = self.definitions.known(&*self.store, version).await?;
        let activity = known.as_ref().and_then(|known| known.declared.activities.get(name));
        Ok(which(activity.unwrap_or(&Activity::default()), attempt, self.clock.now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::DurationMs;

    #[test]
    fn each_time_out_is_told_by_its_name() {
        let attempt = |phase| AttemptRecord {
            command: 0,
            phase,
            attempt: 1,
            turn: 0,
            losses: 0,
            session: String::new(),
            seq: 0,
            scheduled_at: TimeMs(1_000),
            started_at: TimeMs(2_000),
            queue: String::new(),
            timeout_ms: 5_000,
            heartbeat_ms: 500,
            last_error: String::new(),
        };
        let timeouts = Timeouts { schedule_to_close: Some(DurationMs(60_000)), ..Timeouts::default() };
        let activity = Activity { timeouts: Some(timeouts), ..Activity::default() };
        let at = |phase, now| which(&activity, &attempt(phase), TimeMs(now));
        assert_eq!(at(AttemptPhase::Leased, 2_600), Timeout::Heartbeat);
        assert_eq!(at(AttemptPhase::Leased, 7_000), Timeout::StartToClose);
        assert_eq!(at(AttemptPhase::Queued, 7_000), Timeout::ScheduleToStart);
        assert_eq!(at(AttemptPhase::Queued, 61_000), Timeout::ScheduleToClose);
        assert_eq!(at(AttemptPhase::BackingOff, 7_000), Timeout::ScheduleToClose);
    }
}
