//! How long the pods of a pool take from their making to their readiness, as this operator sees it: by its own clock alone, for what a pod says of
//! its times is by the clocks of two other machines.

use std::collections::{HashMap, VecDeque};

use crate::api::{DurationMs, TimeMs};

/// The last measured starts of which the slowest counts: about the p95.
const KEPT: usize = 16;

/// Of one pool. Pods are known by their uid.
#[derive(Debug, Default)]
pub(super) struct Starts {
    /// The pods of the last look, each with since when it is known if it has never been ready; nothing of one that was, or was there before the first
    /// look. `None` as a whole: there was no look yet.
    known: Option<HashMap<String, Option<TimeMs>>>,
    took: VecDeque<DurationMs>,
}

impl Starts {
    /// Whether there was a look: what is there before the first one cannot be measured.
    pub(super) fn has_looked(&self) -> bool {
        self.known.is_some()
    }

    /// The pods as they are, with whether each is ready. `now` is by one clock of the caller's that is never set.
    pub(super) fn look(&mut self, pods: impl IntoIterator<Item = (String, bool)>, now: TimeMs) {
        let before = self.known.take();
        let mut known = HashMap::new();
        for (uid, is_ready) in pods {
            let since = before.as_ref().and_then(|before| before.get(&uid).copied().unwrap_or(Some(now)));
            if let Some(since) = since.filter(|_| is_ready) {
                self.took.truncate(KEPT - 1);
                self.took.push_front(now.since(since).max(DurationMs(1)));
            }
            known.insert(uid, since.filter(|_| !is_ready));
        }
        self.known = Some(known);
    }

    /// The slowest of the last ones; absent before one was measured.
    pub(super) fn slowest(&self) -> Option<DurationMs> {
        self.took.iter().max().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(starts: &mut Starts, second: u64, pods: &[(&str, bool)]) -> Option<u64> {
        starts.look(pods.iter().map(|(uid, is_ready)| ((*uid).to_owned(), *is_ready)), TimeMs(second * 1_000));
        starts.slowest().map(|slowest| slowest.0 / 1_000)
    }

    #[test]
    fn a_start_is_from_the_first_sight_to_the_readiness_and_the_slowest_counts() {
        let mut starts = Starts::default();
        assert_eq!(look(&mut starts, 1, &[]), None);
        assert_eq!(look(&mut starts, 10, &[("a", false), ("b", false)]), None);
        assert_eq!(look(&mut starts, 13, &[("a", true), ("b", false)]), Some(3));
        assert_eq!(look(&mut starts, 17, &[("a", true), ("b", true), ("c", false)]), Some(7));
        // Not ready for a moment, and ready again: no start of a pod.
        look(&mut starts, 18, &[("a", false), ("b", true)]);
        assert_eq!(look(&mut starts, 99, &[("a", true), ("b", true)]), Some(7));
        for n in 0..20_u64 {
            let name = format!("n{n}");
            look(&mut starts, 100 + n * 10, &[(name.as_str(), false)]);
            look(&mut starts, 102 + n * 10, &[(name.as_str(), true)]);
        }
        assert_eq!(starts.slowest(), Some(DurationMs::from_secs(2)), "old ones are forgotten");
    }

    #[test]
    fn of_pods_that_were_there_before_nothing_is_known() {
        let mut starts = Starts::default();
        assert_eq!(look(&mut starts, 10, &[("old", false), ("older", true)]), None);
        assert_eq!(look(&mut starts, 11, &[("old", true), ("older", true)]), None);
        assert_eq!(look(&mut starts, 12, &[("new", false)]), None);
        assert_eq!(look(&mut starts, 14, &[("new", true)]), Some(2));
        assert!(starts.has_looked() && !Starts::default().has_looked());
    }
}
