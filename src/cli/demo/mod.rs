//! `everloop demo`: the promise, shown and proven with real processes. 500 food orders; a worker and then the queue service
//! are killed in the middle; in the end the shop's books and the client's own notes are held against what the runs came to.

mod chaos;
mod fate;
mod fleet;
mod orders;
mod progress;
mod proof;
pub mod shop;
mod story;
#[cfg(test)]
mod tests;

use clap::Args;

use self::fleet::Fleet;
use crate::api::Name;
use crate::cli::error::{CliError, Exit};
use crate::cli::output;
use crate::cli::roles::StorePlace;

pub use fleet::end_with_parent;

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// How many orders.
    #[arg(long, default_value_t = 500, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub orders: u32,
    /// How many workers.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub workers: u16,
    /// Where the truth is: `file` (a temporary one), or `redis://HOST:PORT`, where the orders stay for an hour in a namespace
    /// of their own.
    #[arg(long, default_value = "file", value_name = "STORE", value_parser = demo_store)]
    pub store: String,
    /// Kill nothing.
    #[arg(long)]
    pub no_kill: bool,
    /// Decides which orders have which trouble.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
}

fn demo_store(text: &str) -> Result<String, String> {
    match text.parse::<StorePlace>() {
        _ if text == "file" => Ok(text.to_owned()),
        Ok(StorePlace::Redis(url)) => Ok(url),
        _ => Err("write file or redis://HOST:PORT (a store in memory would not survive the kill)".into()),
    }
}

pub async fn run(args: DemoArgs) -> Result<Exit, CliError> {
    // Unique, so that a shared Redis shows no orders of another demo and no other worker takes these.
    let name = if args.store == "file" { "default".to_owned() } else { format!("demo-{:08x}", rand::random::<u32>()) };
    let name: Name = name.parse().map_err(|e: crate::api::ids::InvalidId| CliError::input(e.to_string(), ""))?;
    let mut fleet = Fleet::new(&args.store, name.as_str())?;
    let interrupted = interrupted()?;
    let outcome = tokio::select! {
        outcome = story::tell(&args, &name, &mut fleet) => outcome,
        () = interrupted => {
            output::say("interrupted; cleaning up");
            Ok(Exit::Failed)
        }
    };
    let cleaned = fleet.end().await;
    outcome.and_then(|exit| cleaned.map(|()| exit))
}

/// Ends with SIGINT or SIGTERM. Both are caught from here on, so that nothing is left behind.
fn interrupted() -> Result<impl Future<Output = ()>, CliError> {
    use tokio::signal::unix::{SignalKind, signal};
    let failed = |e: std::io::Error| CliError::io("register the signal handlers", &e);
    let mut int = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut term = signal(SignalKind::terminate()).map_err(failed)?;
    Ok(async move {
        tokio::select! {
            _ = int.recv() => {}
            _ = term.recv() => {}
        }
    })
}
