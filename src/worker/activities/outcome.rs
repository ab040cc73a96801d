//! The outcomes that are the same for all kinds.

use crate::api::limits::ERROR_TEXT_BYTES_MAX;
use crate::api::worker::AttemptOutcome;
use crate::api::{DurationMs, RunError};

/// A failure that another attempt may mend.
pub(super) fn failed(kind: &str, message: impl Into<String>) -> AttemptOutcome {
    AttemptOutcome::Failed { error: RunError::new(kind, message), final_: false, retry_after_ms: None }
}

/// A failure that no other attempt can mend.
pub(super) fn failed_for_good(kind: &str, message: impl Into<String>) -> AttemptOutcome {
    AttemptOutcome::Failed { error: RunError::new(kind, message), final_: true, retry_after_ms: None }
}

/// The attempt's time was over.
pub(super) fn timeout(timeout_ms: u64) -> AttemptOutcome {
    failed("Timeout", format!("the attempt took longer than its {}", DurationMs(timeout_ms)))
}

/// The outcome, within the bounds of payloads and errors.
pub(super) fn bounded(outcome: AttemptOutcome) -> AttemptOutcome {
    match outcome {
        AttemptOutcome::Completed { result } => match result.check() {
            Ok(()) => AttemptOutcome::Completed { result },
            Err(error) => failed_for_good("PayloadTooLarge", format!("the activity's result cannot be kept: {error}")),
        },
        AttemptOutcome::Failed { error, final_, retry_after_ms } => {
            AttemptOutcome::Failed { error: bounded_error(error, CAUSES_MAX), final_, retry_after_ms }
        }
    }
}

const CAUSES_MAX: u32 = 5;

fn bounded_error(mut error: RunError, causes: u32) -> RunError {
    for text in [&mut error.kind, &mut error.message, &mut error.stack] {
        cut(text, ERROR_TEXT_BYTES_MAX);
    }
    error.details = error.details.filter(|details| details.check().is_ok());
    error.cause = error.cause.filter(|_| causes > 0).map(|cause| Box::new(bounded_error(*cause, causes - 1)));
    error
}

/// Shortens a text to so many bytes, between two characters.
pub(super) fn cut(text: &mut String, bytes: usize) {
    if text.len() > bytes {
        text.truncate(text.floor_char_boundary(bytes));
    }
}
