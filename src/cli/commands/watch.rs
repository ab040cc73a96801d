//! `everloop watch RUN`: the journal, as it grows.

use clap::Args;
use serde::Serialize;

use super::result;
use crate::api::{RunId, RunStatus};
use crate::cli::args::Format;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::output;
use crate::cli::table::width;
use crate::cli::timeline::Timeline;

#[derive(Debug, Args)]
pub struct WatchArgs {
    /// The run's id.
    pub run: RunId,
    /// Show payloads in full instead of cutting the lines.
    #[arg(long)]
    pub full: bool,
}

pub async fn run(context: &Context, args: &WatchArgs) -> Result<Exit, CliError> {
    let mut timeline = Timeline::new(if args.full { usize::MAX } else { width() });
    if context.format == Format::Table {
        output::print(&Timeline::heading())?;
    }
    let mut from = 0;
    let mut said = RunStatus::Running;
    loop {
        let page = context.client.journal_after(&args.run, from).await?;
        for entry in &page.entries {
            output::print(&match context.format {
                Format::Table => timeline.entry(entry),
                Format::Json => line(entry),
                Format::Yaml => format!("---\n{}", output::yaml(entry)),
            })?;
            from = entry.turn + 1;
        }
        let closed = page.entries.last().is_some_and(|entry| entry.commands.last().is_some_and(crate::api::journal::Command::closes));
        if !closed && !page.entries.is_empty() {
            continue;
        }
        // Nothing new, or the end: only the run itself says which, for one that was terminated has no last entry.
        let view = context.client.run(&args.run).await?;
        if view.status.is_closed() {
            output::say(&if view.status == RunStatus::Completed { format!("run {} completed", view.id) } else { result::failure(&view) });
            return Ok(result::exit_of(&view));
        }
        if view.status != said {
            said = view.status;
            if view.status != RunStatus::Running {
                output::say(&format!("run {} is {}; `{}` says why", view.id, view.status, context.hint(&format!("get {}", view.id))));
            }
        }
    }
}

/// One entry on one line: what `jq` and `while read` like.
fn line<T: Serialize>(value: &T) -> String {
    crate::api::Json::of(value).get().to_owned() + "\n"
}
