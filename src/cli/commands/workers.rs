//! `everloop workers`.

use clap::Args;

use crate::api::http::{WorkerView, Workers};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::output;
use crate::cli::table::table;

#[derive(Debug, Args)]
pub struct WorkersArgs {}

pub async fn run(context: &Context) -> Result<Exit, CliError> {
    let workers = context.client.workers().await?;
    if workers.workers.is_empty() {
        let server = context.client.server();
        let next = if context.in_cluster {
            "`kubectl get workerpools -A` shows what should be there".to_owned()
        } else {
            format!("`everloop worker --pool default --server {server}` starts one")
        };
        output::say(&format!("no workers: nothing runs until there is one; {next}"));
    }
    output::print(&output::render(context.format, &workers, || rows(&workers)))?;
    Ok(Exit::Done)
}

pub(in crate::cli) fn rows(workers: &Workers) -> String {
    let row = |w: &WorkerView| {
        let state = if w.draining { "draining" } else { "working" };
        vec![
            w.session.clone(),
            w.pool.as_ref().map(ToString::to_string).unwrap_or_default(),
            w.turns.to_string(),
            w.activities.to_string(),
            state.to_owned(),
        ]
    };
    table(&["session", "pool", "turns", "activities", "state"], workers.workers.iter().map(row))
}
