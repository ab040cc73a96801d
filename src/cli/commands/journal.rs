//! `everloop journal RUN`.

use clap::Args;

use crate::api::RunId;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::output;
use crate::cli::table::width;
use crate::cli::timeline::Timeline;

#[derive(Debug, Args)]
pub struct JournalArgs {
    /// The run's id.
    pub run: RunId,
    /// Show payloads in full instead of cutting the lines.
    #[arg(long)]
    pub full: bool,
}

pub async fn run(context: &Context, args: &JournalArgs) -> Result<Exit, CliError> {
    let entries = context.client.journal(&args.run).await?;
    let width = if args.full { usize::MAX } else { width() };
    output::print(&output::render(context.format, &entries, || Timeline::render(width, &entries)))?;
    if entries.is_empty() {
        output::say(&format!("no turn has been taken yet; `{}` shows whether there is a worker", context.hint("workers")));
    }
    Ok(Exit::Done)
}
