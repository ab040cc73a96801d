//! Leases that this worker does not know of. An operation that was delayed for long may grant under a request whose answer
//! was given up: the session would keep that lease while it lives, and nobody would work on it. So now and then all leases
//! of the session are read, and one that is unknown here twice in a row is handed back.

use std::collections::HashSet;
use std::time::Duration;

use super::{AttemptId, Hub, Msg};
use crate::api::worker::{ActivityLease, Item, Leases};
use crate::api::{RunKey, Seq};
use crate::worker::commit::{Pending, Then};

/// A lease in the store.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Lease {
    Turn(RunKey, Seq),
    Attempt(AttemptId),
}

/// Leases that were unknown here at the last look. Once proves nothing: a grant or a commit's answer may be on its way.
#[derive(Debug, Default)]
pub(super) struct Strangers(HashSet<Lease>);

impl Strangers {
    /// Takes the unknown leases of a look; answers those that were unknown at the one before.
    fn seen(&mut self, unknown: HashSet<Lease>) -> Vec<Lease> {
        let (twice, once): (HashSet<_>, _) = unknown.into_iter().partition(|lease| self.0.contains(lease));
        self.0 = once;
        twice.into_iter().collect()
    }
}

impl Hub {
    /// Reads all leases of the session from time to time, while it lives.
    pub(super) fn audit_every(&self, pause: Duration) {
        let Some(line) = self.session.clone() else { return };
        let (messages, generation) = (self.parts.messages.clone(), self.generation);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = line.over.cancelled() => return,
                }
                let Some(leases) = line.leases().await else { continue };
                if messages.send(Msg::Audited { generation, leases }).is_err() {
                    return;
                }
            }
        });
    }

    pub(super) fn audited(&mut self, leases: Leases) {
        let Some(requests) = self.session.as_ref().map(|line| line.requests.clone()) else { return };
        let held: HashSet<_> = self.runs.leases().into_iter().collect();
        let turns = leases.turns.into_iter().map(|lease| (lease.run, lease.seq)).filter(|turn| !held.contains(turn));
        let id = |lease: ActivityLease| AttemptId { run: lease.run, command: lease.command, attempt: lease.attempt, seq: lease.seq };
        let attempts = leases.activities.into_iter().map(id).filter(|id| !self.attempts.contains_key(id) && !self.ended.contains(id));
        let unknown = turns
            .filter(|(_, seq)| !requests.is_open(*seq))
            .map(|(run, seq)| Lease::Turn(run, seq))
            .chain(attempts.filter(|id| !requests.is_open(id.seq)).map(Lease::Attempt))
            .collect();
        for lease in self.strangers.seen(unknown) {
            let item = match lease {
                Lease::Turn(run, seq) => {
                    tracing::warn!(%run, seq, "handing back a turn whose grant never arrived");
                    Item::ReleaseTurn { run, seq, keeps_context: false }
                }
                Lease::Attempt(AttemptId { run, command, attempt, seq }) => {
                    tracing::warn!(%run, command, seq, "handing back an attempt whose grant never arrived");
                    Item::ReleaseActivity { run, command, attempt, seq }
                }
            };
            self.pipeline.push(Pending { item, then: Then::Nothing });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(id: &str, seq: Seq) -> Lease {
        Lease::Turn(RunKey { namespace: "default".parse().unwrap(), id: id.parse().unwrap() }, seq)
    }

    #[test]
    fn only_what_is_unknown_twice_in_a_row_is_handed_back() {
        let mut strangers = Strangers::default();
        assert_eq!(strangers.seen([turn("a", 1), turn("b", 2)].into()), []);
        assert_eq!(strangers.seen([turn("a", 1), turn("b", 3)].into()), [turn("a", 1)]);
        assert_eq!(strangers.seen([].into()), []);
        assert_eq!(strangers.seen([turn("b", 3)].into()), [], "it was known in between");
    }
}
