//! Leases by session. A turn's lease hangs on its session alone; an attempt's has a deadline of its own too.

use super::fault::Fault;
use super::lengths::{self, Kind};
use super::rows::{Rows, RunRow, Tx};
use super::tables::{Key, LeaseKind, PARTITION_BYTES, Parts, T};
use crate::api::ids::Seq;
use crate::api::{CommandNo, Partition, RunKey, SessionId, TimeMs};
use crate::machine::commit::AttemptClaim;
use crate::store::op::Leases;

/// A lease of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) kind: LeaseKind,
    pub(super) run: String,
    /// 0 for a turn.
    pub(super) command: CommandNo,
    pub(super) seq: Seq,
    /// 0 for a turn.
    pub(super) deadline: TimeMs,
}

/// A session's leases, as a prefix.
fn of(partition: Partition, session: &str) -> Key {
    Key::of(partition).text(session)
}

fn key(row: &RunRow, session: &str, kind: LeaseKind, command: CommandNo) -> Key {
    of(row.partition, session).byte(kind.byte()).text(&row.name).short(command)
}

fn due_key(row: &RunRow, deadline: TimeMs, command: CommandNo) -> Key {
    Key::of(row.partition).time(deadline).text(&row.name).short(command)
}

/// Records a lease on a turn.
pub(super) fn put_turn(tx: &mut Tx<'_>, row: &RunRow, session: &str, seq: Seq) -> Result<(), Fault> {
    put(tx, row, session, LeaseKind::Turn, 0, seq, TimeMs(0))
}

/// Removes it.
pub(super) fn remove_turn(tx: &mut Tx<'_>, row: &RunRow, session: &str) -> Result<(), Fault> {
    remove(tx, row, session, LeaseKind::Turn, 0)
}

/// Records a lease on an attempt, or sets its deadline anew.
pub(super) fn put_attempt(
    tx: &mut Tx<'_>,
    row: &RunRow,
    session: &str,
    seq: Seq,
    command: CommandNo,
    deadline: TimeMs,
) -> Result<(), Fault> {
    remove_attempt(tx, row, session, command)?;
    put(tx, row, session, LeaseKind::Attempt, command, seq, deadline)?;
    tx.put(T::LeaseDue, due_key(row, deadline, command), &[])
}

/// Removes it.
pub(super) fn remove_attempt(tx: &mut Tx<'_>, row: &RunRow, session: &str, command: CommandNo) -> Result<(), Fault> {
    let key = key(row, session, LeaseKind::Attempt, command);
    let Some(value) = tx.get(T::Leases, key.bytes())? else { return Ok(()) };
    let (_, deadline) = read_value(&value)?;
    tx.remove(T::LeaseDue, due_key(row, deadline, command))?;
    remove(tx, row, session, LeaseKind::Attempt, command)
}

fn put(tx: &mut Tx<'_>, row: &RunRow, session: &str, kind: LeaseKind, command: CommandNo, seq: Seq, deadline: TimeMs) -> Result<(), Fault> {
    if tx.put_new(T::Leases, key(row, session, kind, command), Key::global().number(seq).time(deadline).bytes())? {
        lengths::change(tx, row.partition, Kind::of_lease(kind), session, 1);
    }
    Ok(())
}

fn remove(tx: &mut Tx<'_>, row: &RunRow, session: &str, kind: LeaseKind, command: CommandNo) -> Result<(), Fault> {
    if tx.remove(T::Leases, key(row, session, kind, command))? {
        lengths::change(tx, row.partition, Kind::of_lease(kind), session, -1);
    }
    Ok(())
}

fn read_value(value: &[u8]) -> Result<(Seq, TimeMs), Fault> {
    let mut parts = Parts(value);
    parts.number().zip(parts.time()).ok_or_else(|| Fault::damaged(T::Leases, "a lease"))
}

/// A session's leases: attempts, then turns, each by run and command. At most `limit`.
pub(super) fn list(rows: &mut impl Rows, partition: Partition, session: &str, limit: usize) -> Result<Vec<Lease>, Fault> {
    let prefix = of(partition, session);
    let found = rows.rows(T::Leases, &prefix, limit)?;
    let read = |(row, value): &(Vec<u8>, Vec<u8>)| {
        let mut parts = Parts(row);
        parts.skip(prefix.bytes().len())?;
        let kind = [LeaseKind::Attempt, LeaseKind::Turn].into_iter().find(|kind| Some(kind.byte()) == Parts(parts.0).byte())?;
        parts.skip(1)?;
        let (run, command) = (parts.text()?.to_owned(), parts.short()?);
        let mut value = Parts(value);
        Some(Lease { kind, run, command, seq: value.number()?, deadline: value.time()? })
    };
    found.iter().map(|row| read(row).ok_or_else(|| Fault::damaged(T::Leases, "a lease"))).collect()
}

/// See the port.
pub(super) fn of_session(rows: &mut impl Rows, partition: Partition, session: &SessionId) -> Result<Leases, Fault> {
    let mut leases = Leases::default();
    for lease in list(rows, partition, session.as_str(), usize::MAX)? {
        let run: RunKey = lease.run.parse().map_err(|e| Fault::Damaged(format!("{e}")))?;
        match lease.kind {
            LeaseKind::Turn => leases.turns.push((run, lease.seq)),
            LeaseKind::Attempt => {
                let record = rows.record(partition, &run)?.ok_or_else(|| Fault::transition("a lease on a run that is not there"))?;
                let attempt = record.attempts.iter().find(|attempt| attempt.command == lease.command);
                let attempt = attempt.ok_or_else(|| Fault::transition("a lease on an attempt that is not there"))?.attempt;
                let claim = AttemptClaim { command: lease.command, attempt, session: session.to_string(), seq: lease.seq };
                leases.attempts.push((run, claim));
            }
        }
    }
    Ok(leases)
}

/// The first deadlines of a partition's attempts, passed or not: deadline, run, command.
pub(super) fn first_due(rows: &mut impl Rows, partition: Partition, limit: usize) -> Result<Vec<(TimeMs, String, CommandNo)>, Fault> {
    let found = rows.rows(T::LeaseDue, &Key::of(partition), limit)?;
    let read = |row: &[u8]| {
        let mut parts = Parts(row);
        parts.skip(PARTITION_BYTES)?;
        Some((parts.time()?, parts.text()?.to_owned(), parts.short()?))
    };
    found.iter().map(|(row, _)| read(row).ok_or_else(|| Fault::damaged(T::LeaseDue, "a deadline"))).collect()
}
