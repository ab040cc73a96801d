//! How many pods a pool wants: the fleet follows the work.
//!
//! [`decide`] is called with each [`Signals`] of the queue service and once a second besides; it answers with the wanted number, its
//! reason in words, and what a person should know ([`Condition`]). The pods that the work needs, for each kind of slot:
//!
//! ```text
//! need = ceil((L*S + B*min(S/T, 1)) / (C * 0.75))
//! ```
//!
//! with arrivals L per second, mean slot time S, backlog B (with the timers that fall due before a pod could start), target age T, and C slots of a pod.
//! `docs/scaling.md` tells the reasons and the figures.
//!
//! Invariants, each with a property test:
//! - more backlog never wants fewer pods;
//! - never fewer than the busy slots fill, within `max`;
//! - up at once; down never sooner than the fall window after the number was last needed, so that the number turns at most twice in a window;
//! - to zero only when nothing is ready, leased or due soon, for the whole zero window;
//! - a signal that is unknown or old holds the number: it is never a zero.
//!
//! Clocks: `now` is the caller's own (a monotonic one is best), and everything in a signal is a duration or a count, measured by the queue
//! service. No two clocks are ever compared.
//!
//! Which pods go is in [`victims`]. Deliberately absent: whether the number is obeyed: `Auto` obeys it,
//! `External` publishes it, `Fixed` does not ask.

mod decide;
mod decision;
mod fleet;
mod heard;
mod limits;
mod memory;
pub mod meter;
mod need;
#[cfg(test)]
mod properties;
pub mod slot_time;
#[cfg(test)]
mod tests;
pub mod victims;

pub use crate::api::signals::{Due, Load, Signals};
pub use decide::decide;
pub use decision::{Condition, Decision};
pub use fleet::{Cause, Fleet, Stuck};
pub use heard::Heard;
pub use limits::{Limits, Settings, Slots, Unfit};
pub use memory::Memory;
pub use need::Need;
