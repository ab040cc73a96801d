//! `everloop result RUN`: what a run came to.

use clap::Args;

use crate::api::run::RunError;
use crate::api::{Code, Problem, RunId, RunStatus, RunView};
use crate::cli::args::Format;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::{output, timeline};
use crate::client::ClientError;

#[derive(Debug, Args)]
pub struct ResultArgs {
    /// The run's id.
    pub run: RunId,
    /// Wait for the end.
    #[arg(long, short)]
    pub wait: bool,
}

pub async fn run(context: &Context, args: &ResultArgs) -> Result<Exit, CliError> {
    let view = if args.wait { super::run::waiting(context, &args.run).await? } else { context.client.run(&args.run).await? };
    if !view.status.is_closed() {
        let why = format!("run {} has not ended: it is {}", view.id, view.status);
        let next = match view.status {
            RunStatus::Blocked => context.hint(&format!("get {}", view.id)) + " shows what blocks it",
            RunStatus::Paused => context.hint(&format!("resume {}", view.id)) + " lets it go on",
            _ => context.hint(&format!("result {} --wait", view.id)) + " waits for the end",
        };
        return Err(ClientError::Refused(Box::new(Problem::new(Code::RunOpen, why).next(next))).into());
    }
    tell(context, &view)
}

/// The result to stdout, or the error to stderr (and, for programs, to stdout).
pub fn tell(context: &Context, run: &RunView) -> Result<Exit, CliError> {
    if run.status == RunStatus::Completed {
        let result = run.result.clone().unwrap_or_default();
        output::print(&match context.format {
            // To the letter: a result is data of the user's.
            Format::Table | Format::Json => format!("{}\n", result.get()),
            Format::Yaml => output::yaml(&result),
        })?;
        return Ok(Exit::Done);
    }
    if let (Some(error), Format::Json | Format::Yaml) = (&run.error, context.format) {
        output::print(&output::render(context.format, error, String::new))?;
    }
    output::say(&failure(run));
    output::say(&format!("next:  `{}` shows what it did", context.hint(&format!("journal {}", run.id))));
    Ok(Exit::Failed)
}

/// Why a run has no result, over several lines.
pub fn failure(run: &RunView) -> String {
    let mut text = format!("run {} ended {}", run.id, run.status);
    if let Some(error) = &run.error {
        text += &format!(": {}", error_text(error));
    }
    text
}

/// An error with its stack and its causes.
pub fn error_text(error: &RunError) -> String {
    let mut text = timeline::brief(error);
    let stack = error.stack.trim_end();
    if !stack.is_empty() {
        text += &format!("\n{stack}");
    }
    if let Some(details) = &error.details {
        text += &format!("\ndetails: {}", details.get());
    }
    if let Some(cause) = &error.cause {
        text += &format!("\ncaused by {}", error_text(cause));
    }
    text
}

/// The exit code of a run that has ended.
pub fn exit_of(run: &RunView) -> Exit {
    if run.status == RunStatus::Completed { Exit::Done } else { Exit::Failed }
}
