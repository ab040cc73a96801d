//! What goes into the engine and what comes out of it: data, and nothing that lives.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::api::journal::{Command, Entry, Event, Log};
use crate::api::run::Blocked;
use crate::api::{Definition, Head, RunError, RunKey, TimeMs, Uid, Version, limits};

/// One turn to take.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TurnInput {
    /// The run.
    pub run: RunKey,
    /// Seeds randomness; a cached context of another uid is not this run's.
    pub uid: Uid,
    /// The workflow's name: the module is called `<workflow>.js` in stacks.
    pub workflow: String,
    /// The version.
    pub version: Version,
    /// The definition of that version.
    pub definition: Arc<Definition>,
    /// The head that this turn is computed from. A cached context is used only when it stands at exactly this head.
    pub base: Head,
    /// The head that the commit of this turn will make. The cached context stands there afterwards.
    pub turn: Head,
    /// The number of the turn: how many entries the journal has.
    pub number: u32,
    /// The time inside of the turn.
    pub at: TimeMs,
    /// The journal so far. `None`: the caller believes that the context is cached; the engine answers
    /// [`TurnOutcome::NotCached`] when it is not.
    pub journal: Option<Arc<Vec<Entry>>>,
    /// What has happened since, in order, applied one by one.
    pub events: Vec<Event>,
}

/// What became of a turn.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum TurnOutcome {
    /// It ran; commit this. The context is kept, standing at [`TurnInput::turn`].
    Done(TurnOutput),
    /// The context is not in memory: call again with the journal.
    NotCached,
    /// The replay has had its slice and goes on at the next call with the same input: let others go first.
    Yielded,
    /// The code and the journal disagree, or the source does not load: the run must be blocked. The context is gone.
    Blocked(Blocked),
    /// The turn exceeded a limit (`TurnLimitExceeded`: CPU, heap, stack, commands). Nothing of it may be committed; the
    /// runtime was thrown away with all its contexts. The caller tries once more (`strike`), then fails the run with the error.
    LimitExceeded(RunError),
    /// The replay exceeded a limit, though the same turns were within it once: this worker is slower, or smaller. Never the end of the
    /// run. The caller tries once more, then blocks the run.
    ReplayLimitExceeded(RunError),
}

/// What a turn asked for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct TurnOutput {
    /// In order, numbered from the run's next command number. A closing command, if any, is the last.
    pub commands: Vec<Command>,
    /// What the code wrote to its console in this turn; never that of replayed turns.
    pub logs: Vec<Log>,
    /// Names of signals that the code has ever asked for (`signal`, `onSignal`) and that are open now.
    pub listening: Vec<String>,
    /// Signals of the mailbox that nobody has read when the run closes: for a warning.
    pub unread_signals: Vec<String>,
}

/// Bounds of one engine; see [`limits`] for the defaults.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EngineLimits {
    /// CPU milliseconds of one turn; replay has the same bound per replayed turn.
    pub turn_cpu_ms: u64,
    /// Bytes of heap that one run may add.
    pub run_heap_bytes: usize,
    /// Bytes of stack.
    pub run_stack_bytes: usize,
    /// Bytes of all cached contexts of this engine, after which the least recently used ones go.
    pub cache_bytes: usize,
    /// Commands of one turn.
    pub turn_commands: usize,
    /// CPU milliseconds that a replay takes before it lets others go first; at least one turn is replayed.
    pub replay_slice_ms: u64,
}

impl Default for EngineLimits {
    fn default() -> Self {
        Self {
            turn_cpu_ms: limits::TURN_CPU.0,
            run_heap_bytes: limits::RUN_HEAP_BYTES_MAX,
            run_stack_bytes: limits::RUN_STACK_BYTES_MAX,
            cache_bytes: 512 << 20,
            turn_commands: limits::TURN_COMMANDS_MAX,
            replay_slice_ms: limits::REPLAY_SLICE.0,
        }
    }
}

/// One event loop: it stays on its thread and takes one turn at a time. Deterministic: equal inputs give equal outputs.
pub trait Engine {
    /// Takes a turn. Never panics because of what the code does.
    fn turn(&mut self, input: TurnInput) -> TurnOutcome;
    /// Forgets a run: its commit was refused, or it was closed.
    fn evict(&mut self, uid: &Uid);
    /// Runs in memory, and their bytes.
    fn cached(&self) -> (usize, usize);
}
