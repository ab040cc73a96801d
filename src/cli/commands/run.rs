//! `everloop run WORKFLOW`: start a run, and wait for it if asked to.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use clap::Args;

use super::result;
use crate::api::http::StartRun;
use crate::api::{DurationMs, Json, Name, RunId, RunView};
use crate::cli::args::Format;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::{input, output, when};
use crate::client::new_key;

#[derive(Debug, Args)]
pub struct RunArgs {
    /// The workflow's name.
    pub workflow: Name,
    /// The run's id; made when absent. The same id with the same input is the same run.
    #[arg(long)]
    pub id: Option<RunId>,
    /// The input: JSON, `@FILE`, or `@-` for stdin [default: null].
    #[arg(long, short, value_name = "JSON|@FILE|@-")]
    pub input: Option<String>,
    /// Wait for the end and print the result; exit code 1 when the run failed.
    #[arg(long, short)]
    pub wait: bool,
}

pub async fn run(context: &Context, args: &RunArgs) -> Result<Exit, CliError> {
    let input = args.input.as_deref().map_or_else(|| Ok(Json::null()), |text| input::json("--input", text))?;
    let start = StartRun { workflow: args.workflow.clone(), id: args.id.clone(), input, origin: None };
    let started = context.client.start(&start, &new_key()).await?;
    if !args.wait {
        output::print(&output::render(context.format, &started, || format!("{}\n", started.id)))?;
        if context.format == Format::Table {
            output::say(&format!("started; `{}` follows it", context.hint(&format!("watch {}", started.id))));
        }
        return Ok(Exit::Done);
    }
    let ended = waiting(context, &started.id).await?;
    match context.format {
        Format::Table => result::tell(context, &ended),
        Format::Json | Format::Yaml => {
            output::print(&output::render(context.format, &ended, String::new))?;
            Ok(result::exit_of(&ended))
        }
    }
}

/// Waits for the end; on a terminal a line on stderr says so and for how long.
pub async fn waiting(context: &Context, run: &RunId) -> Result<RunView, CliError> {
    let wait = context.client.wait(run);
    if !std::io::stderr().is_terminal() {
        return Ok(wait.await?);
    }
    tokio::pin!(wait);
    let began = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_millis(500));
    tick.tick().await;
    let view = loop {
        tokio::select! {
            view = &mut wait => break view,
            _ = tick.tick() => {
                let waited = DurationMs(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
                overwrite(&format!("waiting for {run} … {} (Ctrl-C leaves it running)", when::age(waited)));
            }
        }
    };
    overwrite("");
    Ok(view?)
}

/// Replaces the present line of stderr. Only called when it is a terminal.
fn overwrite(line: &str) {
    let mut err = std::io::stderr().lock();
    let _ = write!(err, "\r\x1b[K{line}").and_then(|()| err.flush());
}
