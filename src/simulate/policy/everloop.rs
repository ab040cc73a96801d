//! Ours: the operator's own decision, with the defaults of a pool unless the trace says otherwise.

use super::{Policy, Seen};
use crate::api::TimeMs;
use crate::machine::scaling::{Heard, Limits, Memory, decide};
use crate::simulate::trace::Trace;

/// See the module.
pub struct Everloop {
    limits: Limits,
    memory: Memory,
}

impl Everloop {
    /// Nothing is set but what the trace says of the pool.
    #[must_use]
    pub fn of(trace: &Trace) -> Self {
        let limits = trace.limits().expect("a trace that was read has a pool that is fit");
        Self { limits, memory: Memory::of(0, TimeMs(0)) }
    }
}

impl Policy for Everloop {
    fn name(&self) -> &'static str {
        "everloop"
    }

    fn wanted(&mut self, seen: &Seen<'_>) -> u32 {
        let heard = Heard { signals: seen.signals.clone(), at: seen.now };
        let (decision, memory) = decide(&self.limits, seen.fleet, Some(&heard), self.memory.clone(), seen.now);
        self.memory = memory;
        decision.wanted
    }

    fn is_pushed(&self) -> bool {
        true
    }

    fn drains(&self) -> bool {
        true
    }
}
