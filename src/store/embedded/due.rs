//! What falls due in a partition: timers, ends of back-offs, schedule time-outs. One row by time, one by run.

use super::fault::Fault;
use super::rows::{Rows, RunRow, Tx};
use super::tables::{DueKind, Key, PARTITION_BYTES, Parts, T};
use crate::api::{CommandNo, Partition, TimeMs};
use crate::store::op::Wake;

/// A thing that falls due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) at: TimeMs,
    pub(super) kind: DueKind,
    pub(super) run: String,
    pub(super) command: CommandNo,
}

/// Sets it, in place of what was set for the same command before. Whether it is new.
pub(super) fn set(tx: &mut Tx<'_>, row: &RunRow, kind: DueKind, command: CommandNo, at: TimeMs) -> Result<bool, Fault> {
    let before = forget(tx, row, kind, command)?;
    tx.put(T::Due, Key::of(row.partition).time(at).byte(kind.byte()).text(&row.name).short(command), &[])?;
    tx.put(T::DueOf, row.at().byte(kind.byte()).short(command), &at.0.to_be_bytes())?;
    tx.wake(Wake::Due { partition: row.partition, at });
    Ok(!before)
}

/// Forgets it. Whether it was set.
pub(super) fn forget(tx: &mut Tx<'_>, row: &RunRow, kind: DueKind, command: CommandNo) -> Result<bool, Fault> {
    let Some(at) = tx.take_number(T::DueOf, row.at().byte(kind.byte()).short(command))? else { return Ok(false) };
    tx.remove(T::Due, Key::of(row.partition).number(at).byte(kind.byte()).text(&row.name).short(command))
}

/// Forgets everything of a run.
pub(super) fn forget_all(tx: &mut Tx<'_>, row: &RunRow) -> Result<(), Fault> {
    for (key, value) in tx.rows(T::DueOf, &row.at(), usize::MAX)? {
        let mut parts = Parts(&key);
        let read = (|| {
            parts.skip(row.at().bytes().len())?;
            Some((parts.byte()?, parts.short()?, Parts(&value).number()?))
        })();
        let (kind, command, at) = read.ok_or_else(|| Fault::damaged(T::DueOf, "a due thing"))?;
        tx.remove(T::Due, Key::of(row.partition).number(at).byte(kind).text(&row.name).short(command))?;
        tx.remove(T::DueOf, key)?;
    }
    Ok(())
}

/// The first things of a partition, due or not, in the order of their firing.
pub(super) fn first(rows: &mut impl Rows, partition: Partition, limit: usize) -> Result<Vec<Due>, Fault> {
    let rows = rows.rows(T::Due, &Key::of(partition), limit)?;
    rows.iter().map(|(key, _)| read(key).ok_or_else(|| Fault::damaged(T::Due, "a due thing"))).collect()
}

/// Takes the key of a row apart.
pub(super) fn read(key: &[u8]) -> Option<Due> {
    let mut parts = Parts(key);
    parts.skip(PARTITION_BYTES)?;
    Some(Due { at: parts.time()?, kind: DueKind::of(parts.byte()?)?, run: parts.text()?.to_owned(), command: parts.short()? })
}
