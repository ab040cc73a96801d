//! What becomes of an attempt's outcome: an event for the run, or another attempt later.

use super::service::Service;
use crate::api::definition::Activity;
use crate::api::worker::AttemptOutcome;
use crate::api::{Attempt, CommandNo, DurationMs, Event, Json, RunError, TimeMs, Version, limits};
use crate::machine::retry::{self, Decision, Failure};
use crate::store::StoreError;
use crate::store::op::Outcome;
use crate::telemetry::metrics::OutcomeLabels;

/// Which attempt, and the policy that counts for it.
#[derive(Debug, Clone, Copy)]
pub struct Tried<'a> {
    /// The version that declares the activity.
    pub version: &'a Version,
    /// The activity's name.
    pub name: &'a str,
    /// The number of the command.
    pub command: CommandNo,
    /// The attempt.
    pub attempt: Attempt,
    /// When it was scheduled.
    pub scheduled_at: TimeMs,
}

/// Bytes of an error that the store keeps with a waiting attempt.
const LAST_ERROR_BYTES_MAX: usize = 1_024;

impl Service {
    /// Decides. A value over its bound is a failure that no further attempt can mend.
    ///
    /// # Errors
    /// The policy could not be read.
    pub async fn outcome(&self, tried: Tried<'_>, outcome: AttemptOutcome) -> Result<Outcome, StoreError> {
        let Tried { command, attempt, .. } = tried;
        let (mut error, final_, retry_after_ms) = match outcome {
            AttemptOutcome::Completed { result } => match result.check() {
                Ok(()) => {
                    self.count("completed");
                    return Ok(Outcome::Settled { event: text(&Event::ActivityCompleted { command, attempt, result }) });
                }
                Err(why) => (RunError::new("PayloadTooLarge", format!("the activity's result: {why}")), true, None),
            },
            AttemptOutcome::Failed { error, final_, retry_after_ms } => (error, final_, retry_after_ms),
        };
        bound(&mut error);
        let known = if final_ { None } else { self.definitions.known(&*self.store, tried.version).await? };
        let activity = known.as_ref().and_then(|known| known.declared.activities.get(tried.name));
        let failure = Failure {
            attempt,
            error: &error,
            final_,
            retry_after: retry_after_ms.map(DurationMs),
            scheduled_at: tried.scheduled_at,
            now: self.clock.now(),
            jitter: rand::random(),
        };
        Ok(match retry::decide(activity.unwrap_or(&Activity::default()), &failure) {
            Decision::RetryAt(at) => {
                self.count("retry");
                let mut error = format!("{}: {}", error.kind, error.message);
                cut(&mut error, LAST_ERROR_BYTES_MAX);
                Outcome::Retry { at, error }
            }
            Decision::GiveUp => {
                self.count("failed");
                Outcome::Settled { event: text(&Event::ActivityFailed { command, attempt, error }) }
            }
        })
    }

    fn count(&self, outcome: &'static str) {
        self.metrics.attempts.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// So many attempts were completed by the steps of an item.
    pub fn completed(&self, attempts: u64) {
        self.metrics.attempts.get_or_create(&OutcomeLabels { outcome: "completed" }).inc_by(attempts);
    }
}

/// An event as JSON text; payloads in it are copied, not read.
#[must_use]
pub fn text(event: &Event) -> String {
    Json::of(event).get().to_owned()
}

/// Holds an error to its bounds.
fn bound(error: &mut RunError) {
    cut(&mut error.message, limits::ERROR_TEXT_BYTES_MAX);
    cut(&mut error.stack, limits::ERROR_TEXT_BYTES_MAX);
    cut(&mut error.kind, 255);
    error.details = error.details.take().filter(|details| details.check().is_ok());
}

/// Cuts a text to so many bytes, between characters.
fn cut(text: &mut String, bytes: usize) {
    if text.len() > bytes {
        let end = (0..=bytes).rev().find(|i| text.is_char_boundary(*i)).unwrap_or_default();
        text.truncate(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        let mut text = "a\u{e9}\u{e9}".to_owned();
        cut(&mut text, 4);
        assert_eq!(text, "a\u{e9}");
    }
}
