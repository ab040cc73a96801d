//! Two orders of pods: in which we would give them up, and in which the ReplicaSet takes them.

use std::cmp::Reverse;

use super::pod::{Pod, Stage};

/// Of the work that goes with a pod: activities, turns. Fewer is cheaper; of equals the younger pod, whose memory is worth less, is.
#[must_use]
pub fn cheapest_first(work: (u64, u64), made: i64) -> impl Ord {
    (work, Reverse(made))
}

/// In which we give pods up: those that have not begun, as the ReplicaSet will anyway; those that were chosen before; then by what they cost.
pub(super) fn to_give_up(pod: &Pod, chosen: bool) -> impl Ord + use<> {
    let begun = if pod.has_not_begun() { (false, pod.stage) } else { (true, Stage::Ready) };
    (begun, !chosen, cheapest_first(pod.work().unwrap_or((u64::MAX, u64::MAX)), pod.made), pod.name.clone())
}

/// In which a ReplicaSet takes pods, as far as it is known: among equals it may take any
/// (`ActivePodsWithRanks` in `pkg/controller/controller_utils.go` of Kubernetes goes on by colocation, age and restarts).
pub(super) fn taken(pod: &Pod) -> (Stage, i32) {
    (pod.stage, pod.cost.unwrap_or(0))
}
