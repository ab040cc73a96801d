//! Sessions in a partition: alive until they end, and then ended for ever.

use std::ops::ControlFlow;

use super::attempts;
use super::changes;
use super::fault::Fault;
use super::grant::{self, Slots};
use super::leases::{self, Lease};
use super::mailbox::{self, Mail};
use super::rows::{Rows, RunRow, Tx};
use super::tables::{Key, LeaseKind, PARTITION_BYTES, Parts, T};
use crate::api::limits;
use crate::api::{DurationMs, Name, Partition, SessionId, TimeMs};
use crate::machine::record::EXTERNAL;
use crate::machine::run::{self, Input};
use crate::store::op::{Ended, Ending};

/// How long an ended session is remembered: far longer than any worker sleeps and wakes up again with it.
const TOMBSTONE_KEPT: DurationMs = DurationMs::from_secs(7 * 24 * 3600);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Alive,
    /// Its tombstone stands, leases are left.
    Ending,
    Ended,
}

#[derive(Clone, Copy)]
struct SessionRow {
    state: State,
    /// Its place in the table of times.
    at: TimeMs,
    /// It is to be drained until then; 0: it is not. Rows of an older program have none.
    drains: TimeMs,
}

impl SessionRow {
    fn encode(&self) -> Vec<u8> {
        let state = match self.state {
            State::Alive => 0,
            State::Ending => 1,
            State::Ended => 2,
        };
        let row = Key::global().byte(state).time(self.at);
        if self.drains == TimeMs(0) { row.bytes().to_vec() } else { row.time(self.drains).bytes().to_vec() }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut parts = Parts(bytes);
        let state = match parts.byte()? {
            0 => State::Alive,
            1 => State::Ending,
            2 => State::Ended,
            _ => return None,
        };
        Some(Self { state, at: parts.time()?, drains: parts.time().unwrap_or_default() })
    }
}

fn key(partition: Partition, session: &str) -> Key {
    Key::of(partition).text(session)
}

fn find(rows: &mut impl Rows, partition: Partition, session: &str) -> Result<Option<SessionRow>, Fault> {
    let row = rows.get(T::Sessions, key(partition, session).bytes())?;
    row.map(|bytes| SessionRow::decode(&bytes).ok_or_else(|| Fault::damaged(T::Sessions, "a session"))).transpose()
}

fn set(tx: &mut Tx<'_>, partition: Partition, session: &str, before: Option<&SessionRow>, row: &SessionRow) -> Result<(), Fault> {
    if let Some(before) = before {
        tx.remove(T::SessionDue, Key::of(partition).time(before.at).text(session))?;
    }
    tx.put(T::SessionDue, Key::of(partition).time(row.at).text(session), &[])?;
    tx.put(T::Sessions, key(partition, session), &row.encode())
}

/// Whether a session may be given leases.
pub(super) fn is_alive(rows: &mut impl Rows, partition: Partition, session: &str) -> Result<bool, Fault> {
    Ok(!session.is_empty() && find(rows, partition, session)?.is_some_and(|row| row.state == State::Alive))
}

/// Whether what is leased under this name may still be used: not by a session that has ended. Programs of external queues and
/// the service itself have none.
pub(super) fn may_use(rows: &mut impl Rows, partition: Partition, session: &str) -> Result<bool, Fault> {
    Ok(session.is_empty() || session == EXTERNAL || is_alive(rows, partition, session)?)
}

/// See the port.
pub(super) fn open(tx: &mut Tx<'_>, partition: Partition, session: &str, _pool: &Name, deadline: TimeMs) -> Result<bool, Fault> {
    let before = find(tx, partition, session)?;
    if before.as_ref().is_some_and(|row| row.state != State::Alive) {
        return Ok(false);
    }
    let drains = before.as_ref().map_or(TimeMs(0), |row| row.drains);
    set(tx, partition, session, before.as_ref(), &SessionRow { state: State::Alive, at: deadline, drains })?;
    Ok(true)
}

