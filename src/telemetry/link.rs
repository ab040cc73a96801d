//! Whether the queue service answers a worker.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What a worker knows of its link to the queue service. Clones are one.
#[derive(Debug, Clone)]
pub struct Link(Arc<Mutex<LinkState>>);

#[derive(Debug, Clone, Copy)]
enum LinkState {
    /// There was none yet.
    Never,
    Up,
    /// Since when it has been broken.
    Down(Instant),
}

impl Default for Link {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(LinkState::Never)))
    }
}

impl Link {
    /// A short outage is no reason to take a process out: readiness must not cascade.
    pub const DOWN_FOR_LONG: Duration = Duration::from_secs(30);

    /// It answers.
    pub fn up(&self) {
        self.change(|_| LinkState::Up);
    }

    /// It does not answer.
    pub fn down(&self) {
        self.change(|before| if let LinkState::Up = before { LinkState::Down(Instant::now()) } else { before });
    }

    fn change(&self, next: impl FnOnce(LinkState) -> LinkState) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = next(*state);
    }

    /// Whether work can be expected of this process.
    ///
    /// # Errors
    /// Why not.
    pub fn ready(&self, now: Instant) -> Result<(), String> {
        match *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            LinkState::Never => Err("the queue service has not answered yet".to_owned()),
            LinkState::Down(since) if now.saturating_duration_since(since) >= Self::DOWN_FOR_LONG => {
                Err(format!("the queue service has not answered for {} s", now.saturating_duration_since(since).as_secs()))
            }
            LinkState::Up | LinkState::Down(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_breaks_for_a_moment_changes_nothing() {
        let link = Link::default();
        assert!(link.ready(Instant::now()).is_err(), "nothing has answered yet");
        link.down();
        assert!(link.ready(Instant::now()).is_err(), "still nothing");
        link.up();
        link.down();
        let now = Instant::now();
        assert_eq!(link.ready(now), Ok(()));
        let later = now + Link::DOWN_FOR_LONG;
        link.down();
        assert!(link.ready(later).unwrap_err().contains("30 s"), "the first failure counts");
        link.up();
        assert_eq!(link.ready(later), Ok(()));
    }
}
