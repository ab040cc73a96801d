//! Turns on their way to a session: at once to the one that offers a slot, else through the ready queue.

use std::collections::HashMap;
use std::sync::Arc;

use super::attempts;
use super::fault::Fault;
use super::leases;
use super::lengths::{self, Kind};
use super::mailbox;
use super::rows::{Rows, RunRow, Tx};
use super::sessions;
use super::tables::{Key, Parts, T};
use crate::api::ids::Seq;
use crate::api::limits;
use crate::api::{Partition, TimeMs};
use crate::machine::record::AttemptRecord;
use crate::machine::run::{self, Input, Phase};
use crate::store::op::{AttemptGrant, Offer, TurnGrant, Wake};

/// What is left of an offer.
pub(super) struct Slots {
    offer: Option<Offer>,
}

impl Slots {
    /// The slots of an offer; none when its session has ended in the partition.
    pub(super) fn of(tx: &mut Tx<'_>, partition: Partition, offer: Option<&Offer>) -> Result<Self, Fault> {
        let offer = match offer {
            Some(offer) if sessions::is_alive(tx, partition, offer.session.as_str())? => Some(offer.clone()),
            Some(_) | None => None,
        };
        Ok(Self { offer })
    }

    /// Nobody waits.
    pub(super) fn none() -> Self {
        Self { offer: None }
    }

    /// The session that has a slot for a turn of this pool. It takes the slot with it.
    fn take_turn(&mut self, row: &RunRow, prefers: Option<&str>) -> Option<(String, Seq)> {
        let offer = self.offer.as_mut().filter(|offer| offer.turns > 0 && offer.pool.as_str() == row.record.pool)?;
        if prefers.is_some_and(|holder| holder != offer.session.as_str()) {
            return None;
        }
        offer.turns -= 1;
        Some((offer.session.as_str().to_owned(), offer.seq))
    }

    /// Whether new activities of the pool may go to the session ahead of its queue: it is empty, or its head is young and
    /// the session has not been favoured for long.
    pub(super) fn may_overtake(&self, tx: &mut Tx<'_>, row: &RunRow, now: TimeMs) -> Result<bool, Fault> {
        let Some(offer) = self.offer.as_ref().filter(|offer| offer.pool.as_str() == row.record.pool) else { return Ok(false) };
        let head = attempts::head(tx, row.partition, &attempts::pool_queue(&row.record.pool), 1)?;
        Ok(head.first().is_none_or(|head| !offer.fair && now.since(head.queued_at) < limits::GRANT_OVERTAKES))
    }

    /// The session that has a slot for an activity. It takes the slot with it.
    pub(super) fn take_activity(&mut self) -> Option<(String, Seq)> {
        let offer = self.offer.as_mut().filter(|offer| offer.activities > 0)?;
        offer.activities -= 1;
        Some((offer.session.as_str().to_owned(), offer.seq))
    }
}

/// Sees that a ready run gets its turn: leased to the session that offers a slot, unless the run prefers another one that is
/// alive; else it stands in the ready queue, where only the preferred session may take it for a while. Nothing happens to a
/// run in another phase. The record is as it will be saved when this is called.
pub(super) fn ready(tx: &mut Tx<'_>, row: &mut RunRow, slots: &mut Slots, now: TimeMs) -> Result<Option<TurnGrant>, Fault> {
    if row.record.phase != Phase::Ready {
        return Ok(None);
    }
    let holder = row.record.holder.clone();
    let preferred = sessions::is_alive(tx, row.partition, &holder)?.then_some(holder.as_str());
    if let Some((session, seq)) = slots.take_turn(row, preferred) {
        unready(tx, row)?;
        return lease(tx, row, &session, seq).map(Some);
    }
    if let Some(place) = tx.get(T::ReadyOf, row.at().bytes())? {
        // An optimistic turn passed the mail: the place in the queue, and with it the bound on the waiting, stays. Whoever took the turn
        // has the context now.
        let claimable_at = Parts(&place).time().ok_or_else(|| Fault::damaged(T::ReadyOf, "a time"))?;
        if let Some(holder) = preferred.filter(|_| claimable_at > now) {
            let key = Key::of(row.partition).text(&row.record.pool).time(claimable_at).text(&row.name);
            tx.put(T::Ready, key, holder.as_bytes())?;
        }
        return Ok(None);
    }
    let claimable_at = if preferred.is_some() { now.plus(limits::AFFINITY) } else { now };
    let key = Key::of(row.partition).text(&row.record.pool).time(claimable_at).text(&row.name);
    tx.put(T::Ready, key, preferred.unwrap_or_default().as_bytes())?;
    lengths::change(tx, row.partition, Kind::Ready, &row.record.pool, 1);
    tx.put(T::ReadyOf, row.at(), &claimable_at.0.to_be_bytes())?;
    tx.wake(Wake::Pool { partition: row.partition, pool: row.record.pool.clone() });
    Ok(None)
}

