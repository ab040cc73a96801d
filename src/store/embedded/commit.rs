//! A turn becomes part of the run: under a lease, and what both kinds of turn share.

use std::sync::Arc;

use super::attempts;
use super::close;
use super::due;
use super::fault::Fault;
use super::grant::{self, Entries, Slots};
use super::load;
use super::mailbox;
use super::outbox;
use super::rows::{RunRow, Tx};
use super::sessions;
use super::tables::{DueKind, T};
use crate::api::TimeMs;
use crate::api::ids::Seq;
use crate::machine::activity::AttemptPhase;
use crate::machine::commit::{Refusal, TurnClaim, Verdict, judge_leased};
use crate::machine::record::AttemptRecord;
use crate::machine::run::{self, Input, Phase};
use crate::machine::turn::NewAttempt;
use crate::store::op::{AttemptGrant, Commit, Committed, Grants, Offer, Turn};

/// See the port.
pub(super) fn commit(tx: &mut Tx<'_>, commit: &Commit) -> Result<Committed, Fault> {
    let Some(mut row) = tx.load(&commit.run)? else { return Ok(Committed::Refused(Refusal::NotFound)) };
    let (now, turn, session) = (tx.now(commit.now), &commit.turn, commit.session.as_str());
    let taken_by = TakenBy { session, seq: commit.seq };
    let events = mailbox::first(tx, &row, turn.consumed)?;
    let names = Names::of(turn);
    match judge_leased(&row.record, &names.claim(turn), session, commit.seq, now) {
        Verdict::Refuse(refusal) => return Ok(Committed::Refused(refusal)),
        Verdict::Repeat => {
            let grants = still_leased(tx, &row, taken_by, commit.offer.as_ref())?;
            return Ok(Committed::Accepted { grants, at: applied_at(&row, now) });
        }
        Verdict::Accept => {}
    }
    if !sessions::is_alive(tx, row.partition, session)? {
        return Ok(Committed::Refused(Refusal::LeaseLost));
    }
    let mail = row.record.mail;
    let must_see = if turn.seen == 0 { mail } else { turn.seen.min(mail) };
    if turn.close.is_some() && must_see > turn.consumed {
        return Ok(Committed::MoreEvents { events: mailbox::peek(tx, &row.at(), turn.consumed)?, mail });
    }
    let mut slots = Slots::of(tx, row.partition, commit.offer.as_ref())?;
    mailbox::consume(tx, &mut row, turn.consumed)?;
    let grants = apply(tx, &mut row, turn, &events, taken_by, &mut slots, now)?;
    if turn.close.is_some() || !turn.continued {
        load::turn_ended(tx, &row, turn.at, now);
    }
    tx.save(&row)?;
    Ok(Committed::Accepted { grants, at: now })
}

/// The heads of a turn, as records have them.
pub(super) struct Names {
    base: String,
    id: String,
}

impl Names {
    pub(super) fn of(turn: &Turn) -> Self {
        Self { base: turn.base.to_string(), id: turn.id.to_string() }
    }

    /// What the judgement asks about a turn.
    pub(super) fn claim<'a>(&'a self, turn: &Turn) -> TurnClaim<'a> {
        let entry_bytes = u64::try_from(turn.entry.before.len() + turn.entry.after.len()).unwrap_or(u64::MAX);
        TurnClaim { base: &self.base, id: &self.id, at: turn.at, closes: turn.close.is_some(), entry_bytes }
    }
}

/// Who took a turn: the session that has the context now, and the request that its lease was granted to.
#[derive(Clone, Copy)]
pub(super) struct TakenBy<'a> {
    pub(super) session: &'a str,
    pub(super) seq: Seq,
}

