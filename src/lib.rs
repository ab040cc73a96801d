//! Everloop: an event loop that does not die.

pub mod api;
pub mod crd;
pub mod source;
pub mod worker;
