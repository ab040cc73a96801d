//! The decisions, pure: (state, event, now) to (next state, effects). No I/O, no clock, no randomness.
//!
//! Owns the tables of transitions and the records that the store keeps. A store makes these decisions atomic; the embedded
//! store calls them, the scripts of the Redis store restate them, and the model test holds the two against each other.

pub mod activity;
pub mod commit;
mod layout;
pub mod message;
pub mod record;
pub mod retry;
pub mod run;
pub mod scaling;
pub mod shorthand;
pub mod turn;
