//! Why the engine stops in the middle, and errors of JavaScript as text.

use rquickjs::{CaughtError, Ctx};

use crate::api::run::Blocked;

use super::budget::{Breach, Budget};

/// Why a turn or a replay went no further.
#[derive(Debug)]
pub enum Stop {
    /// A limit: the runtime must go.
    Breach(Breach),
    /// A limit in the replay of what was within it once: the runtime must go, and the run is not to blame.
    ReplayBreach(Breach),
    /// The replay differs from the journal: the message that the run is blocked with.
    Mismatch(String),
    /// A person is needed; the run's context must go.
    Blocked(Blocked),
}

/// The journal was written by a newer program.
pub const JOURNAL_TOO_NEW: &str = "JournalTooNew";
/// The engine failed where it must not: a bug.
pub const ENGINE_ERROR: &str = "EngineError";

impl Stop {
    pub fn blocked(reason: &str, message: impl Into<String>) -> Self {
        Self::Blocked(Blocked { reason: reason.to_owned(), message: message.into(), holders: Vec::new() })
    }

    pub fn broken_source(message: impl Into<String>) -> Self {
        Self::blocked(Blocked::BROKEN_SOURCE, message)
    }

    /// An error of `rquickjs` where the user's code is not to blame, unless a limit was reached, which may show up anywhere.
    pub fn internal(budget: &Budget, ctx: &Ctx<'_>, doing: &str, error: rquickjs::Error) -> Self {
        match budget.breach() {
            Some(breach) => {
                ctx.catch();
                Self::Breach(breach)
            }
            None => Self::blocked(ENGINE_ERROR, format!("failed to {doing}: {}", describe(ctx, error))),
        }
    }
}

/// An error with its stack, as a text for people. Takes a pending exception out of the context.
pub fn describe(ctx: &Ctx<'_>, error: rquickjs::Error) -> String {
    match CaughtError::from_error(ctx, error) {
        CaughtError::Exception(exception) => {
            let name = exception.as_object().get::<_, String>("name").unwrap_or_else(|_| "Error".into());
            ctx.catch();
            let message = exception.message().unwrap_or_default();
            let stack = exception.stack().unwrap_or_default();
            format!("{name}: {message}\n{stack}").trim_end().to_owned()
        }
        CaughtError::Value(value) => format!("{value:?} was thrown"),
        CaughtError::Error(error) => error.to_string(),
    }
}
