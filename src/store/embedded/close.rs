//! The end of a run: everything that could still happen to it is dropped, and its retention begins.

use super::attempts;
use super::changes;
use super::due;
use super::fault::Fault;
use super::grant;
use super::mailbox;
use super::open;
use super::rows::{RunRow, Tx};
use super::tables::{Key, T};
use crate::api::{DurationMs, RunStatus, TimeMs};
use crate::machine::record::RunRecord;
use crate::machine::run::{self, Input};
use crate::store::op::Wake;

/// Closes a run; `input` is the commit or the termination that does it.
pub(super) fn close(tx: &mut Tx<'_>, row: &mut RunRow, input: Input, status: RunStatus, now: TimeMs) -> Result<(), Fault> {
    let phase = run::next(row.record.phase, input).ok_or_else(|| Fault::transition("a closed run that is to be closed"))?;
    grant::unready(tx, row)?;
    grant::drop_turn(tx, row)?;
    let has_due = row.record.timers > 0 || !row.record.attempts.is_empty();
    while let Some(last) = row.record.attempts.len().checked_sub(1) {
        attempts::settle(tx, row, last)?;
    }
    if has_due {
        due::forget_all(tx, row)?;
    }
    mailbox::clear(tx, row)?;
    let record = &mut row.record;
    record.phase = phase;
    record.closed = RunRecord::closed_number(status);
    record.closed_at = now;
    record.timers = 0;
    record.holder.clear();
    record.blocked.clear();
    let remove_at = now.plus(DurationMs(record.retention_ms));
    tx.put(T::Closed, Key::of(row.partition).time(remove_at).text(&row.name), &[])?;
    open::ended(tx, row, &row.record.version)?;
    open::unfollow(tx, row)?;
    tx.wake(Wake::Closed(row.key.clone()));
    changes::tell(tx, row)
}
