//! `everloop retire WORKFLOW`.

use clap::Args;

use crate::api::{Name, Origin};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::output;

#[derive(Debug, Args)]
pub struct RetireArgs {
    /// The workflow's name.
    pub workflow: Name,
    /// Give up what something else holds, which is gone for good: as `everloop workflows --output json` names it.
    #[arg(long)]
    pub holder: Option<Origin>,
}

pub async fn run(context: &Context, args: &RetireArgs) -> Result<Exit, CliError> {
    let retired = context.client.retire(&args.workflow, args.holder.as_ref()).await?;
    output::say(&format!("{} is retired: no new runs, the open ones go on", retired.name));
    Ok(Exit::Done)
}
