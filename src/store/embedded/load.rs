//! What waits, is leased and falls due: from numbers that the operations keep, and the first row of each queue.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::attempts::head;
use super::due;
use super::fault::Fault;
use super::lengths::{self, Kind};
use super::rows::{Rows, RunRow, Tx};
use super::tables::{DueKind, Key, PARTITION_BYTES, Parts, T};
use crate::api::limits::{OVERDUE_COUNTED_MAX, TIMERS_AHEAD, TIMERS_TOLD_MAX};
use crate::api::{DurationMs, Partition, TimeMs};
use crate::machine::record::EXTERNAL;
use crate::machine::run::Phase;
use crate::machine::scaling::slot_time::Bucket;
use crate::store::op::{Completions, Leased, Load, Waiting};

/// What stands before the pool in the name of a queue of a pool.
const OF_POOL: &str = "pool:";
/// Rows of what falls due that are looked at for the next timers: times at which attempts are given up stand among them.
const DUE_LOOKED_AT_MAX: usize = 1_024;
/// Of the keys in `Settled`.
const ATTEMPT: u8 = b'A';
const TURN: u8 = b'T';

/// An attempt's lease ends with an outcome, or it is settled without one. Those of external queues are no pool's work.
pub(super) fn attempt_ended(tx: &mut Tx<'_>, row: &RunRow, index: usize, now: TimeMs) {
    let Some(attempt) = row.record.attempts.get(index).filter(|attempt| attempt.queue.is_empty()) else { return };
    let key = Key::of(row.partition).text(&row.record.pool);
    let had_a_slot = attempt.started_at > TimeMs(0);
    let key = if had_a_slot { with(key, ATTEMPT, now.since(attempt.started_at)) } else { key };
    tx.count(T::Settled, key, 1);
}

/// A turn's lease ends with its commit.
pub(super) fn turn_ended(tx: &mut Tx<'_>, row: &RunRow, at: TimeMs, now: TimeMs) {
    tx.count(T::Settled, with(Key::of(row.partition).text(&row.record.pool), TURN, now.since(at)), 1);
}

fn with(key: Key, kind: u8, slot_time: DurationMs) -> Key {
    key.byte(kind).byte(Bucket::of(slot_time).as_number())
}

/// See the port.
pub(super) fn load(rows: &mut impl Rows, partition: Partition, now: TimeMs) -> Result<Load, Fault> {
    let mut load = Load {
        now,
        leases: leases(rows, partition)?,
        due: timers(rows, partition, now)?,
        overdue: overdue(rows, partition, now)?,
        ..Load::default()
    };
    for (pool, count) in lengths::all(rows, partition, Kind::Ready)? {
        let since = first_ready(rows, partition, &pool)?.unwrap_or(now);
        load.turns.insert(pool, Waiting { count, since });
    }
    for (queue, count) in lengths::all(rows, partition, Kind::Queued)? {
        let Some(pool) = queue.strip_prefix(OF_POOL) else { continue };
        let since = head(rows, partition, &queue, 1)?.first().map_or(now, |first| first.queued_at);
        load.attempts.insert(pool.to_owned(), Waiting { count, since });
    }
    load.ended = ended(rows, partition)?;
    Ok(load)
}

/// They stand in the order in which they may be claimed: the first of a pool waits longest.
fn first_ready(rows: &mut impl Rows, partition: Partition, pool: &str) -> Result<Option<TimeMs>, Fault> {
    let prefix = Key::of(partition).text(pool);
    let found = rows.rows(T::Ready, &prefix, 1)?;
    let read = |key: &[u8]| {
        let mut parts = Parts(key);
        parts.skip(prefix.bytes().len()).and_then(|()| parts.time())
    };
    found.first().map(|(key, _)| read(key).ok_or_else(|| Fault::damaged(T::Ready, "a ready run"))).transpose()
}

fn leases(rows: &mut impl Rows, partition: Partition) -> Result<BTreeMap<crate::api::SessionId, Leased>, Fault> {
    let mut all = BTreeMap::<String, Leased>::new();
    for (session, turns) in lengths::all(rows, partition, Kind::Turns)? {
        all.entry(session).or_default().turns = turns;
    }
    for (session, attempts) in lengths::all(rows, partition, Kind::Attempts)? {
        all.entry(session).or_default().attempts = attempts;
    }
    // A program of an external queue has no session.
    all.remove(EXTERNAL);
    Ok(all.into_iter().filter_map(|(session, leased)| Some((session.parse().ok()?, leased))).collect())
}

fn ended(rows: &mut impl Rows, partition: Partition) -> Result<BTreeMap<String, Completions>, Fault> {
    let mut all = BTreeMap::<String, Completions>::new();
    rows.scan_prefix(T::Settled, &Key::of(partition), &mut |key, value| {
        let mut parts = Parts(key);
        let pool = parts.skip(PARTITION_BYTES).and_then(|()| parts.text());
        if let (Some(pool), Some(count)) = (pool, Parts(value).number()) {
            let of_pool = all.entry(pool.to_owned()).or_default();
            let (kind, bucket) = (parts.0.first(), parts.0.get(1).copied().and_then(Bucket::numbered));
            let tally = if kind == Some(&TURN) { &mut of_pool.turns } else { &mut of_pool.attempts };
            *tally.entry(bucket).or_default() += count;
        }
        ControlFlow::Continue(())
    })?;
    Ok(all)
}

fn overdue(rows: &mut impl Rows, partition: Partition, now: TimeMs) -> Result<u64, Fault> {
    let mut count = 0;
    let end = Key::of(partition).time(TimeMs(now.0.saturating_add(1)));
    rows.scan(T::Due, Key::of(partition).bytes(), end.bytes(), false, &mut |key, _| {
        count += usize::from(due::read(key).is_some_and(|thing| thing.kind != DueKind::GiveUp));
        if count < OVERDUE_COUNTED_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(u64::try_from(count).unwrap_or(u64::MAX))
}

fn timers(rows: &mut impl Rows, partition: Partition, now: TimeMs) -> Result<Vec<(TimeMs, String)>, Fault> {
    let (mut next, mut looked_at) = (Vec::new(), 0);
    let end = Key::of(partition).time(TimeMs(now.plus(TIMERS_AHEAD).0 + 1));
    rows.scan(T::Due, Key::of(partition).bytes(), end.bytes(), false, &mut |key, _| {
        next.extend(due::read(key).filter(|thing| thing.kind != DueKind::GiveUp));
        looked_at += 1;
        if next.len() < TIMERS_TOLD_MAX && looked_at < DUE_LOOKED_AT_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
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
