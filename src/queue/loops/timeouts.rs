//! Attempts past one of their four time-outs: which one it was, and what becomes of them.

use std::fmt;

use crate::api::worker::AttemptOutcome;
use crate::api::{RunError, TimeMs};
use crate::machine::activity::AttemptPhase;
use crate::machine::record::AttemptRecord;
use crate::queue::outcome::Tried;
use crate::queue::service::Service;
use crate::queue::view::Scheduled;
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
pub fn which(attempt: &AttemptRecord, now: TimeMs) -> Timeout {
    let passed = |at: TimeMs| at > TimeMs(0) && now >= at;
    if passed(attempt.close_by) {
        return Timeout::ScheduleToClose;
    }
    match attempt.phase {
        AttemptPhase::Leased if now.0 >= attempt.started_at.0.saturating_add(attempt.timeout_ms) || attempt.heartbeat_ms == 0 => {
            Timeout::StartToClose
        }
        AttemptPhase::Leased => Timeout::Heartbeat,
        AttemptPhase::Queued | AttemptPhase::BackingOff => Timeout::ScheduleToStart,
    }
}

impl Service {
    /// Records the time-out. Somebody else may do so at the same time, or the attempt end by itself: the store takes the first.
    pub(super) async fn time_out(&self, timed_out: TimedOut) -> Result<(), StoreError> {
        let claim = timed_out.claim();
        let TimedOut { run, version, attempt } = timed_out;
        let Some(page) = self.store.journal(&run, attempt.turn, 1).await? else { return Ok(()) };
        let Some(entry) = page.entries.first() else { return Ok(()) };
        let (name, _) = Scheduled::of(entry)?.find(attempt.command)?;
        let timeout = which(&attempt, self.clock.now());
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
        let finish = Finish { run, attempt: claim, outcome, turn: None, key: String::new(), now: self.clock.for_store(), offer };
        match self.store.finish(finish).await? {
            Finished::Accepted { grants, .. } => self.hand_over(reservation, grants).await,
            Finished::AttemptLost | Finished::NotFound => self.hand_over(reservation, Grants::default()).await,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::record::samples::attempt;

    #[test]
    fn each_time_out_is_told_by_its_name() {
        // Leased at 2,000 for 5,000, with a sign of life every 500; to be closed by 61,000.
        let at = |phase, now| which(&AttemptRecord { phase, ..attempt(0) }, TimeMs(now));
        assert_eq!(at(AttemptPhase::Leased, 2_600), Timeout::Heartbeat);
        assert_eq!(at(AttemptPhase::Leased, 7_000), Timeout::StartToClose);
        assert_eq!(at(AttemptPhase::Leased, 61_000), Timeout::ScheduleToClose);
        assert_eq!(at(AttemptPhase::Queued, 7_000), Timeout::ScheduleToStart);
        assert_eq!(at(AttemptPhase::Queued, 61_000), Timeout::ScheduleToClose);
        assert_eq!(at(AttemptPhase::BackingOff, 61_000), Timeout::ScheduleToClose);
    }
}
