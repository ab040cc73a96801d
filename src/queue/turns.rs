//! From a worker's turn to the store's.

use std::collections::BTreeMap;

use super::service::Service;
use crate::api::worker::{INVALID, TurnCommit};
use crate::api::{Command, Definition, RunKey, limits};
use crate::machine::commit::Refusal;
use crate::machine::turn::{EntryHead, effects, entry_text};
use crate::store::StoreError;
use crate::store::op::Turn;

/// Why a turn does not even go to the store.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// The worker sent what no worker of this release sends: the reason goes back to it.
    #[error("{0}")]
    Refused(String),
    /// The definition could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Service {
    /// Composes the store's turn.
    ///
    /// # Errors
    /// [`Unfit`].
    pub async fn turn(&self, run: &RunKey, worker: &str, turn: TurnCommit) -> Result<Turn, Unfit> {
        check(&turn)?;
        let asks = turn.commands.iter().any(|command| matches!(command, Command::ScheduleActivity { .. }));
        let known = if asks { self.definitions.known(&*self.store, &turn.version).await? } else { None };
        if asks && known.is_none() {
            return Err(Unfit::Refused(format!("{INVALID}VersionNotFound: no version {}", turn.version.short())));
        }
        let nothing = Definition { source: String::new(), activities: BTreeMap::default() };
        let declared = known.as_ref().map_or(&nothing, |known| &known.declared);
        let effects = effects(&turn.commands, declared, &run.namespace, turn.at).map_err(|unknown| {
            // The cached definition has no source, so its hash is not the version's.
            let unknown = crate::machine::turn::UnknownActivity { version: turn.version.short().to_owned(), ..unknown };
            Unfit::Refused(format!("{INVALID}UnknownActivity: {unknown}"))
        })?;
        let head = EntryHead { turn: turn.number, id: turn.id, at: turn.at, worker, birth: turn.birth, continued: turn.continued };
        Ok(Turn {
            base: turn.base,
            id: turn.id,
            at: turn.at,
            entry: entry_text(head, &turn.commands, &turn.logs),
            consumed: turn.consumed,
            next_command: turn.next_command,
            schedule: effects.schedule,
            timers: effects.timers,
            cancel_timers: effects.cancel_timers,
            signals: effects.signals,
            close: effects.close,
            continued: turn.continued,
            seen: turn.seen,
        })
    }
}

/// The bounds of a turn, and that its numbers fit together.
fn check(turn: &TurnCommit) -> Result<(), Unfit> {
    let refuse = |why: String| Err(Unfit::Refused(format!("{INVALID}{why}")));
    if turn.commands.len() > limits::COMMIT_COMMANDS_MAX {
        return refuse(format!("TooManyCommands: {} in one commit, {} are allowed", turn.commands.len(), limits::COMMIT_COMMANDS_MAX));
    }
    let first = turn.next_command.checked_sub(u32::try_from(turn.commands.len()).unwrap_or(u32::MAX));
    let Some(first) = first else {
        return refuse(format!("InvalidNumbers: {} commands end at {}", turn.commands.len(), turn.next_command));
    };
    let closes = turn.commands.last().is_some_and(Command::closes);
    if !closes && turn.next_command > limits::JOURNAL_COMMANDS_MAX {
        return Err(Unfit::Refused(format!("{:?}", Refusal::JournalFull)));
    }
    for (command, expected) in turn.commands.iter().zip(first..) {
        if command.number() != expected {
            return refuse(format!("InvalidNumbers: command {} stands where {expected} is due", command.number()));
        }
        if command.closes() && (turn.continued || expected + 1 != turn.next_command) {
            return refuse(format!("InvalidNumbers: command {expected} closes the run and is not the last"));
        }
        let payload = match command {
            Command::ScheduleActivity { argument, .. } => Some(argument),
            Command::Complete { result, .. } => Some(result),
            Command::SignalRun { payload, .. } => Some(payload),
            Command::Fail { .. } | Command::Cancel { .. } | Command::StartTimer { .. } | Command::CancelTimer { .. } => None,
        };
        if let Some(Err(error)) = payload.map(crate::api::Json::check) {
            return refuse(format!("PayloadTooLarge: command {expected}: {error}"));
        }
    }
    Ok(())
}
