//! When what is killed, as a small machine: it is asked at every tick and says what to do now.

use std::time::{Duration, Instant};

/// The orders that must have been accepted before the first kill: in percent.
const AFTER_PERCENT: usize = 40;
/// From the worker's death to the queue service's: the first wound is open still.
const BETWEEN: Duration = Duration::from_millis(1_500);
/// How long the service is gone.
const OUTAGE: Duration = Duration::from_secs(1);

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    KillWorker,
    KillQueue,
    RestartQueue,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chaos {
    /// Nothing is to be killed, or nothing any more.
    Over,
    /// Waits for the middle.
    Armed,
    /// The worker is dead since.
    WorkerDead(Instant),
    /// The service is dead since.
    QueueDead(Instant),
}

impl Chaos {
    pub fn new(no_kill: bool) -> Self {
        if no_kill { Self::Over } else { Self::Armed }
    }

    /// Whether all that was to be killed has been.
    pub fn is_over(self) -> bool {
        self == Self::Over
    }

    /// Moves on when it is time.
    pub fn step(&mut self, accepted: usize, orders: usize, now: Instant) -> Option<Act> {
        let (next, act) = match *self {
            Self::Armed if accepted * 100 >= orders * AFTER_PERCENT => (Self::WorkerDead(now), Act::KillWorker),
            Self::WorkerDead(since) if now.duration_since(since) >= BETWEEN => (Self::QueueDead(now), Act::KillQueue),
            Self::QueueDead(since) if now.duration_since(since) >= OUTAGE => (Self::Over, Act::RestartQueue),
            Self::Over | Self::Armed | Self::WorkerDead(_) | Self::QueueDead(_) => return None,
        };
        *self = next;
        Some(act)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_dies_in_the_middle_then_the_service_which_comes_back() {
        let (mut chaos, begin) = (Chaos::new(false), Instant::now());
        assert_eq!(chaos.step(199, 500, begin), None);
        assert_eq!(chaos.step(200, 500, begin), Some(Act::KillWorker));
        assert_eq!(chaos.step(210, 500, begin), None);
        assert_eq!(chaos.step(300, 500, begin + BETWEEN), Some(Act::KillQueue));
        assert!(!chaos.is_over());
        assert_eq!(chaos.step(300, 500, begin + BETWEEN + OUTAGE), Some(Act::RestartQueue));
        assert!(chaos.is_over());
        assert_eq!(Chaos::new(true).step(500, 500, begin), None);
    }
}
