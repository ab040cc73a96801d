//! Whether loops may do steps before they are granted.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Where the store did not take steps, others are first in the queue, or the service is of a version that knows none: doing them ahead costs the
/// context of a run each time. It is tried again after so long.
const PAUSE: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug, Default)]
pub(in crate::worker) struct Ahead(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    closed: bool,
    not_before: Option<Instant>,
}

impl Ahead {
    fn with<A>(&self, look: impl FnOnce(&mut State) -> A) -> A {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Nothing new is taken on, or it is again.
    pub(in crate::worker) fn close(&self, closed: bool) {
        self.with(|state| state.closed = closed);
    }

    /// Steps were done in vain.
    pub(in crate::worker) fn in_vain(&self) {
        self.with(|state| state.not_before = Some(Instant::now() + PAUSE));
    }

    /// Whether they may be done now.
    pub(super) fn may(&self) -> bool {
        self.with(|state| {
            if state.not_before.is_some_and(|at| at <= Instant::now()) {
                state.not_before = None;
            }
            !state.closed && state.not_before.is_none()
        })
    }
}
