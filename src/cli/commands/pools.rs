//! `everloop pools`.

use clap::Args;

use crate::api::http::{PoolLoad, Pools};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::output;
use crate::cli::table::table;
use crate::cli::when::seconds;

#[derive(Debug, Args)]
pub struct PoolsArgs {}

pub async fn run(context: &Context) -> Result<Exit, CliError> {
    let pools = context.client.pools_now().await?;
    if pools.pools.is_empty() {
        output::say("no pool has anything to do, or ever had");
    }
    output::print(&output::render(context.format, &pools, || rows(&pools)))?;
    Ok(Exit::Done)
}

pub(in crate::cli) fn rows(pools: &Pools) -> String {
    let row = |PoolLoad { pool, signals }: &PoolLoad| {
        let (turns, activities) = (&signals.turns, &signals.activities);
        vec![
            pool.to_string(),
            format!("{} / {}", turns.backlog, turns.busy),
            format!("{} / {}", activities.backlog, activities.busy),
            seconds(turns.oldest.max(activities.oldest)),
            activities.slot_mean.map_or_else(|| "-".to_owned(), |mean| mean.to_string()),
            signals.timers.first().map_or_else(|| "-".to_owned(), |due| format!("in {}", seconds(due.within))),
        ]
    };
    let columns = ["pool", "turns wait / run", "activities wait / run", "oldest", "mean activity", "next timer"];
    table(&columns, pools.pools.iter().map(row))
}
