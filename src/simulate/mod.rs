//! A pool of workers, simulated: the same arrivals for several ways to scale it.
//!
//! Owns the traces and their format, the world (pods that start and drain, slots, a queue), the policies, and what is counted. Every run of it
//! with the same trace and seed gives the same figures, on any machine.
//!
//! What is ours is the very code of the operator, [`crate::machine::scaling`]; what is not is modelled from its documentation, and the
//! model's tests name the sentences ([`policy::hpa`], [`policy::keda`]).
//!
//! Deliberately absent: the cost of the queue itself (a lease takes no time), nodes, and everything that is the same for all policies.

mod chance;
mod figures;
pub mod plot;
pub mod policy;
pub mod report;
#[cfg(test)]
mod tests;
pub mod trace;
mod world;

pub use figures::Figures;
pub use policy::{POLICIES, Policy};
pub use report::Report;
pub use trace::Trace;
pub use world::run;
