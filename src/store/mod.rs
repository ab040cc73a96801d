//! The truth about runs. One narrow port, [`Store`]; two stores behind it.
//!
//! Every operation is atomic, checks everything before its first write, and is safe to repeat when its answer was lost.
//! Deliberately absent: decisions about retries and next states (they come as arguments, made in `machine` and `queue`).

mod born;
pub mod chain;
pub mod crash;
pub mod embedded;
pub mod op;
pub mod port;
pub(crate) mod recent;
pub mod redis;

pub use embedded::{EmbeddedConfig, EmbeddedStore};
pub use port::{Store, StoreError};
