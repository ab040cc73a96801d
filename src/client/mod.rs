//! The typed HTTP client of the queue service.

pub mod worker;
