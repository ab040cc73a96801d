//! Attempts at activities: queued, leased, backing off, and their way out.
//!
//! The record holds each attempt; the rows here say where it stands in a queue, under a lease or among what falls due, and
//! are kept equal to the record in the same transaction.

use super::due;
use super::fault::Fault;
use super::leases;
use super::lengths::{self, Kind};
use super::rows::{Rows, RunRow, Tx};
use super::tables::{DueKind, Key, Parts, T};
use crate::api::ids::Seq;
use crate::api::{CommandNo, DurationMs, Partition, TimeMs};
use crate::machine::activity::{self, AttemptPhase, Input, Next};
use crate::machine::record::AttemptRecord;
use crate::store::op::Wake;

/// The name of a pool's own queue.
pub(super) fn pool_queue(pool: &str) -> String {
    format!("pool:{pool}")
}

/// The name of an external queue, `namespace/name`.
pub(super) fn external_queue(queue: &str) -> String {
    format!("queue:{queue}")
}

fn queue_of(row: &RunRow, attempt: &AttemptRecord) -> String {
    if attempt.queue.is_empty() { pool_queue(&row.record.pool) } else { external_queue(&attempt.queue) }
}

/// A queued attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct QueuedRow {
    pub(super) queued_at: TimeMs,
    pub(super) command: CommandNo,
    pub(super) run: String,
}

/// The first of a queue.
pub(super) fn head(rows: &mut impl Rows, partition: Partition, queue: &str, limit: usize) -> Result<Vec<QueuedRow>, Fault> {
    let found = rows.rows(T::Queued, &Key::of(partition).text(queue), limit)?;
    let read = |value: &[u8]| {
        let mut parts = Parts(value);
        Some(QueuedRow { queued_at: parts.time()?, command: parts.short()?, run: parts.rest()?.to_owned() })
    };
    found.iter().map(|(_, value)| read(value).ok_or_else(|| Fault::damaged(T::Queued, "a queued attempt"))).collect()
}

/// Where the attempt of a command stands in the record.
pub(super) fn find(row: &RunRow, command: CommandNo) -> Option<usize> {
    row.record.attempts.iter().position(|attempt| attempt.command == command)
}

fn at(row: &mut RunRow, index: usize) -> Result<&mut AttemptRecord, Fault> {
    row.record.attempts.get_mut(index).ok_or_else(|| Fault::transition("an attempt that is not there"))
}

fn step(row: &mut RunRow, index: usize, input: Input) -> Result<AttemptPhase, Fault> {
    let attempt = at(row, index)?;
    match activity::next(attempt.phase, input) {
        Some(Next::Phase(phase)) => {
            attempt.phase = phase;
            Ok(phase)
        }
        Some(Next::Settled) | None => Err(Fault::transition("an attempt in another phase")),
    }
}

/// Puts a queued attempt at the end of its queue and says so.
pub(super) fn enqueue(tx: &mut Tx<'_>, row: &RunRow, index: usize, now: TimeMs) -> Result<(), Fault> {
    let attempt = row.record.attempts.get(index).ok_or_else(|| Fault::transition("an attempt that is not there"))?;
    let place = tx.sequence()?;
    let mut value = Key::global().time(now).short(attempt.command).bytes().to_vec();
    value.extend_from_slice(row.name.as_bytes());
    let queue = queue_of(row, attempt);
    tx.put(T::Queued, Key::of(row.partition).text(&queue).number(place), &value)?;
    lengths::change(tx, row.partition, Kind::Queued, &queue, 1);
    tx.put(T::QueuedOf, row.at().short(attempt.command), &place.to_be_bytes())?;
    give_up_later(tx, row, attempt)?;
    tx.wake(if attempt.queue.is_empty() {
        Wake::Pool { partition: row.partition, pool: row.record.pool.clone() }
    } else {
        Wake::Queue { partition: row.partition, queue: attempt.queue.clone() }
    });
    Ok(())
}

/// Nobody has the attempt: it is given up when its first start or its end is overdue.
fn give_up_later(tx: &mut Tx<'_>, row: &RunRow, attempt: &AttemptRecord) -> Result<(), Fault> {
    match [attempt.start_by, attempt.close_by].into_iter().filter(|at| *at > TimeMs(0)).min() {
        Some(at) => due::set(tx, row, DueKind::GiveUp, attempt.command, at).map(|_| ()),
        None => Ok(()),
    }
}

/// When a lease on an attempt ends that begins, or gives a sign of life, now.
fn lease_end(attempt: &AttemptRecord, now: TimeMs) -> TimeMs {
    let left = attempt.timeout_ms.saturating_sub(now.since(attempt.started_at).0);
    let bound = if attempt.heartbeat_ms == 0 { left } else { left.min(attempt.heartbeat_ms) };
    let end = now.plus(DurationMs(bound));
    if attempt.close_by > TimeMs(0) { end.min(attempt.close_by) } else { end }
}

