//! `everloop queue`: the queue service.

use std::net::SocketAddr;

use clap::Args;

use super::listen::{LISTEN_DEFAULT, bind};
use super::store::{self, StoreOptions, StorePlace};
use super::{ended, start_logs};
use crate::api::DurationMs;
use crate::cli::error::{CliError, Exit};
use crate::queue;

#[derive(Debug, Args)]
pub struct QueueArgs {
    /// Where to serve.
    #[arg(long, env = "EVERLOOP_LISTEN", default_value = LISTEN_DEFAULT, value_name = "ADDR:PORT", hide_env_values = true)]
    pub listen: SocketAddr,
    /// Where the truth is: `file:PATH` (for one service), `redis://HOST:PORT` (for any number), or `memory` (for a test).
    #[arg(long, env = "EVERLOOP_STORE", value_name = "STORE", hide_env_values = true)]
    pub store: StorePlace,
    #[command(flatten)]
    pub options: StoreOptions,
    /// How long a worker may be silent before its leases go to others.
    #[arg(long, env = "EVERLOOP_SESSION_TTL", default_value = "10s", value_name = "DURATION", hide_env_values = true)]
    pub session_ttl: DurationMs,
    /// How long closed runs are kept when their workflow does not say.
    #[arg(long, env = "EVERLOOP_RETENTION", default_value = "7d", value_name = "DURATION", hide_env_values = true)]
    pub retention: DurationMs,
    /// Threads that serve [default: one for two cores].
    #[arg(long, env = "EVERLOOP_THREADS", value_name = "N", hide_env_values = true, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Log lines as JSON.
    #[arg(long, env = "EVERLOOP_LOG_JSON")]
    pub log_json: bool,
}

pub async fn run(args: QueueArgs) -> Result<Exit, CliError> {
    crate::cli::demo::end_with_parent()?;
    start_logs(args.log_json)?;
    let shutdown = super::shutdown()?;
    // First the address: that fails at once, and a second service would otherwise wait for the file's lock.
    let listener = bind(args.listen, "--listen")?;
    let store = store::open(&args.store, &args.options).await?;
    let info = store.info();
    tracing::info!(
        address = %args.listen, store = %args.store, kind = info.kind, id = info.id, partitions = info.partitions,
        durability = info.durability.as_str(), "the queue service starts"
    );
    let config = queue::Config { session_ttl: args.session_ttl.to_std(), retention: args.retention, ..queue::Config::default() };
    queue::run(listener, store, config, shutdown).await.map_err(|e| ended("queue service", &e))?;
    Ok(Exit::Done)
}
