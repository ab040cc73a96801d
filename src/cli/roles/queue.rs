//! `everloop queue`: the queue service.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::listen::{LISTEN_DEFAULT, bind};
use super::probes::{self, Probed};
use super::store::{self, StoreOptions, StorePlace};
use super::{ended, start_logs};
use crate::api::DurationMs;
use crate::cli::error::{CliError, Exit, RoleCode};
use crate::queue;
use crate::store::Store;

/// Between two tries to open a store that is waited for.
const TRY_AGAIN: Duration = Duration::from_secs(1);

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
    /// Wait for a Redis that does not answer at the start, in place of ending with an error.
    #[arg(long, env = "EVERLOOP_WAIT_FOR_STORE")]
    pub wait_for_store: bool,
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
    let (listener, store) = if args.wait_for_store {
        let Some(opened) = opened(listener, &args, &shutdown).await? else { return Ok(Exit::Done) };
        opened
    } else {
        (listener, store::open(&args.store, &args.options).await?)
    };
    let info = store.info();
    tracing::info!(
        address = %args.listen, store = %args.store, kind = info.kind, id = info.id, partitions = info.partitions,
        durability = info.durability.as_str(), "the queue service starts"
    );
    let config = queue::Config { session_ttl: args.session_ttl.to_std(), retention: args.retention, ..queue::Config::default() };
    queue::run(listener, store, config, shutdown).await.map_err(|e| ended("queue service", &e))?;
    Ok(Exit::Done)
}

/// Waits until the store can be opened; nothing at the shutdown, and what is unfit stays an error. Meanwhile the process is alive, and
/// not ready.
async fn opened(
    listener: TcpListener,
    args: &QueueArgs,
    shutdown: &CancellationToken,
) -> Result<Option<(TcpListener, Arc<dyn Store>)>, CliError> {
    let listening = |e: std::io::Error| CliError::io("listen", &e);
    let listener = listener.into_std().map_err(listening)?;
    let waiting = listener.try_clone().and_then(TcpListener::from_std).map_err(listening)?;
    let done = CancellationToken::new();
    let probed = tokio::spawn(probes::serve(waiting, Arc::new(WaitingForStore), axum::Router::new(), done.clone()));
    let mut told = false;
    let store = loop {
        match store::open(&args.store, &args.options).await {
            Ok(store) => break store,
            Err(error @ CliError::Role { code: RoleCode::StoreUnavailable, .. }) => {
                if !told {
                    tracing::warn!(%error, "waiting for the store");
                }
                told = true;
            }
            Err(error) => return Err(error),
        }
        tokio::select! {
            () = tokio::time::sleep(TRY_AGAIN) => {}
            () = shutdown.cancelled() => return Ok(None),
        }
    };
    done.cancel();
    // It ends when those who are connected have their answers.
    drop(probed);
    Ok(Some((TcpListener::from_std(listener).map_err(listening)?, store)))
}

struct WaitingForStore;

impl Probed for WaitingForStore {
    fn ready(&self) -> Result<(), String> {
        Err("the store does not answer yet".to_owned())
    }

    fn metrics(&self) -> String {
        "# EOF\n".to_owned()
    }
}
