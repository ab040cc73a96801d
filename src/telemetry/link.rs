//! Whether the queue service answers a worker, and whether it wants it to take on work.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What a worker knows of its link to the queue service. Clones are one.
#[derive(Debug, Clone)]
pub struct Link(Arc<Mutex<Known>>);

#[derive(Debug, Clone, Copy)]
struct Known {
    reach: LinkState,
    /// It is to finish what it has.
    draining: bool,
}

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
        Self(Arc::new(Mutex::new(Known { reach: LinkState::Never, draining: false })))
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

    /// It wants the worker to finish what it has, or to take on work again.
    pub fn drain(&self, draining: bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).draining = draining;
    }

    fn change(&self, next: impl FnOnce(LinkState) -> LinkState) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.reach = next(known.reach);
    }

    /// Whether work can be expected of this process.
    ///
    /// # Errors
    /// Why not.
    pub fn ready(&self, now: Instant) -> Result<(), String> {
        let known = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match known.reach {
            LinkState::Never => Err("the queue service has not answered yet".to_owned()),
            LinkState::Down(since) if now.saturating_duration_since(since) >= Self::DOWN_FOR_LONG => {
                Err(format!("the queue service has not answered for {} s", now.saturating_duration_since(since).as_secs()))
            }
            LinkState::Up | LinkState::Down(_) if known.draining => {
                Err("draining: it finishes what it has and takes nothing new".to_owned())
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
        link.drain(true);
        assert!(link.ready(later).unwrap_err().contains("draining"));
        link.drain(false);
        assert_eq!(link.ready(later), Ok(()));
    }
}
