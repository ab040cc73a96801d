//! Processes that end with the race, by whatever way it ends.

use std::fs::File;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Longest wait for a process to serve.
pub const READY_WITHIN: Duration = Duration::from_mins(1);

/// `nobody` of Debian: peers that refuse to be root, or should not be it.
const NOBODY: u32 = 65_534;

/// When somebody wants the race to end.
pub async fn interrupted() {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).expect("signals of Unix");
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

/// Memory of a process, in bytes.
pub fn resident_bytes(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process of ours");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells");
    line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") * 1_024.0
}

/// Milliseconds since 1970.
pub fn now_ms() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs_f64() * 1_000.0
}

/// A command that runs without privileges, and is killed by the kernel when this process dies without having ended it.
pub fn unprivileged(program: impl AsRef<Path>, folder: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if rustix::process::geteuid().is_root() {
        command.args([format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"), "--clear-groups".into()]);
    }
    command.arg("--").arg(program.as_ref()).current_dir(folder).stdin(Stdio::null()).env("HOME", folder);
    command
}

/// A folder under the temporary one that such a command may write.
pub fn folder() -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("everloop-race-").tempdir().expect("a temporary folder");
    give(folder.path());
    folder
}

/// Hands a file or folder to who the processes are.
pub fn give(path: &Path) {
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).expect("root may give files away");
    }
}

/// How many processes were started before.
fn started() -> u32 {
    static STARTED: AtomicU32 = AtomicU32::new(0);
    STARTED.fetch_add(1, Ordering::Relaxed)
}

pub struct Process {
    pub name: &'static str,
    pub child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it, its output going to a log in the folder.
    pub fn start(name: &'static str, mut command: Command, folder: &Path) -> Self {
        let log = folder.join(format!("{name}-{}.log", started()));
        let file = File::create(&log).expect("a log");
        command.stderr(file.try_clone().expect("a file"));
        if !command.get_envs().any(|(name, _)| name == "RACE_SPEAKS") {
            command.stdout(file);
        }
        let child = command.spawn().unwrap_or_else(|e| panic!("{name} does not start: {e}"));
        Self { name, child, log }
    }

    /// Waits until it listens on a port of this machine.
    pub async fn listens(&mut self, port: u16) {
        self.until("listen", || TcpStream::connect(("127.0.0.1", port)).is_ok()).await;
    }

    /// Waits for a condition, as long as it lives.
    pub async fn until(&mut self, what: &str, mut done: impl FnMut() -> bool) {
        let deadline = Instant::now() + READY_WITHIN;
        while !done() {
            self.must_live();
            assert!(Instant::now() < deadline, "{} does not {what}: {}", self.name, self.last_words());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn must_live(&mut self) {
        if let Ok(Some(status)) = self.child.try_wait() {
            panic!("{} ended, {status}: {}", self.name, self.last_words());
        }
    }

    /// The end of its log.
    pub fn last_words(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&text[text.len().saturating_sub(2_000)..]).into_owned()
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
