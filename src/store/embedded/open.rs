//! Which runs are open: how many of each version, and those that come from somewhere.

use std::ops::ControlFlow;

use super::fault::Fault;
use super::rows::{Rows, RunRow, Tx};
use super::tables::{Key, PARTITION_BYTES, Parts, T};
use crate::api::limits::FOLLOWED_PAGE_MAX;
use crate::api::{Origin, Partition, RunKey};
use crate::machine::record::RunRecord;
use crate::machine::run::Phase;
use crate::store::op::{FollowedRuns, OpenRuns};

/// A run is open, on its version.
pub(super) fn opened(tx: &mut Tx<'_>, row: &RunRow) -> Result<(), Fault> {
    let key = counted(row, &row.record.version);
    let runs = tx.number(T::Open, key.bytes())?.unwrap_or(0) + 1;
    tx.put(T::Open, key, &runs.to_be_bytes())
}

/// A run of a version is not open any more, or not on that version.
pub(super) fn ended(tx: &mut Tx<'_>, row: &RunRow, version: &str) -> Result<(), Fault> {
    let key = counted(row, version);
    match tx.number(T::Open, key.bytes())?.unwrap_or(0) {
        0 | 1 => tx.remove(T::Open, key).map(|_| ()),
        runs => tx.put(T::Open, key, &(runs - 1).to_be_bytes()),
    }
}

/// An open run comes from somewhere.
pub(super) fn follow(tx: &mut Tx<'_>, row: &RunRow) -> Result<(), Fault> {
    if row.record.origin.is_empty() {
        return Ok(());
    }
    tx.put(T::Followed, row.at(), row.record.origin.as_bytes())
}

/// It has ended.
pub(super) fn unfollow(tx: &mut Tx<'_>, row: &RunRow) -> Result<(), Fault> {
    if row.record.origin.is_empty() {
        return Ok(());
    }
    tx.remove(T::Followed, row.at()).map(|_| ())
}

/// Finds out which runs are open, in a file that was made before that was kept.
pub(super) fn recount(tx: &mut Tx<'_>) -> Result<(), Fault> {
    let mut names = Vec::new();
    tx.scan_prefix(T::Runs, &Key::global(), &mut |key, _| {
        names.push(key.to_vec());
        ControlFlow::Continue(())
    })?;
    for key in names {
        let row = run_of(tx, &key)?;
        if row.record.phase != Phase::Closed {
            opened(tx, &row)?;
            follow(tx, &row)?;
        }
    }
    Ok(())
}

fn run_of(tx: &mut Tx<'_>, key: &[u8]) -> Result<RunRow, Fault> {
    let damaged = || Fault::damaged(T::Runs, "a run");
    let (partition, name) = key.split_first_chunk().ok_or_else(damaged)?;
    let (partition, name) = (Partition(u16::from_be_bytes(*partition)), Parts(name).text().ok_or_else(damaged)?);
    let run: RunKey = name.parse().map_err(|_| damaged())?;
    let record = tx.record(partition, &run)?.ok_or_else(damaged)?;
    Ok(RunRow { partition, name: name.to_owned(), key: run, record })
}

fn counted(row: &RunRow, version: &str) -> Key {
    let RunRecord { workflow, .. } = &row.record;
    Key::of(row.partition).text(row.key.namespace.as_str()).text(workflow).text(version)
}

/// See the port.
pub(super) fn open_runs(rows: &mut impl Rows, partition: Partition) -> Result<Vec<OpenRuns>, Fault> {
    let mut all = Vec::new();
    rows.scan_prefix(T::Open, &Key::of(partition), &mut |key, value| {
        all.push(read(key, value));
        ControlFlow::Continue(())
    })?;
    all.into_iter().map(|read| read.ok_or_else(|| Fault::damaged(T::Open, "a number of runs"))).collect()
}

fn read(key: &[u8], value: &[u8]) -> Option<OpenRuns> {
    let mut parts = Parts(key);
    parts.skip(PARTITION_BYTES)?;
    let (namespace, workflow, version) = (parts.text()?.parse().ok()?, parts.text()?.parse().ok()?, parts.text()?.parse().ok()?);
    Some(OpenRuns { namespace, workflow, version, runs: Parts(value).number()? })
}

/// See the port.
pub(super) fn followed(rows: &mut impl Rows, partition: Partition, after: Option<&RunKey>) -> Result<FollowedRuns, Fault> {
    let all = Key::of(partition);
    let from = after.map_or_else(|| all.bytes().to_vec(), |run| all.clone().text(&run.to_string()).end());
    let mut page = Vec::new();
    rows.scan(T::Followed, &from, &all.end(), false, &mut |key, origin| {
        page.push(read_followed(key, origin));
        if page.len() <= FOLLOWED_PAGE_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    let more = page.len() > FOLLOWED_PAGE_MAX;
    page.truncate(FOLLOWED_PAGE_MAX);
    let runs = page.into_iter().map(|read| read.ok_or_else(|| Fault::damaged(T::Followed, "a run"))).collect::<Result<_, _>>()?;
    Ok(FollowedRuns { runs, more })
}

fn read_followed(key: &[u8], origin: &[u8]) -> Option<(RunKey, Origin)> {
    let mut parts = Parts(key);
    parts.skip(PARTITION_BYTES)?;
    Some((parts.text()?.parse().ok()?, std::str::from_utf8(origin).ok()?.parse().ok()?))
}