/// See the port.
pub(super) fn renew(tx: &mut Tx<'_>, partition: Partition, session: &str, deadline: TimeMs) -> Result<bool, Fault> {
    match find(tx, partition, session)? {
        Some(before) if before.state == State::Alive => {
            set(tx, partition, session, Some(&before), &SessionRow { at: deadline, ..before })?;
            Ok(true)
        }
        Some(_) | None => Ok(false),
    }
}

/// See the port.
pub(super) fn drain(tx: &mut Tx<'_>, partition: Partition, session: &str, until: TimeMs) -> Result<bool, Fault> {
    match find(tx, partition, session)? {
        Some(before) if before.state == State::Alive => {
            set(tx, partition, session, Some(&before), &SessionRow { drains: until, ..before })?;
            Ok(true)
        }
        Some(_) | None => Ok(false),
    }
}

/// Those that have not ended, each with until when it is to be drained; 0: it is not.
pub(super) fn alive(rows: &mut impl Rows, partition: Partition) -> Result<Vec<(SessionId, TimeMs)>, Fault> {
    let (mut all, mut damaged) = (Vec::new(), false);
    rows.scan_prefix(T::Sessions, &Key::of(partition), &mut |key, value| {
        let mut parts = Parts(key);
        let session = parts.skip(PARTITION_BYTES).and_then(|()| parts.text()).and_then(|text| text.parse().ok());
        match session.zip(SessionRow::decode(value)) {
            Some((session, row)) if row.state == State::Alive => all.push((session, row.drains)),
            Some(_) => {}
            None => damaged = true,
        }
        ControlFlow::Continue(())
    })?;
    if damaged { Err(Fault::damaged(T::Sessions, "a session")) } else { Ok(all) }
}

/// See the port. A session that was never opened here gets its tombstone too.
pub(super) fn end(tx: &mut Tx<'_>, partition: Partition, session: &str, ending: &Ending, now: TimeMs) -> Result<Ended, Fault> {
    let now = tx.now(now);
    let before = find(tx, partition, session)?;
    if before.as_ref().is_some_and(|row| row.state == State::Ended) {
        return Ok(Ended::default());
    }
    // The tombstone comes first, for what the releases themselves ask about the session.
    let tombstone = SessionRow { state: State::Ending, at: TimeMs(0), drains: TimeMs(0) };
    set(tx, partition, session, before.as_ref(), &tombstone)?;
    let slice = leases::list(tx, partition, session, limits::SLICE_MAX)?;
    let mut ended = Ended::default();
    for lease in &slice {
        lose(tx, lease, ending, now, &mut ended)?;
    }
    ended.more = !leases::list(tx, partition, session, 1)?.is_empty();
    if !ended.more {
        let row = SessionRow { state: State::Ended, at: now.plus(TOMBSTONE_KEPT), drains: TimeMs(0) };
        set(tx, partition, session, Some(&tombstone), &row)?;
    }
    Ok(ended)
}

fn lose(tx: &mut Tx<'_>, lease: &Lease, ending: &Ending, now: TimeMs, ended: &mut Ended) -> Result<(), Fault> {
    let Some(mut row) = tx.load_named(&lease.run)? else {
        return Err(Fault::transition("a lease on a run that is not there"));
    };
    match lease.kind {
        LeaseKind::Turn => {
            if lose_turn(tx, &mut row, ending, now)? {
                ended.turns += 1;
            }
        }
        LeaseKind::Attempt => {
            let index = attempts::find(&row, lease.command).ok_or_else(|| Fault::transition("a lease on an attempt that is not there"))?;
            lose_attempt(tx, &mut row, index, now)?;
            ended.attempts += 1;
        }
    }
    tx.save(&row)
}

