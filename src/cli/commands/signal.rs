//! `everloop signal RUN NAME [JSON]`.

use clap::Args;

use crate::api::{Json, RunId};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::{input, output};

#[derive(Debug, Args)]
pub struct SignalArgs {
    /// The run's id.
    pub run: RunId,
    /// The signal's name, as the code waits for it.
    pub name: String,
    /// The payload: JSON, `@FILE`, or `@-` for stdin [default: null].
    #[arg(value_name = "JSON|@FILE|@-")]
    pub payload: Option<String>,
}

pub async fn run(context: &Context, args: &SignalArgs) -> Result<Exit, CliError> {
    let payload = args.payload.as_deref().map_or_else(|| Ok(Json::null()), |text| input::json("the payload", text))?;
    context.client.signal(&args.run, &args.name, &payload).await?;
    output::say(&format!("signal {} is in the mailbox of {}", args.name, args.run));
    Ok(Exit::Done)
}
