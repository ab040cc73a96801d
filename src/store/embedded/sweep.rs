//! Retention: closed runs go when their time is over.

use std::ops::ControlFlow;

use super::fault::Fault;
use super::rows::{Rows, RunRow, Tx};
use super::sessions;
use super::tables::{Key, PARTITION_BYTES, Parts, T};
use crate::api::limits;
use crate::api::{Partition, TimeMs};
use crate::store::op::Swept;

/// See the port. Sessions that ended long ago go with them.
pub(super) fn sweep(tx: &mut Tx<'_>, partition: Partition, now: TimeMs) -> Result<Swept, Fault> {
    let now = tx.now(now);
    let mut over = Vec::new();
    let end = Key::of(partition).time(TimeMs(now.0.saturating_add(1)));
    tx.scan(T::Closed, Key::of(partition).bytes(), end.bytes(), false, &mut |key, _| {
        over.push(key.to_vec());
        if over.len() <= limits::SLICE_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    let more = over.len() > limits::SLICE_MAX;
    over.truncate(limits::SLICE_MAX);
    for key in &over {
        let mut parts = Parts(key);
        let run = parts.skip(PARTITION_BYTES + 8).and_then(|()| parts.text()).ok_or_else(|| Fault::damaged(T::Closed, "a closed run"))?;
        if let Some(row) = tx.load_named(run)? {
            remove(tx, &row)?;
        }
        tx.remove(T::Closed, key)?;
    }
    sessions::forget(tx, partition, now)?;
    Ok(Swept { runs: u32::try_from(over.len()).unwrap_or(u32::MAX), more })
}

fn remove(tx: &mut Tx<'_>, row: &RunRow) -> Result<(), Fault> {
    let (namespace, id, at) = (row.key.namespace.as_str(), row.key.id.as_str(), row.record.started_at);
    tx.remove(T::Started, Key::global().text(namespace).time(at).text(id))?;
    tx.remove(T::StartedOf, Key::global().text(namespace).text(&row.record.workflow).time(at).text(id))?;
    tx.remove_prefix(T::Journal, &row.at())?;
    tx.remove(T::Runs, row.at())?;
    Ok(())
}
