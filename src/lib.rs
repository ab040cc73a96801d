//! Everloop: an event loop that does not die.

pub mod api;
pub mod client;
pub mod crd;
pub mod machine;
pub mod queue;
pub mod source;
pub mod store;
pub mod telemetry;
pub mod worker;
