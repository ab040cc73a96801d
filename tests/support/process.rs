//! A process of a test's own, and a port for it.

#![allow(dead_code, reason = "not every test group does everything to its processes")]

mod port;

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub use self::port::free_port;

/// A process of ours, killed by its id when it is dropped.
pub struct Process {
    child: Child,
    pub name: String,
}

impl Process {
    pub fn spawn(name: &str, command: &mut Command) -> Self {
        let child = command.stdin(Stdio::null()).spawn().unwrap_or_else(|e| panic!("{name} does not start: {e}"));
        Self::of(name, child)
    }

    /// One that runs already.
    pub fn of(name: &str, child: Child) -> Self {
        Self { child, name: name.to_owned() }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by number.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.id()).expect("a process id")).expect("not zero");
        rustix::process::kill_process(pid, signal).unwrap_or_else(|e| panic!("signal to {}: {e}", self.name));
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for the end; the exit code.
    pub fn wait(&mut self, limit: Duration) -> Option<i32> {
        let deadline = Instant::now() + limit;
        loop {
            match self.child.try_wait().expect("a child of ours") {
                Some(status) => return status.code(),
                None if Instant::now() > deadline => panic!("{} does not end within {limit:?}", self.name),
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
