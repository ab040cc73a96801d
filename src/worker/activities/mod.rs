//! Attempts at activities, one file per kind. Activities of kind `queue` never come here: other programs run them.
//!
//! Each attempt has a time, and what it comes to is an outcome; whether it is tried again is the service's decision.

mod address;
mod http;
mod outcome;
mod reply;
mod retry_after;
mod script;
mod template;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::Handle;

use crate::api::Definition;
use crate::api::definition::Kind;
use crate::api::worker::{ActivityWork, AttemptOutcome};

pub(super) use script::AtOnce;

/// Told when an attempt says that it lives.
#[derive(Clone)]
pub(super) struct Alive(pub(super) Arc<dyn Fn() + Send + Sync>);

impl std::fmt::Debug for Alive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Alive")
    }
}

/// An attempt to run. Its name and argument are in it.
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub(super) work: ActivityWork,
    pub(super) definition: Arc<Definition>,
    /// Its end at the latest, wherever the time before went.
    pub(super) until: Instant,
    /// For its heartbeats.
    pub(super) alive: Alive,
}

/// How an attempt came back.
#[derive(Debug)]
pub(super) enum Came {
    /// With this outcome.
    Outcome(AttemptOutcome),
    /// Without one, through no fault of its own: it is handed back and uses up no attempt.
    HandBack,
}

/// Told once, unless the attempt is stopped before.
pub(super) type Done = Box<dyn FnOnce(Came) + Send>;

/// What runs attempts.
#[derive(Debug)]
pub(super) struct Runner {
    http: Arc<http::Http>,
    runtime: Handle,
    scripts: script::Pool,
}

/// An attempt under way.
#[derive(Debug)]
pub(super) enum Running {
    /// A task of its own.
    Task(tokio::task::AbortHandle),
    /// A call of a script.
    Script(script::Call),
    /// It had ended before it began.
    Over,
}

impl Running {
    /// Ends it; nothing is told any more.
    pub(super) fn stop(self) {
        match self {
            Self::Task(task) => task.abort(),
            Self::Script(call) => call.stop(),
            Self::Over => {}
        }
    }
}

impl Runner {
    /// Starts `threads` threads for scripts; what attempts wait for is waited for in the runtime of the caller. `allow_local`: activities may reach loopback and link-local addresses.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up, or the system gives no thread.
    pub(super) fn start(threads: usize, allow_local: bool) -> Result<Self, super::Error> {
        Ok(Self {
            http: Arc::new(http::Http::new(allow_local)?),
            runtime: Handle::current(),
            scripts: script::Pool::start(threads, allow_local)?,
        })
    }

    /// Starts an attempt.
    pub(super) fn start_attempt(&self, task: Task, done: Done) -> Running {
        let name = task.work.name.as_deref().unwrap_or_default();
        let kind = task.definition.activities.get(name).map(crate::api::definition::Activity::kind);
        match kind {
            Some(Ok(Kind::Http(_))) => {
                let http = self.http.clone();
                let run = async move {
                    let outcome = match tokio::time::timeout_at(task.until.into(), http.attempt(&task)).await {
                        Ok(outcome) => outcome,
                        Err(_) => outcome::timeout(task.work.timeout_ms),
                    };
                    done(Came::Outcome(outcome::bounded(outcome)));
                };
                Running::Task(self.runtime.spawn(run).abort_handle())
            }
            Some(Ok(Kind::Script(_))) => Running::Script(self.scripts.call(task, done)),
            Some(Ok(Kind::Queue(_)) | Err(_)) | None => {
                let message = format!("version {} has no activity {name:?} that a worker runs", task.work.version.short());
                done(Came::Outcome(outcome::failed_for_good("UnknownActivity", message)));
                Running::Over
            }
        }
    }
}
