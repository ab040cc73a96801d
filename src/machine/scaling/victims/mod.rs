//! Which pods go when there are too many, and how: they finish what they have first.
//!
//! A ReplicaSet that is told to have fewer pods takes away whichever it likes least, busy ones too. It likes those least that no node has,
//! then those that are not started, then those that are not ready, and among equal ones those with the lowest deletion cost. [`plan`] makes
//! the pods that have nothing to lose the ones it likes least, and says only then that there may be fewer:
//!
//! 1. Victims are chosen: pods that have not begun, then those with the fewest activities, then the fewest turns, then the youngest. An
//!    activity that is cut off begins again, after minutes perhaps; a turn takes a second at most, and is replayed.
//! 2. They are marked, so that nothing is granted to them and they become not ready.
//! 3. One that has nothing any more and is not ready gets the lowest cost, [`GOES`].
//! 4. When that has been seen for [`SETTLE`], so that the ReplicaSet has seen it too, the number is lowered by the pods that it takes first
//!    as long as each of them is such a victim.
//!
//! Invariants, each with a property test:
//! - no pod that has work is given up within the limit: the number is lowered only when each pod that the ReplicaSet may take has none
//!   (unless a victim that had not begun starts in that moment, and another one is taken for it);
//! - never fewer pods are left than are wanted;
//! - when more are wanted, victims are taken back before there are new pods, those with the most work first; those that the number was
//!   lowered for when the ReplicaSet has acted, or a [`SETTLE`] later, for it may take them yet;
//! - a victim stays one as long as it is needed: choosing does not wander with the work;
//! - a victim that has not finished within the limit goes nevertheless: SIGTERM is safe for any pod, and gives it the grace once more.
//!
//! Deliberately absent: pods that go by other ways (node drains, evictions, rollouts). They are told to end by SIGTERM, which is a drain, too.

mod memory;
mod order;
mod plan;
mod pod;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

pub use memory::Memory;
pub use order::cheapest_first;
pub use plan::{Fleet, Overdue, Plan, plan};
pub use pod::{Pod, Session, Stage, Worker};

use crate::api::DurationMs;

/// The deletion cost of a pod that goes: the lowest that there is.
pub const GOES: i32 = i32::MIN;
/// The ReplicaSet's view of the pods may be older than ours by so much.
pub const SETTLE: DurationMs = DurationMs::from_secs(1);
