//! A turn like nearly all others, worked out before the server is asked: one event, and then one activity begins or the run ends. The
//! steps that were done after it are of this kind too, so a chain of them is worked out link by link and applied in one.
//!
//! The scripts of `commit` and `finish` read a record apart, decide, and put it together again: two thirds of what they cost. Of a run
//! whose record was seen in an answer that is done here, and the script `step` only compares: when the record is still to the letter
//! the same it writes the one that comes of it. In every other case it does nothing, and the whole script is called. So what is
//! remembered here is a hint, and may be wrong.

use super::connection::Call;
use super::decode::{Fields, leased_at_once};
use super::scripts::SCRIPTS;
use super::{RedisStore, encode};
use crate::api::{RunKey, SessionId, TimeMs};
use crate::machine::activity::AttemptPhase;
use crate::machine::commit::{TurnClaim, Verdict, holds, judge_leased, judge_optimistic};
use crate::machine::record::{EXTERNAL, RunRecord, Times};
use crate::machine::run::Phase;
use crate::store::chain;
use crate::store::op::{AttemptGrant, Commit, Finish, Grants, Offer, Outcome, Turn, TurnGrant};
use crate::store::port::StoreError;
use crate::store::recent::Recent;

/// Runs whose record is remembered: at least so many, at most twice.
const RUNS_KEPT: usize = 8_192;
/// The server's clock is looked at by the script.
const ANY_TIME: TimeMs = TimeMs(u64::MAX);

/// How runs stood in the last answer about them.
pub(super) struct Seen(Recent<RunKey, Stands>);

#[derive(Debug, Clone)]
struct Stands {
    record: RunRecord,
    /// Bytes of the one event in its mailbox; 0 for none.
    mail_bytes: usize,
}

impl Seen {
    pub fn new() -> Self {
        Self(Recent::new(RUNS_KEPT))
    }

    /// A turn was granted: the answer has the run as it stands.
    pub fn granted(&self, grant: &TurnGrant) {
        let mail_bytes = match &grant.events[..] {
            [event] if grant.record.mail == 1 => event.len(),
            _ => return self.forget(&grant.run),
        };
        self.0.put(grant.run.clone(), Stands { record: grant.record.clone(), mail_bytes });
    }

    /// A turn or an outcome was taken: the rest of the answer has the record, except a repeat's.
    ///
    /// # Errors
    /// The record cannot be read.
    pub fn answered(&self, run: &RunKey, grants: &Grants, answer: &mut Fields) -> Result<(), StoreError> {
        match &grants.turns[..] {
            [grant] => self.granted(grant),
            _ if answer.is_empty() => self.forget(run),
            _ => self.stands(run, answer.record()?),
        }
        Ok(())
    }

    /// A run as it stands, with an empty mailbox.
    fn stands(&self, run: &RunKey, record: RunRecord) {
        if record.mail == 0 && record.phase != Phase::Closed {
            self.0.put(run.clone(), Stands { record, mail_bytes: 0 });
        }
    }

    /// It stands otherwise from now on.
    pub fn forget(&self, run: &RunKey) {
        self.0.remove(run);
    }
}

/// A turn that was worked out, with the steps after it.
struct Step<'a> {
    run: &'a RunKey,
    session: &'a str,
    /// The lease that it was taken under, as a member of the session's.
    lease: String,
    turn: &'a Turn,
    /// Empty: the one in the mailbox.
    event: &'a str,
    steps: &'a [chain::Step],
    /// As the run stands.
    known: Vec<u8>,
    /// As it will stand; the script puts the times in.
    record: RunRecord,
    /// Since when the turn or the attempt that has ended used its slot; zero: that of the attempt is not known.
    begun_at: TimeMs,
    /// How long the lease of the attempt that begins lasts, or how long the run is kept, in milliseconds.
    ms: u64,
}

