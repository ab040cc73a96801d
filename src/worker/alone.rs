//! A turn in a process of its own, for a run in whose turns workers have died: whatever happens to that process, this one lives.
//!
//! The child is this program with the argument [`ARGUMENT`]. It reads one JSON text from its standard input, takes the turn,
//! and writes one to its standard output.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

use super::engine::{Engine as _, EngineLimits, QuickJsEngine, TurnInput, TurnOutcome};
use super::loops::STACK_BYTES;
use crate::telemetry::crash;

/// The command by which this program takes a turn as a child.
pub const ARGUMENT: &str = "turn";
/// CPU seconds for the start of the child, and for what the engine's own limit does not see.
const CPU_GRACE_SECONDS: u64 = 10;

/// What the child is asked.
#[derive(Serialize, Deserialize)]
struct Order {
    limits: EngineLimits,
    input: TurnInput,
}

/// How turns are taken alone.
#[derive(Debug, Clone)]
pub(super) struct Alone {
    program: PathBuf,
    limits: EngineLimits,
}

impl Alone {
    /// With this program, as it lies on the disk now.
    pub(super) fn new(limits: EngineLimits) -> std::io::Result<Self> {
        Ok(Self { program: std::env::current_exe()?, limits })
    }

    /// Takes a turn. An error says how the child died; it holds no thread for longer than the turn's own limits and some seconds.
    pub(super) fn turn(&self, input: TurnInput) -> Result<TurnOutcome, String> {
        if input.journal.is_none() {
            return Ok(TurnOutcome::NotCached);
        }
        let failed = |doing: &str, e: &dyn std::fmt::Display| format!("failed to {doing}: {e}");
        let order = serde_json::to_vec(&Order { limits: self.limits.clone(), input }).map_err(|e| failed("write the turn", &e))?;
        let mut command = Command::new(&self.program);
        command.arg(ARGUMENT).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().map_err(|e| failed("start a process", &e))?;
        // It reads everything before it writes, and one that has died reads nothing more: its end says so below.
        let _ = child.stdin.take().map(|mut input| input.write_all(&order));
        let output = child.wait_with_output().map_err(|e| failed("wait for the process", &e))?;
        if !output.status.success() {
            return Err(format!("its process ended by {}", output.status));
        }
        serde_json::from_slice(&output.stdout).map_err(|e| failed("read the process's answer", &e))
    }
}

/// The child's whole life.
///
/// # Errors
/// When the order cannot be read or the answer not be written.
pub fn serve() -> std::io::Result<()> {
    let mut text = Vec::new();
    std::io::stdin().read_to_end(&mut text)?;
    let Order { limits, input } = serde_json::from_slice(&text)?;
    keep_in_bounds(&limits, &input);
    let turn = move || {
        crash::turn_of(input.run.id.as_str());
        let mut engine = QuickJsEngine::new(limits);
        loop {
            match engine.turn(input.clone()) {
                // Nobody else waits here.
                TurnOutcome::Yielded => {}
                outcome => return outcome,
            }
        }
    };
    let thread = std::thread::Builder::new().name("loop-0".to_owned()).stack_size(STACK_BYTES).spawn(turn)?;
    let outcome = thread.join().map_err(|_| std::io::Error::other("the engine broke"))?;
    std::io::stdout().write_all(&serde_json::to_vec(&outcome)?)
}

/// A turn that hangs in native code is ended by the system, and where memory is short this process is the one that goes.
fn keep_in_bounds(limits: &EngineLimits, input: &TurnInput) {
    let turns = u64::from(input.number) + 1;
    let seconds = limits.turn_cpu_ms.saturating_mul(turns) / 1_000 + CPU_GRACE_SECONDS;
    // A system that grants neither is no reason to take no turn.
    let _ = setrlimit(Resource::Cpu, Rlimit { current: Some(seconds), maximum: getrlimit(Resource::Cpu).maximum });
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
}
