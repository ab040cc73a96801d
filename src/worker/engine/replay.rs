//! Replay: the code runs over its journal, and must ask for what is written there, turn by turn, the end of each included.

use std::fmt::Write as _;

use crate::api::journal::{Command, Entry, FORMAT};

use super::errors::{JOURNAL_TOO_NEW, Stop};
use super::quickjs::FLAGS;
use super::seam::TurnInput;
use super::turn::Turn;

/// Commands before the first difference that the message shows.
const CONTEXT_COMMANDS: usize = 3;

/// Refuses journals of programs that know more than this one.
pub fn check_readable(entries: &[Entry]) -> Result<(), Stop> {
    if let Some(entry) = entries.iter().find(|entry| entry.v > FORMAT) {
        return Err(Stop::blocked(
            JOURNAL_TOO_NEW,
            format!(
                "turn {} of the journal is written in format {}, and this worker reads up to {FORMAT}.\n\n\
                 Upgrade the workers of the pool; then `everloop resume` this run.",
                entry.turn, entry.v
            ),
        ));
    }
    let flags = entries.first().and_then(|entry| entry.birth.as_ref()).map_or(&[][..], |birth| &birth.flags);
    match flags.iter().find(|flag| !FLAGS.contains(flag)) {
        None => Ok(()),
        Some(flag) => Err(Stop::blocked(
            JOURNAL_TOO_NEW,
            format!(
                "the run was begun by an engine with behaviour {flag}, which this worker does not know.\n\n\
                 Upgrade the workers of the pool; then `everloop resume` this run."
            ),
        )),
    }
}

/// Takes turns of the journal from `from` on, until the end or until `is_over` says that the slice is; how many are taken in all.
/// An entry that is continued has a part of its turn's commands; the next one has more of them and no events. When the last one is
/// continued, what is left belongs to the turn that is taken next.
pub fn replay(turn: &Turn<'_, '_>, entries: &[Entry], from: usize, input: &TurnInput, is_over: impl Fn() -> bool) -> Result<usize, Stop> {
    for (taken, entry) in entries.iter().enumerate().skip(from) {
        if taken > from && !entries[taken - 1].continued && is_over() {
            return Ok(taken);
        }
        turn.take(entry.at, &entry.events)?;
        turn.with(|run| {
            if matches(&entry.commands, run.issued(), entry.continued) {
                run.take_issued(entry.commands.len());
                Ok(())
            } else {
                Err(Stop::Mismatch(difference(entry, entries.len(), run.issued(), input)))
            }
        })?;
    }
    Ok(entries.len())
}

fn matches(recorded: &[Command], issued: &[Command], continued: bool) -> bool {
    let enough = if continued { issued.len() >= recorded.len() } else { issued.len() == recorded.len() };
    enough && recorded.iter().zip(issued).all(|(recorded, issued)| same(recorded, issued))
}

/// The argument may differ: the recorded result counts.
fn same(recorded: &Command, issued: &Command) -> bool {
    recorded.number() == issued.number() && recorded.kind() == issued.kind() && recorded.name() == issued.name()
}

fn difference(entry: &Entry, turns: usize, issued: &[Command], input: &TurnInput) -> String {
    let equal = entry.commands.iter().zip(issued).take_while(|(recorded, issued)| same(recorded, issued)).count();
    let mut text = format!(
        "the code of {} does not ask for what its journal has, in turn {} (the journal has {turns}):\n\n",
        input.workflow, entry.turn
    );
    for command in &issued[equal.saturating_sub(CONTEXT_COMMANDS)..equal] {
        let _ = writeln!(text, "    both      {}", show(command));
    }
    let _ = writeln!(text, "    expected  {}", entry.commands.get(equal).map_or_else(|| end(entry), show));
    let _ = writeln!(text, "    actual    {}", issued.get(equal).map_or_else(|| "the end of the turn".to_owned(), show));
    let _ = write!(
        text,
        "\nexpected: what was recorded; actual: what the code asks for when it runs over the journal again. Positions are \
         line:column of {}.js.\n\nFix the source so that it asks for the recorded commands in the recorded order, apply it, \
         then `everloop resume {}`.",
        input.workflow, input.run.id
    );
    text
}

fn end(entry: &Entry) -> String {
    if entry.continued { "any command".to_owned() } else { "the end of the turn".to_owned() }
}

fn show(command: &Command) -> String {
    let mut text = format!("#{} {}", command.number(), command.kind());
    match command {
        Command::CancelTimer { timer, .. } => text.push_str(&format!(" of timer #{timer}")),
        Command::Fail { error, .. } => text.push_str(&format!(" with {}: {}", error.kind, error.message)),
        other if !other.name().is_empty() => text.push_str(&format!(" {}", other.name())),
        _ => {}
    }
    if !command.position().is_empty() {
        text.push_str(&format!(" at {}", command.position()));
    }
    text
}
