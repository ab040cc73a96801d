//! Script activities: JavaScript with `fetch`, on threads of their own; what settles at once, where it is called.
//!
//! Each thread has one QuickJS runtime with a realm per activity and version, and runs one call's code at a time until it
//! waits; many calls wait at once. Code that reaches a limit costs its thread the whole runtime: the calls beside it are
//! handed back, and from then on its activity runs on a thread for such activities, where it can disturb only its like.

mod at_once;
mod fetch;
mod machine;
mod realm;
mod thread;

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::{Came, Done, Task};
use crate::api::Version;
pub(in crate::worker) use at_once::AtOnce;
use fetch::Fetcher;
use thread::ToThread;

/// Code of QuickJS and of this file, with room for what the interpreter does beside its own count.
const STACK_BYTES: usize = 8 << 20;
/// Activities that are remembered for having reached a limit.
const STRUCK_MAX: usize = 10_000;

/// Which realm: the version and the activity's name.
type RealmKey = (Version, Arc<str>);

/// Activities that have reached a limit.
type Struck = Arc<Mutex<HashSet<(Version, String)>>>;

/// See the module.
#[derive(Debug)]
pub(super) struct Pool {
    threads: Vec<UnboundedSender<ToThread>>,
    /// For activities that have reached a limit.
    apart: UnboundedSender<ToThread>,
    struck: Struck,
    next: AtomicUsize,
    calls: AtomicU64,
}

/// A call under way.
#[derive(Debug)]
pub(in crate::worker) struct Call {
    thread: UnboundedSender<ToThread>,
    number: u64,
}

impl Call {
    /// Ends it; nothing is told any more.
    pub(super) fn stop(self) {
        let _ = self.thread.send(ToThread::Stop(self.number));
    }
}

/// Who is to be told. When it is dropped untold, the attempt is handed back: a thread that breaks loses nothing.
pub(super) struct Reply(Option<Done>);

impl Reply {
    /// Tells it.
    fn tell(mut self, came: Came) {
        if let Some(done) = self.0.take() {
            done(came);
        }
    }

    /// Nobody wants to know any more.
    fn forget(mut self) {
        self.0 = None;
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(done) = self.0.take() {
            done(Came::HandBack);
        }
    }
}

impl Pool {
    /// Starts `count` threads and the one apart. Fetches run on the runtime that this is called in.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up, or the system gives no thread.
    pub(super) fn start(count: usize, allow_local: bool) -> Result<Self, crate::worker::Error> {
        let fetcher = Fetcher::new(allow_local)?;
        let struck = Struck::default();
        let start = |name: String| -> Result<UnboundedSender<ToThread>, std::io::Error> {
            #[expect(clippy::disallowed_methods, reason = "each call holds an activity slot: the slots are the bound")]
            let (sender, receiver) = unbounded_channel();
            let (fetcher, struck, own) = (fetcher.clone(), struck.clone(), sender.downgrade());
            std::thread::Builder::new().name(name).stack_size(STACK_BYTES).spawn(move || thread::run(receiver, &own, &fetcher, &struck))?;
            Ok(sender)
        };
        let threads = (0..count.max(1)).map(|i| start(format!("script-{i}"))).collect::<Result<_, _>>()?;
        let apart = start("script-apart".to_owned())?;
        Ok(Self { threads, apart, struck, next: AtomicUsize::new(0), calls: AtomicU64::new(0) })
    }

    /// Starts a call.
    pub(super) fn call(&self, task: Task, done: Done) -> Call {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let name = task.work.name.as_deref().unwrap_or_default();
        let is_struck = {
            let struck = self.struck.lock().unwrap_or_else(PoisonError::into_inner);
            !struck.is_empty() && struck.contains(&(task.work.version.clone(), name.to_owned()))
        };
        let thread = if is_struck {
            self.apart.clone()
        } else {
            self.threads[self.next.fetch_add(1, Ordering::Relaxed) % self.threads.len()].clone()
        };
        // A thread that is gone drops the message, and with it the reply, which hands the attempt back.
        let _ = thread.send(ToThread::Call(Box::new(thread::NewCall { number, task, reply: Reply(Some(done)) })));
        Call { thread, number }
    }
}
