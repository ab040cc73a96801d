//! Definitions by version. A version never changes, so what was fetched once is good for ever; the cache is bounded, and the
//! least recently used one goes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use crate::api::{Definition, Version};
use crate::client::worker::{Error, WorkerClient};

/// Versions kept. A definition has at most a megabyte, and mostly a few kilobytes.
const VERSIONS_MAX: usize = 1_000;

type Cell = Arc<OnceCell<Arc<Definition>>>;

/// See the module.
#[derive(Debug)]
pub(super) struct Definitions {
    client: WorkerClient,
    cells: Mutex<Cells>,
}

#[derive(Debug, Default)]
struct Cells {
    by_version: HashMap<Version, (u64, Cell)>,
    uses: u64,
}

impl Definitions {
    /// Knows none.
    pub(super) fn new(client: WorkerClient) -> Self {
        Self { client, cells: Mutex::default() }
    }

    /// The definition, when it is here.
    pub(super) fn get(&self, version: &Version) -> Option<Arc<Definition>> {
        let mut cells = self.lock();
        cells.uses += 1;
        let uses = cells.uses;
        let (used, cell) = cells.by_version.get_mut(version)?;
        *used = uses;
        cell.get().cloned()
    }

    /// The definition, fetched when it is not here; several that ask at once share one request. Waits for a service that is
    /// away; `None` when stopped.
    ///
    /// # Errors
    /// When the service says that there is none.
    pub(super) async fn load(&self, version: &Version, stop: &CancellationToken) -> Option<Result<Arc<Definition>, Error>> {
        let cell = self.cell(version);
        let mut backoff = Backoff::default();
        loop {
            let fetch = || async { self.client.definition(version).await.map(Arc::new) };
            let fetched = tokio::select! {
                fetched = cell.get_or_try_init(fetch) => fetched,
                () = stop.cancelled() => return None,
            };
            match fetched {
                Ok(definition) => return Some(Ok(definition.clone())),
                Err(error @ Error::Unknown { .. }) => {
                    if backoff.failures() == 0 {
                        tracing::warn!(%version, %error, "a definition cannot be fetched; trying again");
                    }
                }
                Err(error) if error.is_final() || matches!(error, Error::Unreadable { .. }) => return Some(Err(error)),
                Err(_) => {}
            }
            tokio::select! {
                () = tokio::time::sleep(backoff.next()) => {}
                () = stop.cancelled() => return None,
            }
        }
    }

    fn cell(&self, version: &Version) -> Cell {
        let mut cells = self.lock();
        cells.uses += 1;
        let uses = cells.uses;
        if cells.by_version.len() >= VERSIONS_MAX && !cells.by_version.contains_key(version) {
            let oldest = cells.by_version.iter().min_by_key(|(_, (used, _))| *used).map(|(version, _)| version.clone());
            if let Some(oldest) = oldest {
                cells.by_version.remove(&oldest);
            }
        }
        let (used, cell) = cells.by_version.entry(version.clone()).or_default();
        *used = uses;
        cell.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Cells> {
        self.cells.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
