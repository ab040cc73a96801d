//! What waits, is leased and falls due, by counting: a file serves one process.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::attempts::head;
use super::due;
use super::fault::Fault;
use super::rows::{Rows, RunRow, Tx};
use super::tables::{DueKind, Key, LeaseKind, PARTITION_BYTES, Parts, T};
use crate::api::limits::{TIMERS_AHEAD, TIMERS_TOLD_MAX};
use crate::api::{Partition, TimeMs};
use crate::machine::record::EXTERNAL;
use crate::machine::run::Phase;
use crate::store::op::{Leased, Load, Waiting};

/// What stands before the pool in the name of a queue of a pool.
const OF_POOL: &str = "pool:";

/// An attempt is settled.
pub(super) fn settled(tx: &mut Tx<'_>, row: &RunRow, index: usize) -> Result<(), Fault> {
    if row.record.attempts.get(index).is_none_or(|attempt| !attempt.queue.is_empty()) {
        return Ok(());
    }
    let key = Key::of(row.partition).text(&row.record.pool);
    let count = tx.number(T::Settled, key.bytes())?.unwrap_or(0) + 1;
    tx.put(T::Settled, key, &count.to_be_bytes())
}

/// See the port.
pub(super) fn load(rows: &mut impl Rows, partition: Partition, now: TimeMs) -> Result<Load, Fault> {
    let mut load = Load { now, leases: leases(rows, partition)?, due: timers(rows, partition, now)?, ..Load::default() };
    load.turns = turns(rows, partition)?;
    for (queue, count) in super::counts::by_first(rows, T::Queued, partition)? {
        let Some(pool) = queue.strip_prefix(OF_POOL) else { continue };
        let since = head(rows, partition, &queue, 1)?.first().map_or(now, |first| first.queued_at);
        load.attempts.insert(pool.to_owned(), Waiting { count, since });
    }
    rows.scan_prefix(T::Settled, &Key::of(partition), &mut |key, value| {
        let mut parts = Parts(key);
        let pool = parts.skip(PARTITION_BYTES).and_then(|()| parts.text());
        if let (Some(pool), Some(count)) = (pool, Parts(value).number()) {
            load.settled.insert(pool.to_owned(), count);
        }
        ControlFlow::Continue(())
    })?;
    Ok(load)
}

/// They stand in the order in which they may be claimed: the first of a pool waits longest.
fn turns(rows: &mut impl Rows, partition: Partition) -> Result<BTreeMap<String, Waiting>, Fault> {
    let (mut all, mut damaged) = (BTreeMap::<String, Waiting>::new(), false);
    rows.scan_prefix(T::Ready, &Key::of(partition), &mut |key, _| {
        let mut parts = Parts(key);
        let read = parts.skip(PARTITION_BYTES).and_then(|()| Some((parts.text()?, parts.time()?)));
        let Some((pool, since)) = read else {
            damaged = true;
            return ControlFlow::Break(());
        };
        match all.get_mut(pool) {
            Some(waiting) => waiting.count += 1,
            None => {
                all.insert(pool.to_owned(), Waiting { count: 1, since });
            }
        }
        ControlFlow::Continue(())
    })?;
    if damaged { Err(Fault::damaged(T::Ready, "a ready run")) } else { Ok(all) }
}

fn leases(rows: &mut impl Rows, partition: Partition) -> Result<BTreeMap<crate::api::SessionId, Leased>, Fault> {
    let mut all = BTreeMap::<String, Leased>::new();
    rows.scan_prefix(T::Leases, &Key::of(partition), &mut |key, _| {
        let mut parts = Parts(key);
        if let Some((session, kind)) = parts.skip(PARTITION_BYTES).and_then(|()| Some((parts.text()?, parts.byte()?))) {
            let leased = all.entry(session.to_owned()).or_default();
            if kind == LeaseKind::Turn.byte() { leased.turns += 1 } else { leased.attempts += 1 }
        }
        ControlFlow::Continue(())
    })?;
    // A program of an external queue has no session.
    all.remove(EXTERNAL);
    Ok(all.into_iter().filter_map(|(session, leased)| Some((session.parse().ok()?, leased))).collect())
}

fn timers(rows: &mut impl Rows, partition: Partition, now: TimeMs) -> Result<Vec<(TimeMs, String)>, Fault> {
    let mut next = Vec::new();
    let end = Key::of(partition).time(TimeMs(now.plus(TIMERS_AHEAD).0 + 1));
    rows.scan(T::Due, Key::of(partition).bytes(), end.bytes(), false, &mut |key, _| {
        next.extend(due::read(key).filter(|thing| thing.kind != DueKind::GiveUp));
        if next.len() < TIMERS_TOLD_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    let mut timers = Vec::new();
    for thing in next {
        let run = thing.run.parse().map_err(|_| Fault::damaged(T::Due, "a run"))?;
        let record = rows.record(partition, &run)?;
        timers
            .extend(record.filter(|record| !matches!(record.phase, Phase::Closed | Phase::Blocked)).map(|record| (thing.at, record.pool)));
    }
    Ok(timers)
}
