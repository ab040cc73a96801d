//! What the service keeps in mind of workflows: current versions, and what a version declares.

use std::sync::Arc;

use super::unread;
use crate::api::{Definition, Name, Version};
use crate::store::op::WorkflowRecord;
use crate::store::recent::Recent;
use crate::store::{Store, StoreError};

/// What is needed of a version on every commit and signal; without the source, which may be large.
#[derive(Debug)]
pub struct Known {
    /// The definition with an empty source.
    pub declared: Definition,
    /// The signals that its code reads; `None` when reading the source does not tell.
    pub signals: Option<Vec<String>>,
}

/// Caches. Versions never change; a current version that has changed is found by the store's refusal of a start.
#[derive(Debug)]
pub struct Definitions {
    current: Recent<(Name, Name), WorkflowRecord>,
    versions: Recent<Version, Arc<Known>>,
}

const CURRENT_KEPT: usize = 4_096;
const VERSIONS_KEPT: usize = 1_024;

impl Definitions {
    /// Nothing known.
    #[must_use]
    pub fn new() -> Self {
        Self { current: Recent::new(CURRENT_KEPT), versions: Recent::new(VERSIONS_KEPT) }
    }

    /// The current version of a workflow, as far as known or else as the store says.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn current(&self, store: &dyn Store, namespace: &Name, name: &Name) -> Result<Option<WorkflowRecord>, StoreError> {
        let key = (namespace.clone(), name.clone());
        if let Some(record) = self.current.get(&key) {
            return Ok(Some(record));
        }
        self.refresh(store, namespace, name).await
    }

    /// The current version of a workflow, as the store says.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn refresh(&self, store: &dyn Store, namespace: &Name, name: &Name) -> Result<Option<WorkflowRecord>, StoreError> {
        let found = store.workflow(namespace, name).await?;
        match &found {
            Some(record) => self.set_current(namespace, record.clone()),
            None => self.current.remove(&(namespace.clone(), name.clone())),
        }
        Ok(found)
    }

    /// The store told the current version.
    pub fn set_current(&self, namespace: &Name, record: WorkflowRecord) {
        self.current.put((namespace.clone(), record.name.clone()), record);
    }

    /// What a version declares.
    ///
    /// # Errors
    /// The store does not answer, or holds what cannot be read.
    pub async fn known(&self, store: &dyn Store, version: &Version) -> Result<Option<Arc<Known>>, StoreError> {
        if let Some(known) = self.versions.get(version) {
            return Ok(Some(known));
        }
        let Some(definition) = definition(store, version).await? else { return Ok(None) };
        let known = Arc::new(Known {
            signals: unread::readable(&definition),
            declared: Definition { source: String::new(), activities: definition.activities },
        });
        self.versions.put(version.clone(), known.clone());
        Ok(Some(known))
    }
}

/// A whole definition, from the store.
///
/// # Errors
/// The store does not answer, or holds what cannot be read.
pub async fn definition(store: &dyn Store, version: &Version) -> Result<Option<Definition>, StoreError> {
    let Some(text) = store.definition(version).await? else { return Ok(None) };
    let damaged = |detail| StoreError::Damaged { operation: "read a definition", detail };
    Definition::from_canonical(&text).map(Some).map_err(damaged)
}
