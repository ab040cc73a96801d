//! An attempt has an outcome: it is settled, with or without an optimistic turn, or tried again.

use super::attempts;
use super::commit::{Names, TakenBy, applied_at, apply, still_leased};
use super::fault::Fault;
use super::grant::{self, Slots};
use super::load;
use super::mailbox::{self, Mail};
use super::rows::{RunRow, Tx};
use super::sessions;
use crate::api::TimeMs;
use crate::machine::activity::{self, Input};
use crate::machine::commit::{AttemptClaim, Verdict, holds, judge_optimistic};
use crate::machine::run::Phase;
use crate::store::op::{Finish, Finished, Grants, Outcome, Settle, Settled};

/// See the port.
pub(super) fn finish(tx: &mut Tx<'_>, finish: &Finish) -> Result<Finished, Fault> {
    let Some(mut row) = tx.load(&finish.run)? else { return Ok(Finished::NotFound) };
    let (now, claim) = (tx.now(finish.now), &finish.attempt);
    if let Some(turn) = &finish.turn
        && row.record.head == turn.id.to_string()
    {
        let taken_by = TakenBy { session: &claim.session, seq: claim.seq };
        let grants = still_leased(tx, &row, taken_by, finish.offer.as_ref())?;
        return Ok(Finished::Accepted { turn: Some(Ok(())), grants, at: applied_at(&row, now) });
    }
    let event = match take(tx, &mut row, claim, &finish.outcome, &finish.key, now)? {
        Taken::Lost => return Ok(Finished::AttemptLost),
        Taken::Known => return Ok(Finished::Accepted { turn: None, grants: Grants::default(), at: now }),
        Taken::BacksOff => {
            tx.save(&row)?;
            return Ok(Finished::Accepted { turn: None, grants: Grants::default(), at: now });
        }
        Taken::Settled(event) => event,
    };
    let mut slots = Slots::of(tx, row.partition, finish.offer.as_ref())?;
    let mut refused = None;
    if let Some(turn) = &finish.turn {
        let events = std::slice::from_ref(event);
        let names = Names::of(turn);
        match judge_optimistic(&row.record, &names.claim(turn), now) {
            Verdict::Accept => {
                let taken_by = TakenBy { session: &claim.session, seq: claim.seq };
                let grants = apply(tx, &mut row, turn, events, taken_by, &mut slots, now)?;
                tx.save(&row)?;
                return Ok(Finished::Accepted { turn: Some(Ok(())), grants, at: now });
            }
            Verdict::Refuse(refusal) => refused = Some(Err(refusal)),
            // Answered above: the head is not the turn's.
            Verdict::Repeat => return Err(Fault::transition("a head that changed under the writer")),
        }
    }
    let mut grants = Grants::default();
    if mailbox::receive(tx, &mut row, Mail::of(event))? {
        grants.turns.extend(grant::ready(tx, &mut row, &mut slots, now)?);
    }
    tx.save(&row)?;
    Ok(Finished::Accepted { turn: refused, grants, at: now })
}

/// See the port.
pub(super) fn settle(tx: &mut Tx<'_>, settle: &Settle) -> Result<Settled, Fault> {
    let mut settled = Settled { counts: vec![false; settle.outcomes.len()], grants: Grants::default() };
    let Some(mut row) = tx.load(&settle.run)? else { return Ok(settled) };
    let (now, mut became_ready) = (tx.now(settle.now), false);
    for (one, counts) in settle.outcomes.iter().zip(&mut settled.counts) {
        let taken = take(tx, &mut row, &one.attempt, &one.outcome, &one.key, now)?;
        *counts = !matches!(taken, Taken::Lost);
        if let Taken::Settled(event) = taken {
            became_ready |= mailbox::receive(tx, &mut row, Mail::of(event))?;
        }
    }
    if became_ready {
        let mut slots = Slots::of(tx, row.partition, settle.offer.as_ref())?;
        settled.grants.turns.extend(grant::ready(tx, &mut row, &mut slots, now)?);
    }
    tx.save(&row)?;
    Ok(settled)
}

/// What an outcome did to its attempt.
enum Taken<'a> {
    /// It has ended, with this event for the run.
    Settled(&'a String),
    /// It is tried again later.
    BacksOff,
    /// It was recorded before.
    Known,
    /// Nothing: it is not the caller's.
    Lost,
}

/// Records an outcome. The caller saves the record.
fn take<'a>(
    tx: &mut Tx<'_>,
    row: &mut RunRow,
    claim: &AttemptClaim,
    outcome: &'a Outcome,
    key: &str,
    now: TimeMs,
) -> Result<Taken<'a>, Fault> {
    if mailbox::knows(tx, row, key)? {
        return Ok(Taken::Known);
    }
    if row.record.phase == Phase::Closed {
        return Ok(Taken::Lost);
    }
    let index = attempts::find(row, claim.command);
    let Some((index, attempt)) = index.and_then(|index| Some((index, row.record.attempts.get(index)?))) else {
        return Ok(Taken::Lost);
    };
    let input = match outcome {
        Outcome::Settled { .. } => Input::Finish,
        Outcome::Retry { .. } => Input::Retry,
    };
    let is_lost = !holds(attempt, claim) || activity::next(attempt.phase, input).is_none();
    if is_lost || !sessions::may_use(tx, row.partition, &claim.session)? {
        return Ok(Taken::Lost);
    }
    mailbox::remember(tx, row, key)?;
    load::attempt_ended(tx, row, index, now);
    Ok(match outcome {
        Outcome::Settled { event } => {
            attempts::settle(tx, row, index)?;
            Taken::Settled(event)
        }
        Outcome::Retry { at, error } => {
            attempts::back_off(tx, row, index, *at, error)?;
            Taken::BacksOff
        }
    })
}
