//! What rarely changes in a run's life, kept in mind so that a signal needs no second operation of the store.

use super::view;
use crate::api::{Name, RunKey, Version};
use crate::machine::record::RunRecord;
use crate::store::recent::Recent;
use crate::store::{Store, StoreError};

/// A hint, not the truth: a run may be moved to another version, and an id may be used again after the retention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFacts {
    /// The pool that takes its turns.
    pub pool: Name,
    /// The version that it is on.
    pub version: Version,
}

/// A bounded cache of [`RunFacts`].
#[derive(Debug)]
pub struct Facts(Recent<RunKey, RunFacts>);

const RUNS_KEPT: usize = 16_384;

impl Facts {
    /// Nothing known.
    #[must_use]
    pub fn new() -> Self {
        Self(Recent::new(RUNS_KEPT))
    }

    /// What is known without asking.
    #[must_use]
    pub fn known(&self, run: &RunKey) -> Option<RunFacts> {
        self.0.get(run)
    }

    /// Keeps facts in mind.
    pub fn put(&self, run: &RunKey, facts: RunFacts) {
        self.0.put(run.clone(), facts);
    }

    /// As the store says now; `None` when there is no such run.
    ///
    /// # Errors
    /// The store does not answer, or holds what cannot be read.
    pub async fn read(&self, store: &dyn Store, run: &RunKey) -> Result<Option<RunFacts>, StoreError> {
        let Some(state) = store.run(run).await? else {
            self.0.remove(run);
            return Ok(None);
        };
        let facts = of(&state.record)?;
        self.put(run, facts.clone());
        Ok(Some(facts))
    }
}

fn of(record: &RunRecord) -> Result<RunFacts, StoreError> {
    Ok(RunFacts { pool: view::stored(&record.pool)?, version: view::stored(&record.version)? })
}
