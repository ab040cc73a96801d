//! The one-process mode: queue service, one worker and the store together, and definitions applied again when their files change.
//!
//! Owns nothing that the roles do not: they talk over HTTP here too, so what works here works in a cluster.

mod reload;
mod watcher;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::watcher::FileWatcher;
use crate::api::Name;
use crate::client::Client;
use crate::queue;
use crate::store::Store;
use crate::worker;

pub use reload::{News, Reloader};

/// What to run.
pub struct Config {
    /// Where to serve; bound by the caller, who knows how to explain a port in use.
    pub listener: TcpListener,
    /// The truth.
    pub store: Arc<dyn Store>,
    /// The service's settings.
    pub queue: queue::Config,
    /// The worker's settings; its pool is replaced by each one that a definition names.
    pub worker: worker::Config,
    /// To the service.
    pub client: Client,
    /// Definitions, files and folders.
    pub files: Vec<PathBuf>,
}

/// What to tell the person in front of it.
pub enum Report {
    /// It takes requests; this is what was applied at the start.
    Ready(SocketAddr, News),
    /// Files have changed.
    Changed(News),
}

/// Why it could not go on.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// The listener is no listener.
    #[error("failed to learn the listener's address: {0}")]
    Address(std::io::Error),
    /// The files cannot be watched.
    #[error("failed to watch {path}: {detail}")]
    Watch {
        /// What was to be watched.
        path: String,
        /// Why not.
        detail: String,
    },
    /// A role ended by itself.
    #[error("the {role} stopped: {detail}")]
    Stopped {
        /// Which.
        role: &'static str,
        /// Why.
        detail: String,
    },
}

/// Runs until `shutdown`: then the workers hand back what they have, and the service ends last.
///
/// # Errors
/// [`DevError`]. A definition that is wrong is none: it is reported, and the one before goes on.
pub async fn run(config: Config, shutdown: CancellationToken, mut tell: impl FnMut(Report)) -> Result<(), DevError> {
    let address = config.listener.local_addr().map_err(DevError::Address)?;
    // Before the first reading, so that no change falls between.
    let mut watcher = FileWatcher::new(&config.files)?;
    let mut reloader = Reloader::new(config.client, config.files);
    let stop_queue = CancellationToken::new();
    let mut service = tokio::spawn(queue::run(config.listener, config.store, config.queue, stop_queue.clone()));
    let mut workers = Workers { template: config.worker, stop: CancellationToken::new(), pools: BTreeSet::new(), tasks: JoinSet::new() };
    workers.serve(workers.template.pool.clone());

    let first = reloader.round().await;
    first.applied.iter().for_each(|(applied, _)| workers.serve(applied.pool.clone()));
    tell(Report::Ready(address, first));

    let outcome = loop {
        tokio::select! {
            () = shutdown.cancelled() => break Ok(()),
            ended = &mut service => return Err(stopped("queue service", ended)),
            Some(ended) = workers.tasks.join_next() => break Err(stopped("worker", ended)),
            () = watcher.changed() => {
                let news = reloader.round().await;
                news.applied.iter().for_each(|(applied, _)| workers.serve(applied.pool.clone()));
                if !news.is_empty() {
                    tell(Report::Changed(news));
                }
            }
        }
    };
    workers.stop.cancel();
    while workers.tasks.join_next().await.is_some() {}
    stop_queue.cancel();
    let ended = service.await;
    if matches!(ended, Ok(Ok(()))) { outcome } else { outcome.and(Err(stopped("queue service", ended))) }
}

/// One worker for each pool that a definition has named.
struct Workers {
    template: worker::Config,
    stop: CancellationToken,
    pools: BTreeSet<Name>,
    tasks: JoinSet<Result<(), worker::Error>>,
}

impl Workers {
    fn serve(&mut self, pool: Name) {
        if self.pools.insert(pool.clone()) {
            self.tasks.spawn(worker::run(worker::Config { pool, ..self.template.clone() }, self.stop.clone()));
        }
    }
}

fn stopped<E: std::fmt::Display>(role: &'static str, ended: Result<Result<(), E>, tokio::task::JoinError>) -> DevError {
    let detail = match ended {
        Ok(Ok(())) => "it ended without being asked to".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(panic) => panic.to_string(),
    };
    DevError::Stopped { role, detail }
}
