//! A run's mailbox: events in the order of their arrival, and the idempotency keys that brought them.

use std::ops::ControlFlow;

use super::fault::Fault;
use super::rows::{Rows, RunRow, Tx};
use super::tables::{Key, Parts, T};
use crate::api::limits;
use crate::machine::run::{self, Input, Phase};

/// An event that comes in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mail<'a> {
    /// The event as JSON text.
    pub(super) event: &'a str,
    /// It is a `CancelRequested`.
    pub(super) cancel: bool,
    /// The caller's idempotency key; empty for what the store itself brings.
    pub(super) key: &'a str,
}

impl<'a> Mail<'a> {
    /// A result or a timer.
    pub(super) fn of(event: &'a str) -> Self {
        Self { event, cancel: false, key: "" }
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(2 + self.key.len() + self.event.len());
        bytes.push(u8::from(self.cancel));
        bytes.extend_from_slice(self.key.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(self.event.as_bytes());
        bytes
    }

    fn decode(bytes: &'a [u8]) -> Option<Self> {
        let mut parts = Parts(bytes);
        Some(Self { cancel: parts.byte()? != 0, key: parts.text()?, event: parts.rest()? })
    }
}

/// Puts an event into the mailbox. Whether that made a waiting run ready: then the caller offers or queues its turn.
pub(super) fn receive(tx: &mut Tx<'_>, row: &mut RunRow, mail: Mail<'_>) -> Result<bool, Fault> {
    let Some(phase) = run::next(row.record.phase, Input::Mail) else {
        return Err(Fault::transition("mail for a closed run"));
    };
    let became_ready = phase == Phase::Ready && row.record.phase != Phase::Ready;
    row.record.phase = phase;
    let arrival = tx.sequence()?;
    tx.put(T::Mailbox, row.at().number(arrival), &mail.encode())?;
    remember_as(tx, row, mail.key, arrival)?;
    row.record.mail += 1;
    row.record.mail_cancel = row.record.mail_cancel.saturating_add(u8::from(mail.cancel));
    Ok(became_ready)
}

/// Whether an event came with this key before, and the key is still remembered.
pub(super) fn knows(tx: &mut Tx<'_>, row: &RunRow, key: &str) -> Result<bool, Fault> {
    Ok(!key.is_empty() && tx.get(T::Keys, row.at().byte(BY_KEY).text(key).bytes())?.is_some())
}

/// Remembers the key of what changes the run without an event.
pub(super) fn remember(tx: &mut Tx<'_>, row: &RunRow, key: &str) -> Result<(), Fault> {
    if key.is_empty() {
        return Ok(());
    }
    let arrival = tx.sequence()?;
    remember_as(tx, row, key, arrival)
}

fn remember_as(tx: &mut Tx<'_>, row: &RunRow, key: &str, arrival: u64) -> Result<(), Fault> {
    if key.is_empty() {
        return Ok(());
    }
    tx.put(T::Keys, row.at().byte(BY_KEY).text(key), &arrival.to_be_bytes())?;
    tx.put(T::Keys, row.at().byte(BY_ARRIVAL).number(arrival), key.as_bytes())
}

/// The events after the first `skip`, as many as one answer may carry: at least one when there is one.
pub(super) fn peek(rows: &mut impl Rows, mailbox: &Key, skip: u32) -> Result<Vec<String>, Fault> {
    let (mut events, mut bytes, mut skipped, mut damaged) = (Vec::new(), 0, 0, false);
    rows.scan_prefix(T::Mailbox, mailbox, &mut |_, value| {
        if skipped < skip {
            skipped += 1;
            return ControlFlow::Continue(());
        }
        let Some(mail) = Mail::decode(value) else {
            damaged = true;
            return ControlFlow::Break(());
        };
        bytes += mail.event.len();
        if !events.is_empty() && bytes > limits::COMMIT_BYTES_MAX {
            return ControlFlow::Break(());
        }
        events.push(mail.event.to_owned());
        if events.len() < limits::CLAIM_EVENTS_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    if damaged { Err(Fault::damaged(T::Mailbox, "mail")) } else { Ok(events) }
}

/// The first `count` events, without taking them.
pub(super) fn first(tx: &mut Tx<'_>, row: &RunRow, count: u32) -> Result<Vec<String>, Fault> {
    let rows = tx.rows(T::Mailbox, &row.at(), usize::try_from(count).unwrap_or(usize::MAX))?;
    let read = |value: &[u8]| Mail::decode(value).map(|mail| mail.event.to_owned());
    rows.iter().map(|(_, value)| read(value).ok_or_else(|| Fault::damaged(T::Mailbox, "mail"))).collect()
}

/// Takes the first `count` events out: they were consumed by a turn.
pub(super) fn consume(tx: &mut Tx<'_>, row: &mut RunRow, count: u32) -> Result<(), Fault> {
    let damaged = || Fault::damaged(T::Mailbox, "mail");
    let rows = tx.rows(T::Mailbox, &row.at(), usize::try_from(count).unwrap_or(usize::MAX))?;
    let (mut cancels, mut last_keyed) = (0_u32, None);
    for (key, value) in &rows {
        let mail = Mail::decode(value).ok_or_else(damaged)?;
        cancels += u32::from(mail.cancel);
        if !mail.key.is_empty() {
            let mut parts = Parts(key);
            parts.skip(row.at().bytes().len()).ok_or_else(damaged)?;
            last_keyed = parts.number();
        }
        tx.remove(T::Mailbox, key)?;
    }
    let taken = u32::try_from(rows.len()).unwrap_or(u32::MAX);
    row.record.mail = row.record.mail.saturating_sub(taken);
    if cancels > 0 {
        row.record.mail_cancel = if row.record.mail_cancel < u8::MAX {
            row.record.mail_cancel.saturating_sub(u8::try_from(cancels).unwrap_or(u8::MAX))
        } else {
            count_cancels(tx, row)?
        };
    }
    match last_keyed {
        Some(arrival) => forget_keys(tx, row, arrival),
        None => Ok(()),
    }
}

/// The number in the record stopped at its largest value; only the mail itself knows how many are left.
fn count_cancels(tx: &mut Tx<'_>, row: &RunRow) -> Result<u8, Fault> {
    let mut cancels = 0_u8;
    tx.scan_prefix(T::Mailbox, &row.at(), &mut |_, value| {
        cancels = cancels.saturating_add(u8::from(Mail::decode(value).is_some_and(|mail| mail.cancel)));
        ControlFlow::Continue(())
    })?;
    Ok(cancels)
}

/// Forgets the oldest keys of consumed events beyond those that are kept.
fn forget_keys(tx: &mut Tx<'_>, row: &RunRow, last_consumed: u64) -> Result<(), Fault> {
    let mut consumed = Vec::new();
    let from = row.at().byte(BY_ARRIVAL);
    let to = from.clone().number(last_consumed.saturating_add(1));
    tx.scan(T::Keys, from.bytes(), to.bytes(), false, &mut |key, value| {
        consumed.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    })?;
    let kept = usize::try_from(limits::IDEMPOTENCY_KEYS_KEPT).unwrap_or(usize::MAX);
    let beyond = consumed.len().saturating_sub(kept);
    for (by_arrival, key) in consumed.into_iter().take(beyond) {
        let key = std::str::from_utf8(&key).map_err(|_| Fault::damaged(T::Keys, "text"))?;
        tx.remove(T::Keys, row.at().byte(BY_KEY).text(key))?;
        tx.remove(T::Keys, by_arrival)?;
    }
    Ok(())
}

/// A row that is put back as it was.
type Kept = (Vec<u8>, Vec<u8>);

/// The first event of a run that has had no turn: its input stands nowhere else, so it outlives the run's end.
pub(super) fn keep_first(tx: &mut Tx<'_>, row: &RunRow) -> Result<Option<Kept>, Fault> {
    if row.record.turns > 0 {
        return Ok(None);
    }
    Ok(tx.rows(T::Mailbox, &row.at(), 1)?.pop())
}

/// Puts back what was kept.
pub(super) fn put_back(tx: &mut Tx<'_>, kept: Option<Kept>) -> Result<(), Fault> {
    match kept {
        Some((key, mail)) => tx.put(T::Mailbox, key, &mail),
        None => Ok(()),
    }
}

/// Removes what is left of a run that goes.
pub(super) fn remove(tx: &mut Tx<'_>, row: &RunRow) -> Result<(), Fault> {
    tx.remove_prefix(T::Mailbox, &row.at())?;
    tx.remove_prefix(T::Keys, &row.at())
}

/// Drops the mail: the run has ended. The keys stay, so that a repeat is still answered as the first time.
pub(super) fn clear(tx: &mut Tx<'_>, row: &mut RunRow) -> Result<(), Fault> {
    if row.record.mail > 0 {
        tx.remove_prefix(T::Mailbox, &row.at())?;
    }
    row.record.mail = 0;
    row.record.mail_cancel = 0;
    Ok(())
}

const BY_KEY: u8 = 0;
const BY_ARRIVAL: u8 = 1;
