//! An attempt has an outcome: it is settled, with or without an optimistic turn, or tried again.

use super::attempts;
use super::commit::{Names, TakenBy, applied_at, apply, still_leased};
use super::fault::Fault;
use super::grant::{self, Slots};
use super::load;
use super::mailbox::{self, Mail};
use super::rows::Tx;
use super::sessions;
use crate::machine::activity::{self, Input};
use crate::machine::commit::{Verdict, holds, judge_optimistic};
use crate::machine::run::Phase;
use crate::store::op::{Finish, Finished, Grants, Outcome};

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
    if mailbox::knows(tx, &row, &finish.key)? {
        return Ok(Finished::Accepted { turn: None, grants: Grants::default(), at: now });
    }
    if row.record.phase == Phase::Closed {
        return Ok(Finished::AttemptLost);
    }
    let index = attempts::find(&row, claim.command);
    let Some((index, attempt)) = index.and_then(|index| Some((index, row.record.attempts.get(index)?))) else {
        return Ok(Finished::AttemptLost);
    };
    let input = match &finish.outcome {
        Outcome::Settled { .. } => Input::Finish,
        Outcome::Retry { .. } => Input::Retry,
    };
    let is_lost = !holds(attempt, claim) || activity::next(attempt.phase, input).is_none();
    if is_lost || !sessions::may_use(tx, row.partition, &claim.session)? {
        return Ok(Finished::AttemptLost);
    }
    mailbox::remember(tx, &row, &finish.key)?;
    let event = match &finish.outcome {
        Outcome::Settled { event } => event,
        Outcome::Retry { at, error } => {
            load::attempt_ended(tx, &row, index, now);
            attempts::back_off(tx, &mut row, index, *at, error)?;
            tx.save(&row)?;
            return Ok(Finished::Accepted { turn: None, grants: Grants::default(), at: now });
        }
    };
    let mut slots = Slots::of(tx, row.partition, finish.offer.as_ref())?;
    load::attempt_ended(tx, &row, index, now);
    attempts::settle(tx, &mut row, index)?;
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
