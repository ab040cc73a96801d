//! How long the pods of a pool take from their making to their readiness, as this operator sees it: by its own clock alone, for what a pod says of
//! its times is by the clocks of two other machines.

use std::collections::{HashMap, VecDeque};

use crate::api::{DurationMs, TimeMs};

/// The last measured starts, whose p95 counts: of twenty the slowest but one.
const KEPT: usize = 20;

/// A pod as it was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// On its way.
    Starting,
    /// It waits for what waiting alone may not bring: how long that takes is not how long a start takes.
    InTrouble,
    /// It takes on work.
    Ready,
}

/// Of one pool. Pods are known by their uid.
#[derive(Debug, Default)]
pub(super) struct Starts {
    /// The pods of the last look, each with since when it is known if it is to be measured; nothing of one that was ready or in trouble, or was there
    /// before the first look. `None` as a whole: there was no look yet.
    known: Option<HashMap<String, Option<TimeMs>>>,
    took: VecDeque<DurationMs>,
}

impl Starts {
    /// Whether there was a look: what is there before the first one cannot be measured.
    pub(super) fn has_looked(&self) -> bool {
        self.known.is_some()
    }

    /// The pods as they are. `now` is by one clock of the caller's that is never set.
    pub(super) fn look(&mut self, pods: impl IntoIterator<Item = (String, Stage)>, now: TimeMs) {
        let before = self.known.take();
        let mut known = HashMap::new();
        for (uid, stage) in pods {
            let since = before.as_ref().and_then(|before| before.get(&uid).copied().unwrap_or(Some(now)));
            if let Some(since) = since.filter(|_| stage == Stage::Ready) {
                self.took.truncate(KEPT - 1);
                self.took.push_front(now.since(since).max(DurationMs(1)));
            }
            known.insert(uid, since.filter(|_| stage == Stage::Starting));
        }
        self.known = Some(known);
    }

    /// The p95 of the last ones by nearest rank, of few the slowest; absent before one was measured.
    pub(super) fn p95(&self) -> Option<DurationMs> {
        let mut took: Vec<DurationMs> = self.took.iter().copied().collect();
        took.sort_unstable();
        took.get((took.len() * 95).div_ceil(100).checked_sub(1)?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(starts: &mut Starts, second: u64, pods: &[(&str, bool)]) -> Option<u64> {
        let stage = |is_ready: bool| if is_ready { Stage::Ready } else { Stage::Starting };
        starts.look(pods.iter().map(|(uid, is_ready)| ((*uid).to_owned(), stage(*is_ready))), TimeMs(second * 1_000));
        starts.p95().map(|p95| p95.0 / 1_000)
    }

    #[test]
    fn a_start_is_from_the_first_sight_to_the_readiness_and_old_ones_are_forgotten() {
        let mut starts = Starts::default();
        assert_eq!(look(&mut starts, 1, &[]), None);
        assert_eq!(look(&mut starts, 10, &[("a", false), ("b", false)]), None);
        assert_eq!(look(&mut starts, 13, &[("a", true), ("b", false)]), Some(3));
        assert_eq!(look(&mut starts, 17, &[("a", true), ("b", true), ("c", false)]), Some(7));
        // Not ready for a moment, and ready again: no start of a pod.
        look(&mut starts, 18, &[("a", false), ("b", true)]);
        assert_eq!(look(&mut starts, 99, &[("a", true), ("b", true)]), Some(7));
        for n in 0..25_u64 {
            let name = format!("n{n}");
            look(&mut starts, 100 + n * 10, &[(name.as_str(), false)]);
            look(&mut starts, 102 + n * 10, &[(name.as_str(), true)]);
        }
        assert_eq!(starts.p95(), Some(DurationMs::from_secs(2)), "old ones are forgotten");
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
    #[test]
    fn a_pod_that_was_in_trouble_says_nothing_of_how_long_a_start_takes() {
        let mut starts = Starts::default();
        starts.look([], TimeMs(1_000));
        for (second, stage) in [(2, Stage::Starting), (5, Stage::InTrouble), (1_800, Stage::Starting), (1_803, Stage::Ready)] {
            starts.look([("stuck".to_owned(), stage)], TimeMs(second * 1_000));
        }
        assert_eq!(starts.p95(), None);
    }

    #[test]
    fn one_slow_start_of_twenty_is_not_the_p95() {
        let mut starts = Starts::default();
        look(&mut starts, 1, &[]);
        look(&mut starts, 10, &[("slow", false)]);
        assert_eq!(look(&mut starts, 100, &[("slow", true)]), Some(90), "of few the slowest");
        for n in 0..19_u64 {
            let name = format!("n{n}");
            look(&mut starts, 200 + n * 10, &[(name.as_str(), false)]);
            look(&mut starts, 203 + n * 10, &[(name.as_str(), true)]);
        }
        assert_eq!(starts.p95(), Some(DurationMs::from_secs(3)));
    }
}
