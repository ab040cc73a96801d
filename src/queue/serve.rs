//! Runs the service until it is told to stop.

use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::config::Config;
use super::service::{Service, Shared};
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
    // How many open runs there are is told, so that whoever expects another store sees it.
    let open_runs = async {
        service.measure_clock().await?;
        service.open_runs().await
    };
    let open_runs = open_runs.await.inspect_err(|error| tracing::warn!(%error, "the store does not answer yet")).ok();
    let tasks = TaskTracker::new();
    loops::spawn(&service, &tasks);
    tasks.close();
    let info = &service.info;
    tracing::info!(address, store = info.kind, id = info.id, partitions = info.partitions, open_runs, "queue service listens");

    let open = accept(listener, &service, &shutdown).await.map_err(|source| Error::Serve { address, source })?;
    if tokio::time::timeout(drain, open.shutdown()).await.is_err() {
        tracing::warn!(drain_ms = drain.as_millis(), "requests are still under way; stopping without them");
    }
    shutdown.cancel();
    if tokio::time::timeout(drain, tasks.wait()).await.is_err() {
        tracing::warn!("a loop did not end in time");
    }
    Ok(())
}

/// After an error of accepting (no file descriptors, say), before the next attempt.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts connections until the shutdown; those that are open then.
async fn accept(listener: TcpListener, service: &Shared, shutdown: &CancellationToken) -> std::io::Result<GracefulShutdown> {
    let (open, router) = (GracefulShutdown::new(), TowerToHyperService::new(routes::router(service.clone())));
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(service.config.head_timeout);
    let room = Arc::new(Semaphore::new(service.config.connections_max));
    loop {
        let accepted = async {
            let place = room.clone().acquire_owned().await.map_err(std::io::Error::other)?;
            Ok((place, listener.accept().await?.0))
        };
        let accepted: std::io::Result<_> = tokio::select! {
            accepted = accepted => accepted,
            () = shutdown.cancelled() => return Ok(open),
        };
        match accepted {
            Ok((place, stream)) => {
                // Answers are small and someone waits for each: never hold one back to fill a packet.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "no TCP_NODELAY on a connection");
                }
                let connection = builder.serve_connection(TokioIo::new(stream), router.clone());
                let connection = open.watch(connection.into_owned());
                tokio::spawn(async move {
                    // It ends with an error when the client goes away or is too slow: nothing to tell.
                    let _ = connection.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