/// A sign of life of whoever has the attempt. When its lease ends.
pub(super) fn extend(tx: &mut Tx<'_>, row: &RunRow, attempt: &AttemptRecord, now: TimeMs) -> Result<TimeMs, Fault> {
    let end = lease_end(attempt, now);
    leases::put_attempt(tx, row, &attempt.session, attempt.seq, attempt.command, end)?;
    Ok(end)
}

/// Takes an attempt out of its queue; nothing when it stands in none.
pub(super) fn unqueue(tx: &mut Tx<'_>, row: &RunRow, index: usize) -> Result<(), Fault> {
    let attempt = row.record.attempts.get(index).ok_or_else(|| Fault::transition("an attempt that is not there"))?;
    if let Some(place) = tx.take_number(T::QueuedOf, row.at().short(attempt.command))? {
        let queue = queue_of(row, attempt);
        tx.remove(T::Queued, Key::of(row.partition).text(&queue).number(place))?;
        lengths::change(tx, row.partition, Kind::Queued, &queue, -1);
    }
    Ok(())
}

/// Leases an attempt that stands in no queue (any more).
pub(super) fn lease(tx: &mut Tx<'_>, row: &mut RunRow, index: usize, session: &str, seq: Seq, now: TimeMs) -> Result<(), Fault> {
    step(row, index, Input::Claim)?;
    let attempt = at(row, index)?;
    session.clone_into(&mut attempt.session);
    attempt.seq = seq;
    attempt.started_at = now;
    attempt.start_by = TimeMs(0);
    let (command, end) = (attempt.command, lease_end(attempt, now));
    due::forget(tx, row, DueKind::GiveUp, command)?;
    leases::put_attempt(tx, row, session, seq, command, end)
}

/// Ends the lease of an attempt: it is queued again (`Lose`) or backs off (`Retry`). Nobody has it, and it has not begun.
fn unlease(tx: &mut Tx<'_>, row: &mut RunRow, index: usize, input: Input) -> Result<(), Fault> {
    step(row, index, input)?;
    let attempt = at(row, index)?;
    let (session, command) = (std::mem::take(&mut attempt.session), attempt.command);
    attempt.seq = 0;
    attempt.started_at = TimeMs(0);
    leases::remove_attempt(tx, row, &session, command)
}

/// The lease ended without an outcome: back to the end of the queue, same attempt, `losses` more losses.
pub(super) fn lose(tx: &mut Tx<'_>, row: &mut RunRow, index: usize, losses: u32, now: TimeMs) -> Result<(), Fault> {
    unlease(tx, row, index, Input::Lose)?;
    at(row, index)?.losses += losses;
    enqueue(tx, row, index, now)
}

/// It failed and is tried again at `due`.
pub(super) fn back_off(tx: &mut Tx<'_>, row: &mut RunRow, index: usize, due: TimeMs, error: &str) -> Result<(), Fault> {
    unlease(tx, row, index, Input::Retry)?;
    let attempt = at(row, index)?;
    error.clone_into(&mut attempt.last_error);
    let attempt = attempt.clone();
    due::set(tx, row, DueKind::Retry, attempt.command, due)?;
    give_up_later(tx, row, &attempt)
}

/// Its back-off is over: the next attempt is queued.
pub(super) fn retry(tx: &mut Tx<'_>, row: &mut RunRow, index: usize, now: TimeMs) -> Result<(), Fault> {
    step(row, index, Input::Due)?;
    at(row, index)?.attempt += 1;
    enqueue(tx, row, index, now)
}

/// Takes an attempt out of the store, wherever it stands.
pub(super) fn settle(tx: &mut Tx<'_>, row: &mut RunRow, index: usize) -> Result<(), Fault> {
    let attempt = at(row, index)?;
    if activity::next(attempt.phase, Input::Finish) != Some(Next::Settled) {
        return Err(Fault::transition("an attempt that cannot be finished"));
    }
    let (phase, session, command) = (attempt.phase, attempt.session.clone(), attempt.command);
    match phase {
        AttemptPhase::Queued => unqueue(tx, row, index)?,
        AttemptPhase::Leased => leases::remove_attempt(tx, row, &session, command)?,
        AttemptPhase::BackingOff => {
            due::forget(tx, row, DueKind::Retry, command)?;
        }
    }
    due::forget(tx, row, DueKind::GiveUp, command)?;
    row.record.attempts.remove(index);
    Ok(())
}
