//! What operators look at: logs, metrics, and the signals that stop a process.
//!
//! Owns the names of all metrics. Deliberately absent: tracing over process borders.

pub mod crash;
pub mod link;
pub mod logs;
pub mod metrics;
pub mod shutdown;