/// Commits a turn under a lease and the steps after it, when all are of this kind; what was granted, and when.
///
/// # Errors
/// The server does not answer: the outcome is unknown.
pub(super) async fn commit(store: &RedisStore, commit: &Commit, steps: &[chain::Step]) -> Result<Option<(Grants, TimeMs)>, StoreError> {
    let Some(Stands { record, mail_bytes }) = store.seen.0.take(&commit.run) else { return Ok(None) };
    let (turn, session) = (&commit.turn, commit.session.as_str());
    let accepted = judged(turn, |claim| judge_leased(&record, claim, session, commit.seq, ANY_TIME));
    if !accepted || record.mail != 1 || turn.consumed != 1 || !record.attempts.is_empty() {
        return Ok(None);
    }
    let known = record.encode();
    let lease = format!("t|{}", commit.run);
    let after = RunRecord { phase: Phase::Waiting, session: String::new(), seq: 0, mail: 0, mail_cancel: 0, ..record };
    let offer = commit.offer.as_ref();
    let Some((record, ms)) = follows(after, turn, &commit.session, offer, mail_bytes) else { return Ok(None) };
    let Some((record, ms)) = go_on(record, ms, steps, &commit.session, offer) else { return Ok(None) };
    let begun_at = turn.at;
    take(store, commit.now, Step { run: &commit.run, session, lease, turn, event: "", steps, known, record, begun_at, ms }).await
}

/// Records an outcome with the turn that follows from it and the steps after that, when all are of this kind; what was granted, and when.
///
/// # Errors
/// The server does not answer: the outcome is unknown.
pub(super) async fn finish(store: &RedisStore, finish: &Finish, steps: &[chain::Step]) -> Result<Option<(Grants, TimeMs)>, StoreError> {
    let Some(Stands { record, .. }) = store.seen.0.take(&finish.run) else { return Ok(None) };
    let (Outcome::Settled { event }, Some(turn), claim) = (&finish.outcome, &finish.turn, &finish.attempt) else { return Ok(None) };
    let (Ok(session), [attempt]) = (claim.session.parse::<SessionId>(), &record.attempts[..]) else { return Ok(None) };
    let is_held = attempt.phase == AttemptPhase::Leased && holds(attempt, claim) && attempt.queue.is_empty() && claim.session != EXTERNAL;
    let accepted = judged(turn, |claim| judge_optimistic(&record, claim, ANY_TIME));
    if !is_held || !accepted || record.phase != Phase::Waiting || record.mail > 0 || !finish.key.is_empty() {
        return Ok(None);
    }
    let (known, begun_at) = (record.encode(), attempt.started_at);
    let lease = attempt_lease(&finish.run, claim.command);
    let after = RunRecord { attempts: Vec::new(), ..record };
    let offer = finish.offer.as_ref();
    let Some((record, ms)) = follows(after, turn, &session, offer, event.len()) else { return Ok(None) };
    let Some((record, ms)) = go_on(record, ms, steps, &session, offer) else { return Ok(None) };
    let by = session.as_str();
    take(store, finish.now, Step { run: &finish.run, session: by, lease, turn, event, steps, known, record, begun_at, ms }).await
}

/// The record after the steps, each of which settles the one attempt that the turn before it has begun.
fn go_on(
    mut record: RunRecord,
    mut ms: u64,
    steps: &[chain::Step],
    session: &SessionId,
    offer: Option<&Offer>,
) -> Option<(RunRecord, u64)> {
    for chain::Step { command, event, turn } in steps {
        let settles = matches!(&record.attempts[..], [attempt] if attempt.command == *command);
        if !settles || !judged(turn, |claim| judge_optimistic(&record, claim, ANY_TIME)) {
            return None;
        }
        let after = RunRecord { attempts: Vec::new(), ..record };
        (record, ms) = follows(after, turn, session, offer, event.len())?;
    }
    Some((record, ms))
}

fn attempt_lease(run: &RunKey, command: u32) -> String {
    format!("a|{run}#{command}")
}

