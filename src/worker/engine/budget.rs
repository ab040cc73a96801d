//! The limits of one turn, seen from outside of JavaScript: whatever the code catches, a breach stays noted.

use std::cell::Cell;
use std::rc::Rc;

use crate::api::{DurationMs, RunError};

use super::heap::Heap;
use super::seam::EngineLimits;

/// Which limit a turn went over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breach {
    Cpu,
    Heap,
    Stack,
    Commands,
}

/// The type of the error of every breach.
pub const TURN_LIMIT_EXCEEDED: &str = "TurnLimitExceeded";

impl Breach {
    /// The error that the run fails with when it happens again.
    pub fn to_error(self, limits: &EngineLimits) -> RunError {
        let message = match self {
            Self::Cpu => format!(
                "one turn used more than {} of CPU: do heavy work in an activity, and look for a loop that never awaits",
                DurationMs(limits.turn_cpu_ms)
            ),
            Self::Heap => format!(
                "the run needs more than {} of heap: keep large data behind activities and pass references to it",
                size(limits.run_heap_bytes)
            ),
            Self::Stack => format!(
                "the code needs more than {} of stack: look for a recursion that does not end, or turn it into a loop",
                size(limits.run_stack_bytes)
            ),
            Self::Commands => format!(
                "one turn asked for more than {} activities and timers: start them in batches and await each batch",
                limits.turn_commands
            ),
        };
        RunError::new(TURN_LIMIT_EXCEEDED, message)
    }
}

fn size(bytes: usize) -> String {
    if bytes >= 1 << 20 && bytes.is_multiple_of(1 << 20) { format!("{} MiB", bytes >> 20) } else { format!("{} KiB", bytes >> 10) }
}

/// What the turn in execution may still use.
#[derive(Debug)]
pub struct Budget {
    heap: Rc<Heap>,
    cpu_deadline_us: Cell<u64>,
    breach: Cell<Option<Breach>>,
}

impl Budget {
    pub fn new(heap: Rc<Heap>) -> Self {
        Self { heap, cpu_deadline_us: Cell::new(u64::MAX), breach: Cell::new(None) }
    }

    /// A turn begins, live or replayed: it has its CPU time from now on.
    pub fn begin(&self, turn_cpu_ms: u64) {
        self.cpu_deadline_us.set(cpu_us().saturating_add(turn_cpu_ms.saturating_mul(1000)));
    }

    /// Nothing runs any more: what was noted.
    pub fn end(&self) -> Option<Breach> {
        self.cpu_deadline_us.set(u64::MAX);
        self.breach()
    }

    /// Notes a breach; the first one counts.
    pub fn note(&self, breach: Breach) {
        if self.breach.get().is_none() {
            self.breach.set(Some(breach));
        }
    }

    /// What was noted so far. Cheap.
    pub fn breach(&self) -> Option<Breach> {
        if self.breach.get().is_none() && self.heap.is_exceeded() {
            self.breach.set(Some(Breach::Heap));
        }
        self.breach.get()
    }

    /// Looks at the clock as well: what the interpreter asks every few thousand steps. True stops the code, which cannot catch it.
    pub fn must_stop(&self) -> bool {
        if self.breach().is_none() && cpu_us() > self.cpu_deadline_us.get() {
            self.note(Breach::Cpu);
        }
        self.breach.get().is_some()
    }
}

/// CPU time of this thread, in microseconds: another process that is busy does not fail a run.
#[cfg(unix)]
pub fn cpu_us() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec).unwrap_or_default() * 1_000_000 + u64::try_from(time.tv_nsec).unwrap_or_default() / 1000
}

#[cfg(not(unix))]
pub fn cpu_us() -> u64 {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    u64::try_from(START.get_or_init(std::time::Instant::now).elapsed().as_micros()).unwrap_or(u64::MAX)
}
