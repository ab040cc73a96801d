//! `everloop resume RUN`.

use clap::Args;

use crate::api::http::Resume;
use crate::api::{RunId, Version};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::output;

/// The workflow's current version, whichever it is.
const CURRENT: &str = "current";
/// What tables show of a version; fewer digits would be a guess.
const SHORT: usize = 8;

#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// The run's id.
    pub run: RunId,
    /// Go on with this version: `current`, or a hash, in full or the first eight digits of the workflow's current one or of
    /// the run's own [default: current for a run blocked by its source, else the run's own].
    #[arg(long, value_name = "current|HASH")]
    pub version: Option<String>,
}

pub async fn run(context: &Context, args: &ResumeArgs) -> Result<Exit, CliError> {
    let version = match &args.version {
        Some(text) => Some(full(context, &args.run, text).await?),
        None => None,
    };
    context.client.resume(&args.run, &Resume { version, holder: None }).await?;
    output::say(&format!("{} goes on; `{}` follows it", args.run, context.hint(&format!("watch {}", args.run))));
    Ok(Exit::Done)
}

/// The service takes whole hashes only; people have the short ones of the tables.
async fn full(context: &Context, run: &RunId, text: &str) -> Result<String, CliError> {
    if text == CURRENT || text.parse::<Version>().is_ok() {
        return Ok(text.to_owned());
    }
    let view = context.client.run(run).await?;
    let current = context.client.workflow(&view.workflow).await?.version;
    let fits = |version: &Version| text.len() >= SHORT && version.as_str().starts_with(text);
    [current.clone(), view.version.clone()].into_iter().find(fits).map(|version| version.as_str().to_owned()).ok_or_else(|| {
        CliError::input(
            format!("{text:?} is no version of {} that is known here", view.workflow),
            format!("the current one is {}, the run's own is {}; any other needs all 64 digits", current.short(), view.version.short()),
        )
    })
}