fn judged(turn: &Turn, judge: impl FnOnce(&TurnClaim<'_>) -> Verdict) -> bool {
    let entry_bytes = (turn.entry.before.len() + turn.entry.after.len()) as u64;
    let (base, id) = (turn.base.to_string(), turn.id.to_string());
    judge(&TurnClaim { base: &base, id: &id, at: turn.at, closes: turn.close.is_some(), entry_bytes }) == Verdict::Accept
}

/// The record after the turn, and how long its new attempt's lease lasts or the run is kept. The run's old lease and its mail are gone
/// from the record that is given.
fn follows(before: RunRecord, turn: &Turn, session: &SessionId, offer: Option<&Offer>, event_bytes: usize) -> Option<(RunRecord, u64)> {
    let does_more = turn.continued || !turn.timers.is_empty() || !turn.cancel_timers.is_empty() || !turn.signals.is_empty();
    if does_more || before.attempts_beside > 0 || !before.origin.is_empty() {
        return None;
    }
    let entry_bytes = (turn.entry.before.len() + event_bytes + turn.entry.after.len()) as u64;
    let number = before.turns;
    let mut record = RunRecord {
        head: turn.id.to_string(),
        turns: number + 1,
        journal_bytes: before.journal_bytes + entry_bytes,
        at: before.at.max(turn.at),
        next_command: turn.next_command,
        deaths: 0,
        holder: session.to_string(),
        ..before
    };
    match (&turn.schedule[..], turn.close) {
        ([], Some(status)) if record.timers == 0 => {
            record = RunRecord { phase: Phase::Closed, closed: RunRecord::closed_number(status), holder: String::new(), ..record };
            let ms = record.retention_ms;
            Some((record, ms))
        }
        ([new], None) if new.queue.is_empty() && new.start_by == TimeMs(0) && new.close_by == TimeMs(0) => {
            let offer = offer.filter(|offer| offer.session == *session && offer.pool.as_str() == record.pool && offer.activities > 0)?;
            // The times are the script's.
            record.attempts = vec![leased_at_once(new, number, offer, TimeMs(0))];
            Some((record, if new.heartbeat_ms > 0 { new.heartbeat_ms.min(new.timeout_ms) } else { new.timeout_ms }))
        }
        _ => None,
    }
}

/// Applies it; `None` when the run stands otherwise: nothing was done.
async fn take(store: &RedisStore, now: TimeMs, step: Step<'_>) -> Result<Option<(Grants, TimeMs)>, StoreError> {
    let Step { run, mut record, turn, .. } = step;
    let script = &SCRIPTS.step;
    let begins = record.attempts.first().map(|attempt| attempt_lease(run, attempt.command)).unwrap_or_default();
    let times = if begins.is_empty() { Times::OfEnd } else { Times::OfLastAttempt };
    let bytes = record.encode();
    let (until, from) = times.around(&record, &bytes);
    let call: Call = store
        .call(script, store.partition_of(run), now)
        .arg(run.to_string())
        .arg(step.session)
        .arg(step.lease)
        .arg(step.known)
        .arg(until)
        .arg(from)
        .arg(encode::time(step.steps.iter().map(|step| step.turn.at).fold(turn.at, TimeMs::max)))
        .arg(&turn.entry.before)
        .arg(&turn.entry.after)
        .arg(step.event)
        .arg(&record.pool)
        .arg(&begins)
        .arg(encode::exact(step.ms))
        .arg(format!("{}/{}/{}", run.namespace, record.workflow, record.version))
        .arg(encode::time(step.begun_at));
    let entries = step.steps.iter().map(|step| step.turn.entry.with_events(std::slice::from_ref(&step.event)));
    let call = entries.fold(call, Call::arg);
    let mut answer: Fields = store.fields(script, store.partition_of(run), call).await?;
    match answer.text()?.as_str() {
        "other" => return Ok(None),
        "done" => {}
        other => return Err(answer.damaged(format_args!("unknown answer {other}"))),
    }
    let at = answer.time()?;
    let mut grants = Grants::default();
    if let Some(attempt) = record.attempts.first_mut() {
        (attempt.scheduled_at, attempt.started_at) = (at, at);
        let damaged = |error: crate::api::ids::InvalidId| answer.damaged(error);
        grants.attempts.push(AttemptGrant {
            run: run.clone(),
            uid: record.uid.parse().map_err(damaged)?,
            workflow: record.workflow.parse().map_err(damaged)?,
            version: record.version.parse().map_err(damaged)?,
            attempt: attempt.clone(),
            entry: "".into(),
        });
        store.seen.stands(run, record);
    }
    Ok(Some((grants, at)))
}
