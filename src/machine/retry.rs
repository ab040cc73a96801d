//! Whether and when a failed attempt is tried again.

use crate::api::definition::{Activity, Retry};
use crate::api::ids::Attempt;
use crate::api::{DurationMs, RunError, TimeMs};

/// What becomes of a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The next attempt may begin then.
    RetryAt(TimeMs),
    /// The activity has failed.
    GiveUp,
}

/// A failed attempt.
#[derive(Debug, Clone, Copy)]
pub struct Failure<'a> {
    /// The attempt that failed, from 1.
    pub attempt: Attempt,
    /// What it failed with.
    pub error: &'a RunError,
    /// The failure itself says that another attempt is useless.
    pub final_: bool,
    /// The other side asked for this delay (`Retry-After`); it counts when it is longer than ours.
    pub retry_after: Option<DurationMs>,
    /// When the activity was scheduled.
    pub scheduled_at: TimeMs,
    /// Now.
    pub now: TimeMs,
    /// 0.0 to 1.0: the caller's randomness for the jitter.
    pub jitter: f64,
}

const INITIAL: DurationMs = DurationMs::from_secs(1);
const FACTOR: f64 = 2.0;
const MAX: DurationMs = DurationMs::from_secs(60);
/// The other side may ask for patience, but not for ever.
const RETRY_AFTER_MAX: DurationMs = DurationMs::from_secs(3600);

/// Decides by the activity's policy; see [`Retry`] for the delays.
#[must_use]
pub fn decide(activity: &Activity, failure: &Failure<'_>) -> Decision {
    let default = Retry::default();
    let policy = activity.retry.as_ref().unwrap_or(&default);
    let exhausted = policy.max_attempts.is_some_and(|max| failure.attempt >= max);
    let never = policy.non_retryable.contains(&failure.error.kind);
    if failure.final_ || exhausted || never {
        return Decision::GiveUp;
    }
    let own = delay(policy, failure.attempt, failure.jitter);
    let asked = failure.retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
    let at = failure.now.plus(own.max(asked));
    match activity.timeouts.as_ref().and_then(|t| t.schedule_to_close) {
        Some(all) if at >= failure.scheduled_at.plus(all) => Decision::GiveUp,
        _ => Decision::RetryAt(at),
    }
}

/// The delay after attempt `attempt`: exponential, bounded, and a random part of it between half and all.
#[must_use]
pub fn delay(policy: &Retry, attempt: Attempt, jitter: f64) -> DurationMs {
    let initial = policy.initial.unwrap_or(INITIAL).0;
    let max = policy.max.unwrap_or(MAX).0.max(1);
    let factor = policy.factor.unwrap_or(FACTOR).clamp(1.0, 100.0);
    let exponent = i32::try_from(attempt.saturating_sub(1).min(1_000)).unwrap_or(1_000);
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a delay are far below 2^53")]
    let full = (initial as f64 * factor.powi(exponent)).min(max as f64);
    let part = full * (0.5 + 0.5 * jitter.clamp(0.0, 1.0));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 <= part <= max")]
    DurationMs((part.round() as u64).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::definition::Timeouts;

    fn activity(retry: Retry) -> Activity {
        Activity { retry: Some(retry), ..Activity::default() }
    }

    fn failure(attempt: Attempt, error: &RunError) -> Failure<'_> {
        Failure { attempt, error, final_: false, retry_after: None, scheduled_at: TimeMs(0), now: TimeMs(1_000), jitter: 1.0 }
    }

    #[test]
    fn delays_grow_by_the_factor_up_to_the_maximum() {
        let error = RunError::new("HttpError", "503");
        let policy = Retry { initial: Some(DurationMs(100)), factor: Some(3.0), max: Some(DurationMs(1_000)), ..Retry::default() };
        let at = |n| decide(&activity(policy.clone()), &failure(n, &error));
        assert_eq!([at(1), at(2), at(3), at(900)], [1_100, 1_300, 1_900, 2_000].map(|ms| Decision::RetryAt(TimeMs(ms))));
    }

    #[test]
    fn jitter_takes_at_most_half() {
        let policy = Retry { initial: Some(DurationMs(100)), ..Retry::default() };
        assert_eq!([0.0, 0.5, 1.0].map(|j| delay(&policy, 1, j).0), [50, 75, 100]);
    }

    #[test]
    fn it_gives_up_at_the_last_attempt_for_named_errors_and_final_ones() {
        let error = RunError::new("Declined", "no");
        let three = activity(Retry { max_attempts: Some(3), ..Retry::default() });
        assert!(matches!(decide(&three, &failure(2, &error)), Decision::RetryAt(_)));
        assert_eq!(decide(&three, &failure(3, &error)), Decision::GiveUp);
        let named = activity(Retry { non_retryable: vec!["Declined".into()], ..Retry::default() });
        assert_eq!(decide(&named, &failure(1, &error)), Decision::GiveUp);
        assert_eq!(decide(&Activity::default(), &Failure { final_: true, ..failure(1, &error) }), Decision::GiveUp);
    }

    #[test]
    fn schedule_to_close_bounds_all_attempts() {
        let error = RunError::new("HttpError", "503");
        let mut bounded = activity(Retry { initial: Some(DurationMs(500)), ..Retry::default() });
        bounded.timeouts = Some(Timeouts { schedule_to_close: Some(DurationMs(1_500)), ..Timeouts::default() });
        assert_eq!(decide(&bounded, &failure(1, &error)), Decision::GiveUp);
        assert!(matches!(decide(&bounded, &Failure { now: TimeMs(900), ..failure(1, &error) }), Decision::RetryAt(_)));
    }

    #[test]
    fn retry_after_is_honoured_when_it_is_longer_and_bounded() {
        let error = RunError::new("HttpError", "429");
        let ask = |secs| Failure { retry_after: Some(DurationMs::from_secs(secs)), ..failure(1, &error) };
        assert_eq!(decide(&Activity::default(), &ask(30)), Decision::RetryAt(TimeMs(31_000)));
        assert_eq!(decide(&Activity::default(), &ask(0)), Decision::RetryAt(TimeMs(2_000)));
        assert_eq!(decide(&Activity::default(), &ask(1_000_000)), Decision::RetryAt(TimeMs(3_601_000)));
    }
}
