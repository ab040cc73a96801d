//! A signal on its way to a decision.

use crate::api::TimeMs;
use crate::api::signals::Signals;

/// A signal, and when it came.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// What the service said.
    pub signals: Signals,
    /// When the caller heard it, by the clock that `now` is of; not when it was sent, by another.
    pub at: TimeMs,
}
