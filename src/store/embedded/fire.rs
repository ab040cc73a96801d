//! What is due: timers go into mailboxes, attempts after their back-off into queues, and attempts past a time-out to the caller.

use super::attempts;
use super::due::{self, Due};
use super::fault::Fault;
use super::grant::{self, Slots};
use super::leases;
use super::mailbox::{self, Mail};
use super::rows::{RunRow, Tx};
use super::tables::DueKind;
use crate::api::limits;
use crate::api::{DurationMs, TimeMs};
use crate::machine::activity::AttemptPhase;
use crate::store::op::{Fire, Fired, TimedOut};

/// When an attempt past its time-out is handed out again, in case whoever got it went away.
const AGAIN: DurationMs = DurationMs::from_secs(5);

/// See the port.
pub(super) fn fire(tx: &mut Tx<'_>, fire: &Fire) -> Result<Fired, Fault> {
    let (now, slice) = (tx.now(fire.now), fire.slice.min(limits::SLICE_MAX));
    let mut fired = Fired::default();
    let mut slots = Slots::of(tx, fire.partition, fire.offer.as_ref())?;
    let mut became_ready = Vec::new();
    let due = |tx: &mut Tx<'_>| {
        let first = due::first(tx, fire.partition, slice)?;
        Ok::<_, Fault>(first.into_iter().take_while(|thing| thing.at <= now))
    };
    for thing in due(tx)? {
        let mut row = row_of(tx, &thing.run)?;
        match thing.kind {
            DueKind::GiveUp => continue,
            DueKind::Timer => {
                if timer(tx, &mut row, &thing)? {
                    became_ready.push(row.name.clone());
                }
                fired.timers += 1;
            }
            DueKind::Retry => {
                let index = attempts::find(&row, thing.command).ok_or_else(|| Fault::transition("a back-off of no attempt"))?;
                attempts::retry(tx, &mut row, index, now)?;
                fired.retries += 1;
            }
        }
        due::forget(tx, &row, thing.kind, thing.command)?;
        tx.save(&row)?;
    }
    // After the back-offs, and with the ends that those brought: the caller is told of attempts as they stand.
    for thing in due(tx)?.filter(|thing| thing.kind == DueKind::GiveUp) {
        let row = row_of(tx, &thing.run)?;
        due::forget(tx, &row, thing.kind, thing.command)?;
        fired.timed_out.extend(unbegun(tx, &row, &thing, now)?);
    }
    let deadlines = leases::first_due(tx, fire.partition, slice)?;
    for (_, run, command) in deadlines.into_iter().take_while(|(deadline, _, _)| *deadline <= now) {
        fired.timed_out.push(overdue(tx, &run, command, now)?);
    }
    // Only now, so that timers of one run that fire together come in one turn.
    for run in became_ready {
        let mut row = row_of(tx, &run)?;
        fired.grants.turns.extend(grant::ready(tx, &mut row, &mut slots, now)?);
        tx.save(&row)?;
    }
    let next = due::first(tx, fire.partition, 1)?.first().map(|thing| thing.at);
    let next_deadline = leases::first_due(tx, fire.partition, 1)?.first().map(|(deadline, _, _)| *deadline);
    fired.next_due = next.into_iter().chain(next_deadline).min().unwrap_or_default();
    fired.more = fired.next_due > TimeMs(0) && fired.next_due <= now;
    fired.now = tx.clock();
    Ok(fired)
}

fn row_of(tx: &mut Tx<'_>, run: &str) -> Result<RunRow, Fault> {
    tx.load_named(run)?.ok_or_else(|| Fault::transition("something due of a run that is not there"))
}

/// Whether the run became ready by it.
fn timer(tx: &mut Tx<'_>, row: &mut RunRow, thing: &Due) -> Result<bool, Fault> {
    row.record.timers = row.record.timers.saturating_sub(1);
    let event = format!(r#"{{"TimerFired":{{"command":{}}}}}"#, thing.command);
    mailbox::receive(tx, row, Mail::of(&event))
}

/// An attempt at its schedule time-out, unless somebody has it: then its lease has a deadline of its own.
fn unbegun(tx: &mut Tx<'_>, row: &RunRow, thing: &Due, now: TimeMs) -> Result<Option<TimedOut>, Fault> {
    let attempt = row.record.attempts.iter().find(|attempt| attempt.command == thing.command);
    let Some(attempt) = attempt.filter(|attempt| attempt.phase != AttemptPhase::Leased) else { return Ok(None) };
    due::set(tx, row, DueKind::GiveUp, thing.command, now.plus(AGAIN))?;
    timed_out(row, attempt).map(Some)
}

/// An attempt whose lease has passed its deadline.
fn overdue(tx: &mut Tx<'_>, run: &str, command: u32, now: TimeMs) -> Result<TimedOut, Fault> {
    let row = row_of(tx, run)?;
    let attempt = row.record.attempts.iter().find(|attempt| attempt.command == command);
    let attempt = attempt.ok_or_else(|| Fault::transition("a deadline of no attempt"))?;
    leases::put_attempt(tx, &row, &attempt.session, attempt.seq, command, now.plus(AGAIN))?;
    timed_out(&row, attempt)
}

fn timed_out(row: &RunRow, attempt: &crate::machine::record::AttemptRecord) -> Result<TimedOut, Fault> {
    let version = row.record.version.parse().map_err(|e| Fault::Damaged(format!("run {}: {e}", row.key)))?;
    Ok(TimedOut { run: row.key.clone(), version, attempt: attempt.clone() })
}
