//! Workflows and their versions. A file is one place, so a definition is current everywhere at once.

use std::ops::ControlFlow;

use super::fault::Fault;
use super::rows::{Rows, Tx};
use super::tables::{Key, Parts, T};
use crate::api::{Name, Version};
use crate::store::op::{Define, Defined, Retire, WorkflowRecord};

/// The row of the last definition's number.
const GENERATION: &[u8] = b"generation";

/// Idempotency keys kept for each workflow.
const KEYS_KEPT: usize = 16;

/// See the port.
pub(super) fn define(tx: &mut Tx<'_>, define: &Define) -> Result<Defined, Fault> {
    let of = keys_of(&define.namespace, &define.name);
    let current = workflow(tx, &define.namespace, &define.name)?;
    if let Some(current) = &current {
        if knows(tx, &of, &define.key)? {
            return Ok(Defined::Done { record: current.clone(), unchanged: true });
        }
        if current.is_held_from(define.holder.as_ref()) {
            return Ok(Defined::Held(current.clone()));
        }
    }
    if tx.get(T::Versions, define.version.as_str().as_bytes())?.is_none() {
        tx.put(T::Versions, define.version.as_str(), define.definition.as_bytes())?;
    }
    let next = WorkflowRecord {
        name: define.name.clone(),
        version: define.version.clone(),
        pool: define.pool.clone(),
        retention_ms: define.retention.0,
        generation: 0,
        defined_at: tx.now(define.now),
        holder: define.holder.as_ref().map_or_else(String::new, ToString::to_string),
        retired: false,
    };
    replace(tx, &define.namespace, current, next, &define.key)
}

/// See the port.
pub(super) fn retire(tx: &mut Tx<'_>, retire: &Retire) -> Result<Option<Defined>, Fault> {
    let of = keys_of(&retire.namespace, &retire.name);
    let Some(current) = workflow(tx, &retire.namespace, &retire.name)? else { return Ok(None) };
    if current.retired || knows(tx, &of, &retire.key)? {
        return Ok(Some(Defined::Done { record: current, unchanged: true }));
    }
    if current.is_held_from(retire.holder.as_ref()) {
        return Ok(Some(Defined::Held(current)));
    }
    let next = WorkflowRecord { defined_at: tx.now(retire.now), holder: String::new(), retired: true, ..current.clone() };
    replace(tx, &retire.namespace, Some(current), next, &retire.key).map(Some)
}

/// Makes a record current, with a generation of its own, unless it says what is so already.
fn replace(
    tx: &mut Tx<'_>,
    namespace: &Name,
    current: Option<WorkflowRecord>,
    next: WorkflowRecord,
    by_key: &str,
) -> Result<Defined, Fault> {
    if let Some(current) = current
        && current == (WorkflowRecord { generation: current.generation, defined_at: current.defined_at, ..next.clone() })
    {
        return Ok(Defined::Done { record: current, unchanged: true });
    }
    let generation = tx.number(T::Meta, GENERATION)?.unwrap_or(0) + 1;
    tx.put(T::Meta, GENERATION, &generation.to_be_bytes())?;
    let record = WorkflowRecord { generation, ..next };
    let text = serde_json::to_vec(&record).map_err(|e| Fault::Damaged(e.to_string()))?;
    tx.put(T::Workflows, key(namespace, &record.name), &text)?;
    if !by_key.is_empty() {
        let of = keys_of(namespace, &record.name);
        let mut known = keys(tx, &of)?;
        known.push(by_key.to_owned());
        let kept = known.split_off(known.len().saturating_sub(KEYS_KEPT));
        let text = serde_json::to_vec(&kept).map_err(|e| Fault::Damaged(e.to_string()))?;
        tx.put(T::Meta, of, &text)?;
    }
    Ok(Defined::Done { record, unchanged: false })
}

fn knows(tx: &mut Tx<'_>, of: &str, key: &str) -> Result<bool, Fault> {
    Ok(!key.is_empty() && keys(tx, of)?.iter().any(|known| known == key))
}

/// Idempotency keys of the workflow's last definitions, the latest last.
fn keys(tx: &mut Tx<'_>, of: &str) -> Result<Vec<String>, Fault> {
    let row = tx.get(T::Meta, of.as_bytes())?;
    let read = |text: Vec<u8>| serde_json::from_slice(&text).map_err(|_| Fault::damaged(T::Meta, "a list of keys"));
    row.map_or_else(|| Ok(Vec::new()), read)
}

/// The row of a workflow's idempotency keys.
fn keys_of(namespace: &Name, name: &Name) -> String {
    format!("keys of {namespace}/{name}")
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

/// See the port.
pub(super) fn held(rows: &mut impl Rows) -> Result<Vec<(Name, WorkflowRecord)>, Fault> {
    let mut found = Vec::new();
    rows.scan_prefix(T::Workflows, &Key::global(), &mut |key, text| {
        let namespace = Parts(key).text().and_then(|text| text.parse::<Name>().ok());
        found.push(namespace.ok_or_else(|| Fault::damaged(T::Workflows, "a workflow")).and_then(|of| Ok((of, read(text)?))));
        ControlFlow::Continue(())
    })?;
    let mut all = found.into_iter().collect::<Result<Vec<_>, _>>()?;
    all.retain(|(_, record)| !record.holder.is_empty());
    Ok(all)
}
