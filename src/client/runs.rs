//! Starting and reading runs.

use std::time::{Duration, Instant};

use reqwest::Method;

use super::path::encode;
use super::send::Call;
use super::{Client, ClientError};
use crate::api::http::{Changes, Journal, Runs, StartRun};
use crate::api::{DurationMs, Entry, Json, Name, RunId, RunStatus, RunView};

/// One long poll; well under the service's bound, so that it always answers before this client gives up.
const WAIT: DurationMs = DurationMs::from_secs(30);
/// A service that answers a long poll at once, unchanged, is not asked more often than this.
const WAIT_PAUSE: Duration = Duration::from_millis(200);

/// A new `Idempotency-Key`.
#[must_use]
pub fn new_key() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// What to list.
#[derive(Debug, Clone, Default)]
pub struct ListRuns {
    /// Only of this workflow.
    pub workflow: Option<Name>,
    /// Only with this status.
    pub status: Option<RunStatus>,
    /// At most so many on this page.
    pub limit: usize,
    /// From the page before; empty for the first.
    pub cursor: String,
}

impl Client {
    /// Starts a run. `key` makes a repeat by the caller the same start.
    ///
    /// # Errors
    /// See [`ClientError`]; `WorkflowNotFound`, `RunIdTaken`.
    pub async fn start(&self, start: &StartRun, key: &str) -> Result<RunView, ClientError> {
        let body = Json::of(start).get().to_owned();
        self.call(Call::mutate(Method::POST, self.path(&["runs"]), key.to_owned(), "application/json", body)).await
    }

    /// A page of runs, newest first.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn list(&self, list: &ListRuns) -> Result<Runs, ClientError> {
        let mut path = format!("{}?limit={}", self.path(&["runs"]), list.limit);
        if let Some(workflow) = &list.workflow {
            path += &format!("&workflow={workflow}");
        }
        if let Some(status) = list.status {
            path += &format!("&status={status}");
        }
        if !list.cursor.is_empty() {
            path += &format!("&cursor={}", encode(&list.cursor));
        }
        self.call(Call::get(path)).await
    }

    /// A run as it is now.
    ///
    /// # Errors
    /// See [`ClientError`]; `RunNotFound`.
    pub async fn run(&self, run: &RunId) -> Result<RunView, ClientError> {
        self.call(Call::get(self.path(&["runs", run.as_str()]))).await
    }

    /// Waits for the end of a run, as long as it takes.
    ///
    /// # Errors
    /// See [`ClientError`]; an outage longer than the client's patience ends the waiting.
    pub async fn wait(&self, run: &RunId) -> Result<RunView, ClientError> {
        let path = format!("{}?wait={WAIT}", self.path(&["runs", run.as_str()]));
        loop {
            let asked = Instant::now();
            let view: RunView = self.call(Call::get(path.clone()).waiting(WAIT)).await?;
            if view.status.is_closed() {
                return Ok(view);
            }
            pause(asked).await;
        }
    }

    /// What has changed since the cursor, of all namespaces; waits a while for the first. Without a cursor: where the feed ends.
    ///
    /// # Errors
    /// See [`ClientError`]; `ChangesTooOld`.
    pub async fn changes(&self, cursor: &str) -> Result<Changes, ClientError> {
        if cursor.is_empty() {
            return self.call(Call::get("/v1/changes".into())).await;
        }
        let path = format!("/v1/changes?cursor={}&wait={WAIT}", encode(cursor));
        self.call(Call::get(path).waiting(WAIT)).await
    }

    /// A page of a run's journal, from entry `from` on.
    ///
    /// # Errors
    /// See [`ClientError`]; `RunNotFound`.
    pub async fn journal_page(&self, run: &RunId, from: u32) -> Result<Journal, ClientError> {
        self.call(Call::get(format!("{}?from={from}", self.path(&["runs", run.as_str(), "journal"])))).await
    }

    /// A run's whole journal, of any number of pages.
    ///
    /// # Errors
    /// As [`Client::journal_page`].
    pub async fn journal(&self, run: &RunId) -> Result<Vec<Entry>, ClientError> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut uid = String::new();
        loop {
            let from = u32::try_from(entries.len()).unwrap_or(u32::MAX);
            let page = self.journal_page(run, from).await?;
            if page.uid != uid {
                // The first page, or another run took the id meanwhile: what was read belongs to the old one.
                uid.clone_from(&page.uid);
                if from > 0 {
                    entries.clear();
                    continue;
                }
            }
            let (turns, none) = (page.turns, page.entries.is_empty());
            entries.extend(page.entries);
            if none || entries.len() >= turns as usize {
                return Ok(entries);
            }
        }
    }

    /// Waits until a run has an entry at `from` or has ended: nothing new means that it has ended, or that a while has passed.
    ///
    /// # Errors
    /// As [`Client::journal_page`].
    pub async fn journal_after(&self, run: &RunId, from: u32) -> Result<Journal, ClientError> {
        let path = format!("{}?from={from}&wait={WAIT}", self.path(&["runs", run.as_str(), "journal"]));
        let asked = Instant::now();
        let page: Journal = self.call(Call::get(path).waiting(WAIT)).await?;
        if page.entries.is_empty() {
            pause(asked).await;
        }
        Ok(page)
    }
}

async fn pause(asked: Instant) {
    tokio::time::sleep(WAIT_PAUSE.saturating_sub(asked.elapsed())).await;
}
