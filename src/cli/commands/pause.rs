//! `everloop pause RUN`.

use clap::Args;

use crate::api::RunId;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::output;

#[derive(Debug, Args)]
pub struct PauseArgs {
    /// The run's id.
    pub run: RunId,
    /// Why, for those who look at the run later.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub reason: String,
}

pub async fn run(context: &Context, args: &PauseArgs) -> Result<Exit, CliError> {
    context.client.pause(&args.run, &args.reason).await?;
    output::say(&format!("{} is paused; `{}` lets it go on", args.run, context.hint(&format!("resume {}", args.run))));
    Ok(Exit::Done)
}
