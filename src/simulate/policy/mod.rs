//! Ways to scale a pool.

mod everloop;
mod fixed;
pub mod hpa;
pub mod keda;

pub use everloop::Everloop;
pub use fixed::Fixed;
pub use keda::Keda;

use super::trace::{Item, Trace};
use crate::api::TimeMs;
use crate::machine::scaling::{Fleet, Signals};

/// What a policy sees.
pub struct Seen<'a> {
    /// The time.
    pub now: TimeMs,
    /// What the queue service says. That some do not look at all of it is their affair.
    pub signals: &'a Signals,
    /// The pods.
    pub fleet: &'a Fleet,
    /// The number that is in force.
    pub replicas: u32,
}

/// Says how many pods there should be. It is asked every second.
pub trait Policy {
    /// For the tables.
    fn name(&self) -> &'static str;
    /// How many there should be now.
    fn wanted(&mut self, seen: &Seen<'_>) -> u32;
    /// It hears at once, and not only when it is asked next, that work comes; as often as once a second.
    fn is_pushed(&self) -> bool {
        false
    }
    /// Its pods finish what they have before they are told to end, the least busy first, and are taken back when they are needed again.
    fn drains(&self) -> bool {
        false
    }
    /// Pods that are there, and ready, when the trace begins.
    fn initial(&self) -> u32 {
        0
    }
}

/// The names, in the order of the tables.
pub const POLICIES: [&str; 5] = ["everloop", "keda", "keda-tuned", "keda-quick", "fixed"];

/// The policy of that name, for a trace.
#[must_use]
pub fn policy(name: &str, trace: &Trace, items: &[Item], seed: u64) -> Option<Box<dyn Policy>> {
    Some(match name {
        "everloop" => Box::new(Everloop::of(trace)),
        "keda" => Box::new(Keda::by_defaults(trace, seed)),
        "keda-tuned" => Box::new(Keda::tuned(trace, seed)),
        "keda-quick" => Box::new(Keda::quick(trace, seed)),
        "fixed" => Box::new(Fixed::of(trace, items)),
        _ => return None,
    })
}
