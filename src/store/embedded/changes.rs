//! The feed of changes: who follows a run is told when it ends, is blocked, is held or goes on.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::fault::Fault;
use super::rows::{Rows, RunRow, Tx};
use super::tables::{Key, PARTITION_BYTES, Parts, T};
use crate::api::limits::{CHANGES_KEPT, CHANGES_PAGE_BYTES, CHANGES_PAGE_MAX, CHANGES_TRIMMED};
use crate::api::{Partition, RunKey};
use crate::machine::run::Phase;
use crate::store::op::{Change, Changes, Wake};

/// Puts a run into the feed, when somebody follows it.
pub(super) fn tell(tx: &mut Tx<'_>, row: &RunRow) -> Result<(), Fault> {
    if row.record.origin.is_empty() {
        return Ok(());
    }
    let end = Key::of(row.partition);
    let place = tx.number(T::ChangesEnd, end.bytes())?.unwrap_or(0) + 1;
    tx.put(T::ChangesEnd, &end, &place.to_be_bytes())?;
    tx.put(T::Changes, end.clone().number(place), row.name.as_bytes())?;
    let first = first(tx, row.partition)?.unwrap_or(place);
    if place - first + 1 >= CHANGES_KEPT + CHANGES_TRIMMED {
        for old in first..first + CHANGES_TRIMMED {
            tx.remove(T::Changes, end.clone().number(old))?;
        }
    }
    tx.wake(Wake::Changed(row.partition));
    Ok(())
}

/// The oldest place that is kept.
fn first(rows: &mut impl Rows, partition: Partition) -> Result<Option<u64>, Fault> {
    let mut first = None;
    rows.scan_prefix(T::Changes, &Key::of(partition), &mut |key, _| {
        first = place_of(key);
        ControlFlow::Break(())
    })?;
    Ok(first)
}

fn place_of(key: &[u8]) -> Option<u64> {
    let mut parts = Parts(key);
    parts.skip(PARTITION_BYTES).and_then(|()| parts.number())
}

/// See the port.
pub(super) fn changes(rows: &mut impl Rows, partition: Partition, after: Option<u64>) -> Result<Changes, Fault> {
    let feed = Key::of(partition);
    let last = rows.number(T::ChangesEnd, feed.bytes())?.unwrap_or(0);
    let Some(after) = after else { return Ok(Changes::Told { place: last, runs: Vec::new(), more: false }) };
    let first = first(rows, partition)?.unwrap_or(last + 1);
    if after + 1 < first || after > last {
        return Ok(Changes::TooOld);
    }
    let mut page = Vec::new();
    rows.scan(T::Changes, feed.clone().number(after + 1).bytes(), &feed.end(), false, &mut |_, name| {
        page.push(String::from_utf8_lossy(name).into_owned());
        if page.len() < CHANGES_PAGE_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    let (mut told, mut runs, mut size, mut place) = (BTreeSet::new(), Vec::new(), 0, after);
    for name in page {
        if size >= CHANGES_PAGE_BYTES {
            break;
        }
        place += 1;
        if !told.insert(name.clone()) {
            continue;
        }
        let run: RunKey = name.parse().map_err(|_| Fault::damaged(T::Changes, "a run"))?;
        let record = rows.record(partition, &run)?;
        let closed = record.as_ref().filter(|record| record.phase == Phase::Closed && record.turns > 0);
        let last = match closed.map(|record| record.turns - 1) {
            Some(turn) => rows.entry(partition, &name, turn)?.unwrap_or_default(),
            None => String::new(),
        };
        size += last.len();
        runs.push(Change { run, record, last });
    }
    Ok(Changes::Told { place, runs, more: place < last })
}
