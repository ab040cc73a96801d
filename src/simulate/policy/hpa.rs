//! The HorizontalPodAutoscaler, for one external metric with an `AverageValue` target, which is what KEDA gives it.
//!
//! Sources: "Horizontal Pod Autoscaling", <https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/>; the fields' text in
//! `autoscaling/v2` `HPAScalingRules`; kubernetes/kubernetes `pkg/controller/podautoscaler`: `replica_calculator.go`
//! (`GetExternalPerPodMetricReplicas`) and `horizontal.go` (`stabilizeRecommendationWithBehaviors`, `convertDesiredReplicasWithBehaviorRate`).
//!
//! - A sync every 15 s (`--horizontal-pod-autoscaler-sync-period`).
//! - `usage / (target * replicas)` within 0.1 of 1 changes nothing (`--horizontal-pod-autoscaler-tolerance`); else `ceil(usage / target)`.
//! - Readiness does not enter: `GetExternalPerPodMetricReplicas` divides by all replicas. (It does for `Pods` and `Resource` metrics.)
//! - Stabilisation: the highest recommendation of the last 300 s holds a fall; none holds a rise.
//! - A rise is at most the larger of 100 % and 4 pods within 15 s; a fall at most 100 % within 15 s.
//! - It does nothing while the target has 0 replicas.

use std::collections::VecDeque;

use crate::api::{DurationMs, TimeMs};

/// One of them.
#[derive(Debug, Clone)]
pub struct Hpa {
    min: u32,
    max: u32,
    /// Of the metric, for each pod.
    target: u64,
    /// Of falls.
    stabilization: DurationMs,
    recommendations: VecDeque<(TimeMs, u32)>,
    /// Pods added, and when.
    rises: VecDeque<(TimeMs, u32)>,
}

/// Between two looks.
pub const SYNC: DurationMs = DurationMs::from_secs(15);
/// Of the ratio, around 1.
const TOLERANCE: f64 = 0.1;
/// Of falls, unless `behavior.scaleDown` says otherwise.
const STABILIZATION: DurationMs = DurationMs::from_secs(300);
/// The period of both policies of rises.
const PERIOD: DurationMs = DurationMs::from_secs(15);
/// The policy `Pods` of rises. The other is `Percent`, 100.
const PODS: u32 = 4;

impl Hpa {
    /// With default behaviour.
    #[must_use]
    pub fn new(min: u32, max: u32, target: u64) -> Self {
        Self { min, max, target, stabilization: STABILIZATION, recommendations: VecDeque::new(), rises: VecDeque::new() }
    }

    /// With another `behavior.scaleDown.stabilizationWindowSeconds`.
    #[must_use]
    pub fn stabilized_for(self, stabilization: DurationMs) -> Self {
        Self { stabilization, ..self }
    }

    /// One sync: the number of replicas after it.
    pub fn sync(&mut self, usage: u64, replicas: u32, now: TimeMs) -> u32 {
        if replicas == 0 {
            return 0;
        }
        if replicas > self.max {
            return self.max;
        }
        if replicas < self.min {
            return self.min;
        }
        if self.recommendations.is_empty() {
            self.recommendations.push_back((now, replicas));
        }
        let desired = self.recommend(usage, replicas);
        let stabilized = self.stabilize(desired, replicas, now);
        let wanted = if stabilized > replicas { stabilized.min(self.rise_limit(replicas, now)) } else { stabilized };
        let wanted = wanted.clamp(self.min, self.max);
        if wanted > replicas {
            self.rises.push_back((now, wanted - replicas));
        }
        wanted
    }

    #[expect(clippy::cast_precision_loss, reason = "as in the original")]
    fn recommend(&self, usage: u64, replicas: u32) -> u32 {
        let ratio = usage as f64 / (self.target as f64 * f64::from(replicas));
        if (1.0 - TOLERANCE..=1.0 + TOLERANCE).contains(&ratio) {
            return replicas;
        }
        u32::try_from(usage.div_ceil(self.target)).unwrap_or(u32::MAX)
    }

    fn stabilize(&mut self, desired: u32, replicas: u32, now: TimeMs) -> u32 {
        self.recommendations.retain(|(at, _)| now.since(*at) < self.stabilization);
        let highest = self.recommendations.iter().map(|(_, pods)| *pods).max().unwrap_or(desired).max(desired);
        self.recommendations.push_back((now, desired));
        // The window of rises is 0: only this recommendation counts.
        if replicas < desired { desired } else { replicas.min(highest) }
    }

    fn rise_limit(&mut self, replicas: u32, now: TimeMs) -> u32 {
        self.rises.retain(|(at, _)| now.since(*at) < PERIOD);
        let added: u32 = self.rises.iter().map(|(_, pods)| pods).sum();
        let at_start = replicas.saturating_sub(added);
        at_start.saturating_add(PODS).max(at_start.saturating_mul(2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> TimeMs {
        TimeMs(secs * 1_000)
    }

    #[test]
    fn the_ratio_is_rounded_up_unless_it_is_within_the_tolerance() {
        // (usage, replicas, wanted): a target of 10 for each pod.
        for (usage, replicas, wanted) in [
            (40, 4, 4),
            (44, 4, 4),
            (45, 4, 5),
            (36, 4, 4),
            // "desiredReplicas = ceil[currentReplicas * ( currentMetricValue / desiredMetricValue )]": 200 to 100 doubles.
            (200, 10, 20),
            (0, 0, 0),
            (1_000, 0, 0),
        ] {
            assert_eq!(Hpa::new(1, 100, 10).sync(usage, replicas, at(0)), wanted, "{usage} at {replicas}");
        }
    }

    #[test]
    fn rises_are_the_larger_of_double_and_four_within_15_s() {
        let mut hpa = Hpa::new(1, 100, 10);
        let mut replicas = 1;
        let mut seen = Vec::new();
        for sync in 0..6 {
            replicas = hpa.sync(10_000, replicas, at(sync * 15));
            seen.push(replicas);
        }
        assert_eq!(seen, [5, 10, 20, 40, 80, 100]);
        let mut hpa = Hpa::new(1, 100, 10);
        assert_eq!([hpa.sync(10_000, 1, at(0)), hpa.sync(10_000, 5, at(5)), hpa.sync(10_000, 5, at(15))], [5, 5, 10]);
    }

    #[test]
    fn falls_wait_for_the_highest_recommendation_of_300_s() {
        let mut hpa = Hpa::new(1, 100, 10);
        assert_eq!(hpa.sync(80, 4, at(0)), 8);
        assert_eq!(hpa.sync(30, 8, at(15)), 8);
        assert_eq!(hpa.sync(20, 8, at(299)), 8);
        assert_eq!(hpa.sync(20, 8, at(300)), 3, "3 was recommended 285 s before");
        assert_eq!(hpa.sync(0, 3, at(700)), 1, "all at once, down to the minimum");
    }

    #[test]
    fn minimum_and_maximum_hold() {
        assert_eq!(Hpa::new(2, 6, 10).sync(1_000, 5, at(0)), 6);
        assert_eq!(Hpa::new(2, 6, 10).sync(1_000, 9, at(0)), 6);
        assert_eq!(Hpa::new(2, 6, 10).sync(0, 1, at(0)), 2);
    }
}