/// Whether the run is ready again; else it is blocked, because its turn has killed too many workers.
fn lose_turn(tx: &mut Tx<'_>, row: &mut RunRow, ending: &Ending, now: TimeMs) -> Result<bool, Fault> {
    let deaths = row.record.deaths;
    row.record.deaths = match ending {
        Ending::Goodbye => deaths,
        Ending::Death { executing } if executing.contains(&row.key) => deaths + 1,
        Ending::Death { .. } => deaths.max((deaths + 1).min(limits::TURN_SUSPECT_DEATHS)),
    };
    let kills = row.record.deaths >= limits::TURN_DEATHS_MAX;
    let input = if kills { Input::Block } else { Input::Lose };
    let phase = run::next(row.record.phase, input).ok_or_else(|| Fault::transition("a turn lease on a run that is not leased"))?;
    if row.record.holder == row.record.session {
        row.record.holder.clear();
    }
    grant::drop_turn(tx, row)?;
    row.record.phase = phase;
    if kills {
        TURN_KILLED_WORKER.clone_into(&mut row.record.blocked);
        changes::tell(tx, row)?;
        return Ok(false);
    }
    grant::ready(tx, row, &mut Slots::none(), now)?;
    Ok(true)
}

const TURN_KILLED_WORKER: &str = r#"{"reason":"TurnKilledWorker","message":"4 workers in a row died while they took this run's turn; resume it when the cause is gone"}"#;
const _: () = assert!(limits::TURN_DEATHS_MAX == 4, "the text above says the number");

fn lose_attempt(tx: &mut Tx<'_>, row: &mut RunRow, index: usize, now: TimeMs) -> Result<(), Fault> {
    let attempt = row.record.attempts.get(index).ok_or_else(|| Fault::transition("an attempt that is not there"))?;
    if attempt.losses + 1 < limits::ATTEMPT_LOSSES_MAX {
        return attempts::lose(tx, row, index, 1, now);
    }
    let event = format!(
        r#"{{"ActivityFailed":{{"command":{},"attempt":{},"error":{{"type":"WorkerLost","message":"the worker was lost {} times while it ran this activity"}}}}}}"#,
        attempt.command,
        attempt.attempt,
        limits::ATTEMPT_LOSSES_MAX
    );
    attempts::settle(tx, row, index)?;
    if mailbox::receive(tx, row, Mail::of(&event))? {
        grant::ready(tx, row, &mut Slots::none(), now)?;
    }
    Ok(())
}

/// See the port.
pub(super) fn expired(rows: &mut impl Rows, partition: Partition, now: TimeMs) -> Result<Vec<SessionId>, Fault> {
    let mut passed = Vec::new();
    let end = Key::of(partition).time(TimeMs(now.0.saturating_add(1)));
    rows.scan(T::SessionDue, Key::of(partition).bytes(), end.bytes(), false, &mut |key, _| {
        passed.push(key.to_vec());
        if passed.len() < limits::SLICE_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    let mut sessions = Vec::new();
    for key in passed {
        let session = session_of(&key)?;
        if find(rows, partition, &session)?.is_some_and(|row| row.state != State::Ended) {
            sessions.push(session.parse().map_err(|e| Fault::Damaged(format!("{e}")))?);
        }
    }
    Ok(sessions)
}

fn session_of(key: &[u8]) -> Result<String, Fault> {
    let mut parts = Parts(key);
    let session = parts.skip(PARTITION_BYTES + 8).and_then(|()| parts.text());
    session.map(str::to_owned).ok_or_else(|| Fault::damaged(T::SessionDue, "a session"))
}

/// Forgets a slice of the sessions that ended long ago.
pub(super) fn forget(tx: &mut Tx<'_>, partition: Partition, now: TimeMs) -> Result<(), Fault> {
    let mut passed = Vec::new();
    let end = Key::of(partition).time(TimeMs(now.0.saturating_add(1)));
    tx.scan(T::SessionDue, Key::of(partition).bytes(), end.bytes(), false, &mut |key, _| {
        passed.push(key.to_vec());
        if passed.len() < limits::SLICE_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    for due in passed {
        let session = session_of(&due)?;
        if find(tx, partition, &session)?.is_none_or(|row| row.state == State::Ended) {
            tx.remove(T::Sessions, key(partition, &session))?;
            tx.remove(T::SessionDue, due)?;
        }
    }
    Ok(())
}
