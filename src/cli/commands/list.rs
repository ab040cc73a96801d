//! `everloop list`.

use clap::Args;
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser as _;

use crate::api::http::Runs;
use crate::api::limits::LIST_PAGE_MAX;
use crate::api::run::Doing;
use crate::api::{Name, RunStatus, RunView, TimeMs};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::table::table;
use crate::cli::{output, when};
use crate::client::ListRuns;

#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only runs of this workflow.
    #[arg(long, short = 'w', value_name = "NAME")]
    pub workflow: Option<Name>,
    /// Only runs with this status.
    #[arg(long, short = 's', ignore_case = true, value_parser = statuses())]
    pub status: Option<RunStatus>,
    /// At most so many, the newest.
    #[arg(long, short = 'l', default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
}

fn statuses() -> impl clap::builder::TypedValueParser<Value = RunStatus> {
    PossibleValuesParser::new(RunStatus::ALL.map(RunStatus::as_str)).map(|text| {
        let named = RunStatus::ALL.into_iter().find(|status| status.as_str().eq_ignore_ascii_case(&text));
        named.expect("the parser lets only these through")
    })
}

pub async fn run(context: &Context, args: &ListArgs) -> Result<Exit, CliError> {
    let limit = args.limit as usize;
    let mut runs = Runs { runs: Vec::new(), cursor: String::new() };
    loop {
        let page = ListRuns {
            workflow: args.workflow.clone(),
            status: args.status,
            limit: (limit - runs.runs.len()).min(LIST_PAGE_MAX),
            cursor: runs.cursor.clone(),
        };
        let page = context.client.list(&page).await?;
        runs.runs.extend(page.runs);
        runs.cursor = page.cursor;
        if runs.cursor.is_empty() || runs.runs.len() >= limit {
            break;
        }
    }
    output::print(&output::render(context.format, &runs, || rows(&runs.runs, when::now())))?;
    if runs.runs.is_empty() {
        output::say(&format!("no such runs in namespace {}", context.client.namespace()));
    } else if !runs.cursor.is_empty() {
        output::say(&format!("these are the newest {}; --limit N shows more", runs.runs.len()));
    }
    Ok(Exit::Done)
}

pub(in crate::cli) fn rows(runs: &[RunView], now: TimeMs) -> String {
    let row = |run: &RunView| {
        let took = run.closed_at.map_or_else(|| "-".to_owned(), |closed| when::precise(closed.since(run.started_at)));
        vec![
            run.id.to_string(),
            run.workflow.to_string(),
            run.version.short().to_owned(),
            run.status.to_string(),
            doing(run.doing).to_owned(),
            run.turns.to_string(),
            when::age(now.since(run.started_at)),
            took,
        ]
    };
    table(&["id", "workflow", "version", "status", "doing", "turns", "age", "took"], runs.iter().map(row))
}

/// As in JSON.
pub fn doing(doing: Doing) -> &'static str {
    match doing {
        Doing::Waiting => "waiting",
        Doing::Ready => "ready",
        Doing::Leased => "leased",
        Doing::Blocked => "blocked",
        Doing::Closed => "closed",
    }
}
