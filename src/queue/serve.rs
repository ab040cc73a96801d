//! Runs the service until it is told to stop.

use std::sync::Arc;

use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::config::Config;
use super::service::Service;
use super::{loops, routes};
use crate::store::Store;

/// Why the service ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The listener broke.
    #[error("failed to serve on {address}: {source}")]
    Serve {
        /// Where it listened.
        address: String,
        /// What happened.
        source: std::io::Error,
    },
}

/// Serves until `shutdown`. Then requests that wait are answered at once, streams say `moved`, requests under way end in order, at
/// most for [`Config::drain`]; no session is ended. The store may be away at any time, at the start too.
///
/// # Errors
/// The listener broke.
pub async fn run(listener: TcpListener, store: Arc<dyn Store>, config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    let address = listener.local_addr().map(|address| address.to_string()).unwrap_or_default();
    // Ended by the caller's token or with this function, so that no loop outlives it.
    let shutdown = shutdown.child_token();
    let _ends_with_us = shutdown.clone().drop_guard();
    let drain = config.drain;
    let service = Service::new(store, config, shutdown.clone());
    if let Err(error) = service.measure_clock().await {
        tracing::warn!(%error, "the store does not answer yet");
    }
    let tasks = TaskTracker::new();
    loops::spawn(&service, &tasks);
    tasks.close();
    tracing::info!(address, store = service.info.kind, partitions = service.info.partitions, "queue service listens");

    // Answers are small and someone waits for each: never hold one back to fill a packet.
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY on a connection");
        }
    });
    let server = axum::serve(listener, routes::router(service)).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let overdue = async {
        shutdown.cancelled().await;
        tokio::time::sleep(drain).await;
    };
    tokio::select! {
        served = server => served.map_err(|source| Error::Serve { address, source })?,
        () = overdue => tracing::warn!(drain_ms = drain.as_millis(), "requests are still under way; stopping without them"),
    }
    shutdown.cancel();
    if tokio::time::timeout(drain, tasks.wait()).await.is_err() {
        tracing::warn!("a loop did not end in time");
    }
    Ok(())
}
