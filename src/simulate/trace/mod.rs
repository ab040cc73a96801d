//! What happens to a pool: a small text file.
//!
//! ```text
//! # A burst, every 11 minutes.
//! about    2,000 activities at once into an empty pool
//! length   1h
//! slots    10
//! start    3s..5s
//! burst    at=1m every=11m count=2000 slot=500ms
//! ```
//!
//! A line is a word and what it says. `docs/scaling.md` lists the words.

mod builtin;
mod items;
mod read;

pub use builtin::{BUILTIN, builtin};
pub use items::Item;
pub use read::TraceError;

use crate::api::DurationMs;
use crate::machine::scaling::{Limits, Settings, Slots, Unfit};

/// A pool, and what comes to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// Of the file, without its ending.
    pub name: String,
    /// One line for people.
    pub about: String,
    /// Arrivals end then; the simulation when all work is done.
    pub length: DurationMs,
    /// Of one pod.
    pub slots: u32,
    /// Fewest pods.
    pub min: u32,
    /// Most pods.
    pub max: u32,
    /// Of our own decision: what the pool would say, absent as there.
    pub target: Option<DurationMs>,
    /// Likewise.
    pub fall_window: Option<DurationMs>,
    /// Likewise.
    pub zero_window: Option<DurationMs>,
    /// From the wish for a pod until it is ready: evenly between these.
    pub start: (DurationMs, DurationMs),
    /// From SIGTERM to the end of a pod.
    pub grace: DurationMs,
    /// This share of the pods runs so many times slower.
    pub slow: Option<(f64, f64)>,
    /// This share of the pods starts so much later, and is seen to be in trouble until then.
    pub fail: Option<(f64, DurationMs)>,
    /// The cluster has room for so many pods.
    pub room: Option<u32>,
    /// What comes.
    pub work: Vec<Work>,
}

impl Trace {
    /// What the pool says of its size.
    pub fn limits(&self) -> Result<Limits, Unfit> {
        let slots = Slots { activities: self.slots, ..Slots::default() };
        let Self { target, fall_window, zero_window, .. } = *self;
        let (min, max) = (Some(self.min), Some(self.max));
        Settings { min, max, target, fall_window, zero_window, slots, ..Settings::default() }.try_into()
    }
}

/// Work that comes in some way.
#[derive(Debug, Clone, PartialEq)]
pub struct Work {
    /// When.
    pub comes: Comes,
    /// How long each occupies a slot, on a pod of normal speed.
    pub slot: Slot,
}

/// When work comes.
#[derive(Debug, Clone, PartialEq)]
pub enum Comes {
    /// Independently of each other, at a rate per second that goes straight from the one to the other in each period.
    Flow {
        /// The first moment.
        from: DurationMs,
        /// The last one.
        to: DurationMs,
        /// At the begin and at the end of a period.
        rate: (f64, f64),
        /// After which it begins anew.
        period: DurationMs,
    },
    /// Likewise, at a rate that swings between the two as a sine does, from the lower one on.
    Wave {
        /// Of one swing.
        period: DurationMs,
        /// Lowest and highest.
        rate: (f64, f64),
    },
    /// Many at once.
    Burst {
        /// The first time.
        at: DurationMs,
        /// And again.
        every: Option<DurationMs>,
        /// How many.
        count: u32,
        /// The queue has known of them since the beginning: they are timers.
        timers: bool,
    },
}

/// How long work occupies a slot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Slot {
    /// Always the same.
    Fixed(DurationMs),
    /// Exponentially distributed, with this mean.
    Exponential(DurationMs),
    /// Pareto: at least so long, with this exponent (the smaller, the heavier the tail); cut off at 5 minutes.
    Pareto(DurationMs, f64),
}
