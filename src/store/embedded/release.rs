//! Leases that are handed back or extended.

use super::attempts;
use super::changes;
use super::fault::Fault;
use super::grant::{self, Slots};
use super::rows::{RunRow, Tx};
use super::sessions;
use crate::api::{RunKey, TimeMs};
use crate::machine::activity::AttemptPhase;
use crate::machine::commit::{AttemptClaim, holds};
use crate::machine::record::AttemptRecord;
use crate::machine::run::{self, Input, Phase};
use crate::store::op::{Release, Released};

/// See the port.
pub(super) fn release(tx: &mut Tx<'_>, release: &Release) -> Result<bool, Fault> {
    let Some(mut row) = tx.load(&release.run)? else { return Ok(false) };
    let now = tx.now(release.now);
    let session = match &release.what {
        Released::Turn { session, .. } => session.as_str(),
        Released::Attempt(claim) => &claim.session,
    };
    if !sessions::may_use(tx, row.partition, session)? {
        return Ok(false);
    }
    match &release.what {
        Released::Turn { session, seq, blocked, head, keeps_context } => {
            let record = &row.record;
            if record.phase != Phase::Leased || record.session != session.as_str() || record.seq != *seq {
                return Ok(false);
            }
            let input = if blocked.is_empty() { Input::Lose } else { Input::Block };
            let phase = run::next(record.phase, input).ok_or_else(|| Fault::transition("a lease on a run that is not leased"))?;
            grant::drop_turn(tx, &mut row)?;
            row.record.phase = phase;
            if !blocked.is_empty() {
                row.record.blocked.clone_from(blocked);
                row.record.head = head.to_string();
                // No context stands at the new head.
                row.record.holder.clear();
                changes::tell(tx, &row)?;
            } else if *keeps_context {
                session.as_str().clone_into(&mut row.record.holder);
            } else if row.record.holder == session.as_str() {
                row.record.holder.clear();
            }
            grant::ready(tx, &mut row, &mut Slots::none(), now)?;
        }
        Released::Attempt(claim) => {
            let Some(index) = leased(&row, claim) else { return Ok(false) };
            attempts::lose(tx, &mut row, index, 0, now)?;
        }
    }
    tx.save(&row)?;
    Ok(true)
}

/// See the port.
pub(super) fn extend(tx: &mut Tx<'_>, run: &RunKey, claim: &AttemptClaim, now: TimeMs) -> Result<Option<TimeMs>, Fault> {
    let Some(row) = tx.load(run)? else { return Ok(None) };
    let Some(attempt) = leased(&row, claim).and_then(|index| row.record.attempts.get(index)) else { return Ok(None) };
    if !sessions::may_use(tx, row.partition, &claim.session)? {
        return Ok(None);
    }
    let now = tx.now(now);
    attempts::extend(tx, &row, attempt, now).map(Some)
}

/// Where the attempt stands in the record, when this claim has its lease.
fn leased(row: &RunRow, claim: &AttemptClaim) -> Option<usize> {
    let is_it = |attempt: &AttemptRecord| attempt.phase == AttemptPhase::Leased && holds(attempt, claim);
    row.record.attempts.iter().position(is_it)
}