/// Takes a run out of the ready queue; nothing when it does not stand there.
pub(super) fn unready(tx: &mut Tx<'_>, row: &RunRow) -> Result<(), Fault> {
    if let Some(claimable_at) = tx.take_number(T::ReadyOf, row.at())? {
        tx.remove(T::Ready, Key::of(row.partition).text(&row.record.pool).number(claimable_at).text(&row.name))?;
        lengths::change(tx, row.partition, Kind::Ready, &row.record.pool, -1);
    }
    Ok(())
}

/// Leases the turn of a run that stands in no queue (any more), with its mail.
pub(super) fn lease(tx: &mut Tx<'_>, row: &mut RunRow, session: &str, seq: Seq) -> Result<TurnGrant, Fault> {
    row.record.phase = run::next(row.record.phase, Input::Claim).ok_or_else(|| Fault::transition("a claim on a run that is not ready"))?;
    hold(tx, row, session, seq)?;
    turn(tx, row)
}

/// Writes the lease into record and table.
pub(super) fn hold(tx: &mut Tx<'_>, row: &mut RunRow, session: &str, seq: Seq) -> Result<(), Fault> {
    row.record.epoch += 1;
    session.clone_into(&mut row.record.session);
    row.record.seq = seq;
    leases::put_turn(tx, row, session, seq)
}

/// Takes the lease away from whoever has it. The phase is the caller's to set.
pub(super) fn drop_turn(tx: &mut Tx<'_>, row: &mut RunRow) -> Result<(), Fault> {
    let session = std::mem::take(&mut row.record.session);
    row.record.seq = 0;
    if session.is_empty() {
        return Ok(());
    }
    leases::remove_turn(tx, row, &session)
}

/// The grant of a turn that is leased.
pub(super) fn turn(tx: &mut Tx<'_>, row: &RunRow) -> Result<TurnGrant, Fault> {
    let events = mailbox::peek(tx, &row.at(), 0)?;
    Ok(TurnGrant { run: row.key.clone(), record: row.record.clone(), events, now: tx.clock() })
}

/// The grant of an attempt that is leased.
pub(super) fn attempt(row: &RunRow, attempt: &AttemptRecord, entry: Arc<str>) -> Result<AttemptGrant, Fault> {
    let damaged = |e: crate::api::ids::InvalidId| Fault::Damaged(format!("run {}: {e}", row.key));
    Ok(AttemptGrant {
        run: row.key.clone(),
        uid: row.record.uid.parse().map_err(damaged)?,
        workflow: row.record.workflow.parse().map_err(damaged)?,
        version: row.record.version.parse().map_err(damaged)?,
        attempt: attempt.clone(),
        entry,
    })
}

/// The journal entries that attempts of one answer have their names and arguments in, each read once.
#[derive(Default)]
pub(super) struct Entries {
    by_turn: HashMap<(String, u32), Arc<str>>,
    /// Of all that were read.
    pub(super) bytes: usize,
}

impl Entries {
    /// The entry that scheduled an attempt.
    pub(super) fn of(&mut self, tx: &mut Tx<'_>, row: &RunRow, attempt: &AttemptRecord) -> Result<Arc<str>, Fault> {
        let key = (row.name.clone(), attempt.turn);
        if let Some(entry) = self.by_turn.get(&key) {
            return Ok(entry.clone());
        }
        let text = tx.entry(row.partition, &row.name, attempt.turn)?;
        let entry: Arc<str> = text.ok_or_else(|| Fault::transition("an attempt without its journal entry"))?.into();
        self.bytes += entry.len();
        self.by_turn.insert(key, entry.clone());
        Ok(entry)
    }
}
