//! Workflows and their versions. A file is one place, so a definition is current everywhere at once.

use std::ops::ControlFlow;

use super::fault::Fault;
use super::rows::{Rows, Tx};
use super::tables::{Key, T};
use crate::api::{Name, Version};
use crate::store::op::{Define, Defined, WorkflowRecord};

/// The row of the last definition's number.
const GENERATION: &[u8] = b"generation";

/// Idempotency keys kept for each workflow.
const KEYS_KEPT: usize = 16;

/// See the port.
pub(super) fn define(tx: &mut Tx<'_>, define: &Define) -> Result<Defined, Fault> {
    if tx.get(T::Versions, define.version.as_str().as_bytes())?.is_none() {
        tx.put(T::Versions, define.version.as_str(), define.definition.as_bytes())?;
    }
    let current = workflow(tx, &define.namespace, &define.name)?;
    let mut known = keys(tx, define)?;
    if let Some(current) = &current
        && !define.key.is_empty()
        && known.contains(&define.key)
    {
        return Ok(Defined { record: current.clone(), unchanged: true });
    }
    if let Some(current) = current
        && current.version == define.version
        && current.pool == define.pool
        && current.retention_ms == define.retention.0
    {
        return Ok(Defined { record: current, unchanged: true });
    }
    let generation = tx.number(T::Meta, GENERATION)?.unwrap_or(0) + 1;
    tx.put(T::Meta, GENERATION, &generation.to_be_bytes())?;
    let record = WorkflowRecord {
        name: define.name.clone(),
        version: define.version.clone(),
        pool: define.pool.clone(),
        retention_ms: define.retention.0,
        generation,
        defined_at: tx.now(define.now),
    };
    let text = serde_json::to_vec(&record).map_err(|e| Fault::Damaged(e.to_string()))?;
    tx.put(T::Workflows, key(&define.namespace, &define.name), &text)?;
    if !define.key.is_empty() {
        known.push(define.key.clone());
        let kept = known.split_off(known.len().saturating_sub(KEYS_KEPT));
        let text = serde_json::to_vec(&kept).map_err(|e| Fault::Damaged(e.to_string()))?;
        tx.put(T::Meta, keys_row(define), &text)?;
    }
    Ok(Defined { record, unchanged: false })
}

/// Idempotency keys of the workflow's last definitions, the latest last.
fn keys(tx: &mut Tx<'_>, define: &Define) -> Result<Vec<String>, Fault> {
    let row = tx.get(T::Meta, &keys_row(define))?;
    let read = |text: Vec<u8>| serde_json::from_slice(&text).map_err(|_| Fault::damaged(T::Meta, "a list of keys"));
    row.map_or_else(|| Ok(Vec::new()), read)
}

fn keys_row(define: &Define) -> Vec<u8> {
    format!("keys of {}/{}", define.namespace, define.name).into_bytes()
}

fn key(namespace: &Name, name: &Name) -> Key {
    Key::global().text(namespace.as_str()).text(name.as_str())
}

fn read(text: &[u8]) -> Result<WorkflowRecord, Fault> {
    serde_json::from_slice(text).map_err(|e| Fault::Damaged(format!("a workflow's record cannot be read: {e}")))
}

/// See the port.
pub(super) fn definition(rows: &mut impl Rows, version: &Version) -> Result<Option<String>, Fault> {
    let row = rows.get(T::Versions, version.as_str().as_bytes())?;
    row.map(|bytes| String::from_utf8(bytes).map_err(|_| Fault::damaged(T::Versions, "text"))).transpose()
}

/// See the port.
pub(super) fn workflow(rows: &mut impl Rows, namespace: &Name, name: &Name) -> Result<Option<WorkflowRecord>, Fault> {
    rows.get(T::Workflows, key(namespace, name).bytes())?.map(|text| read(&text)).transpose()
}

/// See the port.
pub(super) fn workflows(rows: &mut impl Rows, namespace: &Name) -> Result<Vec<WorkflowRecord>, Fault> {
    let mut found = Vec::new();
    rows.scan_prefix(T::Workflows, &Key::global().text(namespace.as_str()), &mut |_, text| {
        found.push(read(text));
        ControlFlow::Continue(())
    })?;
    found.into_iter().collect()
}
