//! Work that waits goes to who asks for it.

use std::ops::ControlFlow;

use super::attempts;
use super::fault::Fault;
use super::grant::{self, Entries};
use super::leases;
use super::rows::{Rows, Tx};
use super::sessions;
use super::tables::{Key, LeaseKind, PARTITION_BYTES, Parts, T};
use crate::api::limits;
use crate::api::{Partition, TimeMs};
use crate::machine::activity::AttemptPhase;
use crate::machine::record::EXTERNAL;
use crate::machine::run::Phase;
use crate::store::op::{Claim, Claimed, Claimer, Grants, TurnGrant};

/// Ready runs that prefer somebody else, looked past in one claim.
const PREFERRED_SCAN_MAX: usize = 1_024;

/// See the port.
pub(super) fn claim(tx: &mut Tx<'_>, claim: &Claim) -> Result<Claimed, Fault> {
    let now = tx.now(claim.now);
    let (session, pool, queue) = match &claim.by {
        Claimer::Session { session, pool } => (session.as_str(), Some(pool.as_str()), attempts::pool_queue(pool.as_str())),
        Claimer::External { queue } => (EXTERNAL, None, attempts::external_queue(queue)),
    };
    if pool.is_some() && !sessions::is_alive(tx, claim.partition, session)? {
        return Ok(Claimed::SessionLost);
    }
    let mut taking = Taking { claim, session, now, grants: Grants::default(), mail_bytes: 0, entries: Entries::default() };
    if claim.again {
        taking.repeat(tx)?;
    }
    let (mut more, mut next_at) = (false, TimeMs(0));
    if let Some(pool) = pool {
        (more, next_at) = taking.turns(tx, pool)?;
    }
    more |= taking.attempts(tx, &queue)?;
    Ok(Claimed::Granted { grants: taking.grants, more, next_at })
}

struct Taking<'a> {
    claim: &'a Claim,
    session: &'a str,
    now: TimeMs,
    grants: Grants,
    /// Of the events in the grants.
    mail_bytes: usize,
    entries: Entries,
}

impl Taking<'_> {
    /// What the same request was granted before.
    fn repeat(&mut self, tx: &mut Tx<'_>) -> Result<(), Fault> {
        for lease in leases::list(tx, self.claim.partition, self.session, usize::MAX)? {
            // What does not fit in the answer is unknown to the session, and it will hand that back.
            if lease.seq != self.claim.seq || !self.has_room() {
                continue;
            }
            let row = tx.load_named(&lease.run)?.ok_or_else(|| Fault::transition("a lease on a run that is not there"))?;
            match lease.kind {
                LeaseKind::Turn => {
                    let grant = grant::turn(tx, &row)?;
                    self.add_turn(grant);
                }
                LeaseKind::Attempt => {
                    let attempt = row.record.attempts.iter().find(|attempt| attempt.command == lease.command);
                    let attempt = attempt.ok_or_else(|| Fault::transition("a lease on an attempt that is not there"))?;
                    let entry = self.entries.of(tx, &row, attempt)?;
                    self.grants.attempts.push(grant::attempt(&row, attempt, entry)?);
                }
            }
        }
        Ok(())
    }

    fn add_turn(&mut self, grant: TurnGrant) {
        self.mail_bytes += grant.events.iter().map(String::len).sum::<usize>();
        self.grants.turns.push(grant);
    }

    /// The answer has room: one grant may pass the bound, or a large one would never be given.
    fn has_room(&self) -> bool {
        self.mail_bytes + self.entries.bytes < limits::COMMIT_BYTES_MAX
    }

    /// Takes ready turns: those that anybody may have, and those that prefer this session, in the order of their queue.
    /// Whether there are more, and when the first becomes free that prefers somebody else.
    fn turns(&mut self, tx: &mut Tx<'_>, pool: &str) -> Result<(bool, TimeMs), Fault> {
        let wanted = usize::from(self.claim.turns).saturating_sub(self.grants.turns.len());
        let (mut ready, next_at) = ready(tx, self.claim.partition, pool, self.session, wanted + 1, self.now)?;
        let mut more = ready.len() > wanted;
        ready.truncate(wanted);
        for run in ready {
            if !self.has_room() {
                more = true;
                break;
            }
            let mut row = tx.load_named(&run)?.ok_or_else(|| Fault::transition("a ready run that is not there"))?;
            if row.record.phase != Phase::Ready {
                return Err(Fault::transition("a run in the ready queue that is not ready"));
            }
            grant::unready(tx, &row)?;
            let grant = grant::lease(tx, &mut row, self.session, self.claim.seq)?;
            tx.save(&row)?;
            self.add_turn(grant);
        }
        Ok((more, next_at))
    }

    /// Takes queued attempts. Whether there are more.
    fn attempts(&mut self, tx: &mut Tx<'_>, queue: &str) -> Result<bool, Fault> {
        let wanted = usize::from(self.claim.attempts).saturating_sub(self.grants.attempts.len());
        let mut queued = attempts::head(tx, self.claim.partition, queue, wanted + 1)?;
        let more = queued.len() > wanted;
        queued.truncate(wanted);
        for place in queued {
            if !self.has_room() {
                return Ok(true);
            }
            let mut row = tx.load_named(&place.run)?.ok_or_else(|| Fault::transition("a queued attempt of a run that is not there"))?;
            let index = attempts::find(&row, place.command).ok_or_else(|| Fault::transition("a queued attempt that is not there"))?;
            attempts::unqueue(tx, &row, index)?;
            attempts::lease(tx, &mut row, index, self.session, self.claim.seq, self.now)?;
            tx.save(&row)?;
            if let Some(turn) = self.grants.turns.iter_mut().find(|turn| turn.run == row.key) {
                turn.record.clone_from(&row.record);
            }
            if let Some(attempt) = row.record.attempts.get(index).filter(|attempt| attempt.phase == AttemptPhase::Leased) {
                let entry = self.entries.of(tx, &row, attempt)?;
                self.grants.attempts.push(grant::attempt(&row, attempt, entry)?);
            }
        }
        Ok(more)
    }
}

/// The first runs of the ready queue that the session may have, and when the first other one becomes free; 0 for none.
fn ready(
    tx: &mut Tx<'_>,
    partition: Partition,
    pool: &str,
    session: &str,
    limit: usize,
    now: TimeMs,
) -> Result<(Vec<String>, TimeMs), Fault> {
    let prefix = Key::of(partition).text(pool);
    let skip = prefix.bytes().len();
    debug_assert!(skip > PARTITION_BYTES, "a pool has a name");
    let (mut runs, mut next_at, mut passed, mut damaged) = (Vec::new(), TimeMs(0), 0, false);
    tx.scan_prefix(T::Ready, &prefix, &mut |key, holder| {
        let mut parts = Parts(key);
        let Some((at, run)) = parts.skip(skip).and_then(|()| Some((parts.time()?, parts.text()?))) else {
            damaged = true;
            return ControlFlow::Break(());
        };
        if at <= now || holder == session.as_bytes() {
            if runs.len() < limit {
                runs.push(run.to_owned());
            }
        } else {
            passed += 1;
            if next_at == TimeMs(0) {
                next_at = at;
            }
        }
        // A queue is in the order of its times: once one was passed over, the first of them is known.
        let done = runs.len() >= limit && (next_at > TimeMs(0) || at <= now);
        if done || passed >= PREFERRED_SCAN_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if damaged { Err(Fault::damaged(T::Ready, "a ready run")) } else { Ok((runs, next_at)) }
}