/// Applies a turn that was accepted. Its events are no longer, or never were, in the mailbox. The caller saves the record.
pub(super) fn apply(
    tx: &mut Tx<'_>,
    row: &mut RunRow,
    turn: &Turn,
    events: &[String],
    by: TakenBy<'_>,
    slots: &mut Slots,
    now: TimeMs,
) -> Result<Grants, Fault> {
    let entry = append(tx, row, &turn.entry.with_events(events))?;
    let record = &mut row.record;
    record.head = turn.id.to_string();
    record.at = record.at.max(turn.at);
    record.next_command = turn.next_command;
    record.deaths = 0;
    by.session.clone_into(&mut record.holder);
    for timer in &turn.cancel_timers {
        if due::forget(tx, row, DueKind::Timer, *timer)? {
            row.record.timers = row.record.timers.saturating_sub(1);
        }
    }
    outbox::send(tx, row, &turn.signals)?;
    let input = Input::Commit { closes: turn.close.is_some(), mail_left: row.record.mail > 0, keeps_lease: turn.continued };
    if let Some(status) = turn.close {
        close::close(tx, row, input, status, now)?;
        return Ok(Grants::default());
    }
    for timer in &turn.timers {
        if due::set(tx, row, DueKind::Timer, timer.command, timer.due)? {
            row.record.timers += 1;
        }
    }
    let phase = run::next(row.record.phase, input).ok_or_else(|| Fault::transition("a commit on a run that takes none"))?;
    let mut still_held = false;
    match (row.record.phase, phase) {
        (Phase::Leased, Phase::Leased) => still_held = true,
        (Phase::Leased, _) => grant::drop_turn(tx, row)?,
        (_, Phase::Leased) => {
            // An optimistic turn that goes on in the next commit: from here on it is under a lease.
            grant::unready(tx, row)?;
            grant::hold(tx, row, by.session, by.seq)?;
            still_held = true;
        }
        (Phase::Ready, Phase::Waiting) => grant::unready(tx, row)?,
        (_, _) => {}
    }
    row.record.phase = phase;
    let mut grants = Grants { attempts: schedule(tx, row, &turn.schedule, entry, slots, now)?, turns: Vec::new() };
    if still_held {
        grants.turns.push(grant::turn(tx, row)?);
    }
    grants.turns.extend(grant::ready(tx, row, slots, now)?);
    Ok(grants)
}

/// Appends an entry to the journal. Its number.
pub(super) fn append(tx: &mut Tx<'_>, row: &mut RunRow, text: &str) -> Result<u32, Fault> {
    let entry = row.record.turns;
    tx.put(T::Journal, row.at().short(entry), text.as_bytes())?;
    row.record.turns += 1;
    row.record.journal_bytes += u64::try_from(text.len()).unwrap_or(u64::MAX);
    Ok(entry)
}

fn schedule(
    tx: &mut Tx<'_>,
    row: &mut RunRow,
    scheduled: &[NewAttempt],
    entry: u32,
    slots: &mut Slots,
    now: TimeMs,
) -> Result<Vec<AttemptGrant>, Fault> {
    let mut grants = Vec::new();
    let overtakes = scheduled.iter().any(|new| new.queue.is_empty()) && slots.may_overtake(tx, row, now)?;
    for new in scheduled {
        let index = row.record.attempts.len();
        row.record.attempts.push(AttemptRecord {
            command: new.command,
            phase: AttemptPhase::Queued,
            attempt: 1,
            turn: entry,
            losses: 0,
            session: String::new(),
            seq: 0,
            scheduled_at: now,
            started_at: TimeMs(0),
            queue: new.queue.clone(),
            timeout_ms: new.timeout_ms,
            heartbeat_ms: new.heartbeat_ms,
            start_by: new.start_by,
            close_by: new.close_by,
            last_error: String::new(),
        });
        let slot = if overtakes && new.queue.is_empty() { slots.take_activity() } else { None };
        let Some((session, seq)) = slot else {
            attempts::enqueue(tx, row, index, now)?;
            continue;
        };
        attempts::lease(tx, row, index, &session, seq, now)?;
        if let Some(attempt) = row.record.attempts.get(index) {
            grants.push(grant::attempt(row, attempt, Arc::from(""))?);
        }
    }
    Ok(grants)
}

/// When what a repeat repeats was applied, as far as anybody asks.
pub(super) fn applied_at(row: &RunRow, now: TimeMs) -> TimeMs {
    if row.record.phase == Phase::Closed { row.record.closed_at } else { now }
}

/// The answer to a repeat: what is still leased of what the first answer granted: the turn that goes on to its own (session,
/// request), the rest to the offer. The last entry is the one that the caller repeats, so it is not sent back.
pub(super) fn still_leased(tx: &mut Tx<'_>, row: &RunRow, by: TakenBy<'_>, offer: Option<&Offer>) -> Result<Grants, Fault> {
    let (mut grants, mut entries) = (Grants::default(), Entries::default());
    let by_offer = |session: &str, seq: Seq| offer.is_some_and(|offer| offer.session.as_str() == session && offer.seq == seq);
    for attempt in &row.record.attempts {
        if attempt.phase == AttemptPhase::Leased && by_offer(&attempt.session, attempt.seq) {
            let brought = attempt.turn + 1 == row.record.turns;
            let entry = if brought { Arc::from("") } else { entries.of(tx, row, attempt)? };
            grants.attempts.push(grant::attempt(row, attempt, entry)?);
        }
    }
    let record = &row.record;
    let goes_on = record.session == by.session && record.seq == by.seq;
    if record.phase == Phase::Leased && (goes_on || by_offer(&record.session, record.seq)) {
        grants.turns.push(grant::turn(tx, row)?);
    }
    Ok(grants)
}
