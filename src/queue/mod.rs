//! The queue service: a stateless HTTP service in front of the store; the only program that talks to it.
//!
//! Requests come in through `border` (one place for ids, limits, errors and principals), `routes` extract, call the store and
//! map its answers, `loops` do what nobody asked for (timers, expired sessions, retention). Work that becomes ready travels in
//! the answer of a waiting poll: `waiters`, `stations` and `poller` know who waits and what may be waiting.
//!
//! Invariants: nothing here must survive; every replica can serve every request; a store that does not answer is *unknown*,
//! never *refused*. Deliberately absent: decisions about runs and attempts (they are in `machine`), and JavaScript.

mod apply;
mod border;
mod config;
mod definitions;
mod draining;
mod facts;
mod feeds;
mod gate;
mod grants;
mod loads;
mod loops;
mod metered;
mod outcome;
mod poller;
mod routes;
mod serve;
mod service;
mod sessions;
mod settling;
mod stations;
#[cfg(test)]
mod tests;
mod token;
mod turns;
mod unread;
mod view;
mod waiters;
mod wakes;
mod watchers;

pub use config::Config;
pub use routes::openapi::openapi;
pub use serve::{Error, run};
