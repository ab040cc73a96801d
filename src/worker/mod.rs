//! The worker: it polls the queue service, takes turns on event-loop threads, runs activities, and commits.

pub mod engine;
