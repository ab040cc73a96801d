//! Outcomes of tasks of external queues on their way to the store: those of one run that come while an operation with others is under
//! way go together in the next one, so that a thousand of a fan-out are not a thousand operations.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::service::{Service, Shared};
use super::waiters::{Free, Reservation};
use crate::api::RunKey;
use crate::store::StoreError;
use crate::store::op::{Outcome, Settle, Settlement};

/// Outcomes in one operation.
const OUTCOMES_MAX: usize = 256;
/// Bytes of events in one operation, unless one alone has more.
const BYTES_MAX: usize = 1 << 20;

/// What waits, by run. A run that is here has an operation under way.
#[derive(Debug, Default)]
pub struct Settling(Mutex<HashMap<RunKey, VecDeque<Waiting>>>);

#[derive(Debug)]
struct Waiting {
    settlement: Settlement,
    told: oneshot::Sender<Result<bool, StoreError>>,
}

impl Settling {
    fn lock(&self) -> MutexGuard<'_, HashMap<RunKey, VecDeque<Waiting>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody sees to this run yet.
    fn add(&self, run: &RunKey, waiting: Waiting) -> bool {
        let mut runs = self.lock();
        let is_first = !runs.contains_key(run);
        runs.entry(run.clone()).or_default().push_back(waiting);
        is_first
    }

    /// What goes next; the run is nobody's any more when there is nothing.
    fn next(&self, run: &RunKey) -> Option<Vec<Waiting>> {
        let mut runs = self.lock();
        let waiting = runs.get_mut(run).filter(|waiting| !waiting.is_empty());
        let Some(waiting) = waiting else {
            runs.remove(run);
            return None;
        };
        let (mut next, mut bytes) = (Vec::new(), 0);
        while let Some(first) = waiting.front() {
            bytes += bytes_of(&first.settlement.outcome);
            if next.len() == OUTCOMES_MAX || (!next.is_empty() && bytes > BYTES_MAX) {
                break;
            }
            next.extend(waiting.pop_front());
        }
        Some(next)
    }
}

fn bytes_of(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Settled { event } => event.len(),
        Outcome::Retry { error, .. } => error.len(),
    }
}

/// Sees to a run until nothing of it waits. When it ends before that, whoever waits hears that nothing is known.
struct Seeing<'a> {
    settling: &'a Settling,
    run: &'a RunKey,
}

impl Drop for Seeing<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.settling.lock().remove(self.run);
        }
    }
}

impl Service {
    /// Records the outcome of an attempt; whether it counts.
    ///
    /// # Errors
    /// It is not known whether it was recorded.
    pub async fn settle(self: &Shared, run: &RunKey, settlement: Settlement) -> Result<bool, StoreError> {
        let (told, counts) = oneshot::channel();
        if self.settling.add(run, Waiting { settlement, told }) {
            // A task of its own: who asked for this outcome may go away, and others wait with it.
            let (service, run) = (self.clone(), run.clone());
            tokio::spawn(async move { service.settle_all(&run).await });
        }
        counts.await.unwrap_or_else(|_| Err(unknown()))
    }

    async fn settle_all(&self, run: &RunKey) {
        let seeing = Seeing { settling: &self.settling, run };
        while let Some(waiting) = seeing.settling.next(run) {
            let (outcomes, told): (Vec<_>, Vec<_>) = waiting.into_iter().map(|one| (one.settlement, one.told)).unzip();
            let answer = self.settle_together(run, outcomes).await;
            for (place, told) in told.into_iter().enumerate() {
                let counts = answer.as_ref().map(|counts| counts.get(place).copied().unwrap_or_default()).map_err(Clone::clone);
                // Nobody waits any more: it stands in the store all the same.
                let _ = told.send(counts);
            }
        }
    }

    async fn settle_together(&self, run: &RunKey, outcomes: Vec<Settlement>) -> Result<Vec<bool>, StoreError> {
        let facts = self.facts.known(run);
        let pool = facts.as_ref().map(|facts| &facts.pool);
        let reservation = self.waiters.reserve(pool, Free { turns: 1, activities: 0 }, self.partition(run));
        let offer = reservation.as_ref().map(Reservation::offer);
        let settle = Settle { run: run.clone(), outcomes, now: self.clock.for_store(), offer };
        let settled = self.store.settle(settle).await?;
        self.hand_over(reservation, settled.grants).await;
        Ok(settled.counts)
    }
}

fn unknown() -> StoreError {
    StoreError::Unavailable { operation: "settle attempts", detail: "the operation broke off".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::commit::AttemptClaim;

    fn waiting(command: u32, bytes: usize) -> Waiting {
        let attempt = AttemptClaim { command, attempt: 1, session: String::new(), seq: 1 };
        let outcome = Outcome::Settled { event: "x".repeat(bytes) };
        Waiting { settlement: Settlement { attempt, outcome, key: String::new() }, told: oneshot::channel().0 }
    }

    fn commands(waiting: Option<Vec<Waiting>>) -> Option<Vec<u32>> {
        waiting.map(|list| list.iter().map(|one| one.settlement.attempt.command).collect())
    }

    #[test]
    fn what_comes_meanwhile_goes_together_in_order_and_within_bounds() {
        let (settling, run): (_, RunKey) = (Settling::default(), "n/a".parse().unwrap());
        assert!(settling.add(&run, waiting(0, 1)));
        assert_eq!(commands(settling.next(&run)), Some(vec![0]));
        for command in 1..=300 {
            assert!(!settling.add(&run, waiting(command, 1)), "somebody sees to it");
        }
        assert_eq!(commands(settling.next(&run)), Some((1..=256).collect()));
        settling.add(&run, waiting(301, BYTES_MAX));
        settling.add(&run, waiting(302, 2 * BYTES_MAX));
        assert_eq!(commands(settling.next(&run)), Some((257..=300).collect()));
        assert_eq!(commands(settling.next(&run)), Some(vec![301]));
        assert_eq!(commands(settling.next(&run)), Some(vec![302]), "one goes however large");
        assert_eq!(commands(settling.next(&run)), None);
        assert!(settling.add(&run, waiting(303, 1)), "nobody sees to it any more");
    }
}
