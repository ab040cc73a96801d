//! A run begins.

use super::define;
use super::fault::Fault;
use super::grant::{self, Slots};
use super::mailbox::{self, Mail};
use super::open;
use super::rows::{RunRow, Tx};
use super::tables::{Key, T};
use crate::machine::run::Phase;
use crate::store::born::born;
use crate::store::op::{Start, Started};

/// See the port. The id comes before the version: a repeat after a new definition is still a repeat.
pub(super) fn start(tx: &mut Tx<'_>, start: &Start) -> Result<Started, Fault> {
    let now = tx.now(start.now);
    let origin = start.origin.as_ref().map_or("", |origin| origin.as_str());
    if let Some(mut row) = tx.load(&start.run)? {
        if row.record.workflow != start.workflow.as_str() || row.record.input_hash != start.input_hash {
            return Ok(Started::Taken(row.record));
        }
        if !origin.is_empty() && row.record.origin.is_empty() && row.record.phase != Phase::Closed {
            row.record.follow(origin);
            open::follow(tx, &row)?;
            tx.save(&row)?;
        }
        return Ok(Started::Existing(row.record));
    }
    let Some(current) = define::workflow(tx, &start.run.namespace, &start.workflow)? else { return Ok(Started::WorkflowNotFound) };
    if current.retired {
        return Ok(Started::Retired(current));
    }
    if current.version != start.version {
        return Ok(Started::VersionChanged(current));
    }
    let partition = start.run.partition(tx.partitions());
    let mut row = RunRow { partition, key: start.run.clone(), name: start.run.to_string(), record: born(start, &current, now) };
    let mut slots = Slots::of(tx, partition, start.offer.as_ref())?;
    let (namespace, id) = (start.run.namespace.as_str(), start.run.id.as_str());
    tx.put(T::Started, Key::global().text(namespace).time(now).text(id), &[])?;
    tx.put(T::StartedOf, Key::global().text(namespace).text(start.workflow.as_str()).time(now).text(id), &[])?;
    open::opened(tx, &row)?;
    open::follow(tx, &row)?;
    mailbox::receive(tx, &mut row, Mail::of(&start.event))?;
    let grant = grant::ready(tx, &mut row, &mut slots, now)?;
    tx.save(&row)?;
    Ok(Started::New { record: row.record, grant })
}
