//! Reading a source in a process of its own: a parser that dies or hangs on hostile text takes nobody with it.
//!
//! The child is this program with the argument [`ARGUMENT`]. It reads one definition as JSON from its standard input, and writes the
//! findings as JSON to its standard output.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::sync::Semaphore;

use crate::api::definition::Definition;
use crate::api::error::Finding;
use crate::source::{SOURCE_PLACE, check};
use crate::telemetry::crash;

/// The command by which this program checks a source as a child.
pub(super) const ARGUMENT: &str = "check-source";
/// The longest source takes some 100 ms.
const CPU_SECONDS: u64 = 10;
const WAIT: Duration = Duration::from_secs(30);
/// What one may allocate: the longest source of usual code needs two thirds of it. Together with [`AT_ONCE`] well under the memory that
/// the operator's pod has, since the kernel ends the whole pod when that is used up.
const MEMORY_BYTES: u64 = 80 << 20;
/// Sources that are read at once.
const AT_ONCE: usize = 2;

static PLACES: Semaphore = Semaphore::const_new(AT_ONCE);
static DEADLY: Deadly = Deadly(Mutex::new(BTreeMap::new()));

/// Texts whose reader died, by their digest, and how. Each takes all that a reader may have, and a place: it is not read again for a
/// while, so that a few of them do not hold up everybody.
#[derive(Debug)]
struct Deadly(Mutex<BTreeMap<[u8; 32], (Instant, String)>>);

impl Deadly {
    /// How long; the death may have had another cause.
    const FOR: Duration = Duration::from_mins(5);
    /// Texts that are remembered; beyond it all are forgotten.
    const TEXTS_MAX: usize = 1_024;

    fn lock(&self) -> MutexGuard<'_, BTreeMap<[u8; 32], (Instant, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, digest: &[u8; 32], now: Instant) -> Option<String> {
        let mut all = self.lock();
        all.retain(|_, (at, _)| now.saturating_duration_since(*at) < Self::FOR);
        all.get(digest).map(|(_, how)| how.clone())
    }

    fn put(&self, digest: [u8; 32], now: Instant, how: &str) {
        let mut all = self.lock();
        if all.len() >= Self::TEXTS_MAX {
            all.clear();
        }
        all.insert(digest, (now, how.to_owned()));
    }
}

/// What is wrong with a definition, or how the process that read it ended.
///
/// # Errors
/// There is no such process.
pub(super) async fn findings(definition: &Definition) -> std::io::Result<Result<Vec<Finding>, String>> {
    let text = serde_json::to_vec(definition)?;
    let digest = Sha256::digest(&text).into();
    if let Some(how) = DEADLY.get(&digest, Instant::now()) {
        return Ok(Err(how));
    }
    let found = read(&text).await?;
    if let Err(how) = &found {
        DEADLY.put(digest, Instant::now(), how);
    }
    Ok(found)
}

async fn read(text: &[u8]) -> std::io::Result<Result<Vec<Finding>, String>> {
    let _place = PLACES.acquire().await;
    let mut child = Command::new(std::env::current_exe()?)
        .arg(ARGUMENT)
        // Its allocator takes from the system what is asked for, and not at first a reserve that is larger than the bound.
        .env("MIMALLOC_DISALLOW_ARENA_ALLOC", "1")
        // Who is out of memory has none to print a backtrace, and waits for ever.
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        // It reads everything before it writes, and one that has died reads nothing more: its end says so below.
        let _ = input.write_all(text).await;
    }
    let Ok(output) = tokio::time::timeout(WAIT, child.wait_with_output()).await else {
        return Ok(Err(format!("it takes more than {} s", WAIT.as_secs())));
    };
    let output = output?;
    if !output.status.success() {
        let bounds = format!("with {} MiB of memory and {CPU_SECONDS} s of time", MEMORY_BYTES >> 20);
        return Ok(Err(format!("the process that read it, {bounds}, ended by {}", output.status)));
    }
    Ok(Ok(serde_json::from_slice(&output.stdout)?))
}

/// The child's whole life.
///
/// # Errors
/// When the definition cannot be read or the answer not be written.
pub fn serve() -> std::io::Result<()> {
    let mut text = Vec::new();
    std::io::stdin().read_to_end(&mut text)?;
    let definition: Definition = serde_json::from_slice(&text)?;
    // A system that grants none of them is no reason to check nothing.
    for (resource, limit) in [(Resource::Cpu, CPU_SECONDS), (Resource::Data, MEMORY_BYTES), (Resource::Core, 0)] {
        let _ = setrlimit(resource, Rlimit { current: Some(limit), maximum: getrlimit(resource).maximum });
    }
    crash::reading(&definition.source);
    std::io::stdout().write_all(&serde_json::to_vec(&check(&definition, SOURCE_PLACE))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_killed_its_reader_is_left_alone_for_a_while() {
        let (deadly, start) = (Deadly(Mutex::default()), Instant::now());
        let (text, other) = ([1; 32], [2; 32]);
        assert_eq!(deadly.get(&text, start), None);
        deadly.put(text, start, "signal: 9");
        assert_eq!(deadly.get(&text, start + Duration::from_secs(299)).as_deref(), Some("signal: 9"));
        assert_eq!(deadly.get(&other, start), None);
        assert_eq!(deadly.get(&text, start + Deadly::FOR), None, "then it is read again");
        for number in 0..Deadly::TEXTS_MAX {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&number.to_le_bytes());
            deadly.put(digest, start, "signal: 9");
        }
        assert_eq!(deadly.lock().len(), Deadly::TEXTS_MAX);
        deadly.put(other, start, "signal: 9");
        assert_eq!(deadly.lock().len(), 1, "it is bounded");
    }
}
