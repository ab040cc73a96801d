//! `everloop cancel RUN`.

use clap::Args;

use crate::api::RunId;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::output;

#[derive(Debug, Args)]
pub struct CancelArgs {
    /// The run's id.
    pub run: RunId,
    /// Why, for those who look at the run later.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub reason: String,
}

pub async fn run(context: &Context, args: &CancelArgs) -> Result<Exit, CliError> {
    context.client.cancel(&args.run, &args.reason).await?;
    output::say(&format!("{} has been asked to end; `{}` waits for it", args.run, context.hint(&format!("result {} --wait", args.run))));
    Ok(Exit::Done)
}
