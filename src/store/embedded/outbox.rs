//! Messages between runs: from the outbox of the sender's partition, in their order, each applied once.

use std::ops::ControlFlow;

use super::fault::Fault;
use super::grant::{self, Slots};
use super::mailbox::{self, Mail};
use super::rows::{Rows, RunRow, Tx};
use super::tables::{Key, PARTITION_BYTES, Parts, T};
use crate::api::limits::{SLICE_MAX, UNREAD_EVENTS_MAX};
use crate::api::{Code, Partition, TimeMs};
use crate::machine::message::Message;
use crate::machine::run::Phase;
use crate::machine::turn::NewSignal;
use crate::store::op::{Parcel, Receive, Received};

fn sent_key(from: Partition, to: Partition) -> Key {
    Key::of(from).byte(b'o').number(to.0.into())
}

fn applied_key(to: Partition, from: Partition) -> Key {
    Key::of(to).byte(b'i').number(from.0.into())
}

/// Puts the signals of a turn into the outbox.
pub(super) fn send(tx: &mut Tx<'_>, row: &RunRow, signals: &[NewSignal]) -> Result<(), Fault> {
    for new in signals {
        let to = new.to.partition(tx.partitions());
        let message = Message::signal(&new.to, new.event.clone(), &row.name, &row.record.uid, row.partition, new.command);
        put(tx, row.partition, to, &message)?;
    }
    Ok(())
}

fn put(tx: &mut Tx<'_>, from: Partition, to: Partition, message: &Message) -> Result<(), Fault> {
    let seq = tx.number(T::Sequences, sent_key(from, to).bytes())?.unwrap_or(0) + 1;
    tx.put(T::Sequences, sent_key(from, to), &seq.to_be_bytes())?;
    tx.put(T::Outbox, Key::of(from).number(to.0.into()).number(seq), &message.encode())
}

/// See the port. Of each receiver only the slice is read, however much waits behind it.
pub(super) fn parcels(rows: &mut impl Rows, from: Partition) -> Result<Vec<Parcel>, Fault> {
    let (mut parcels, mut at, end) = (Vec::new(), Key::of(from).bytes().to_vec(), Key::of(from).end());
    loop {
        let mut next = None;
        rows.scan(T::Outbox, &at, &end, false, &mut |key, _| {
            next = Some(key.to_vec());
            ControlFlow::Break(())
        })?;
        let Some(key) = next else { return Ok(parcels) };
        let mut parts = Parts(&key);
        let numbers = parts.skip(PARTITION_BYTES).and_then(|()| Some((u16::try_from(parts.number()?).ok()?, parts.number()?)));
        let (to, first) = numbers.ok_or_else(|| Fault::damaged(T::Outbox, "a message's key"))?;
        let waiting = Key::of(from).number(to.into());
        let messages = rows.rows(T::Outbox, &waiting, SLICE_MAX)?.into_iter().map(|(_, message)| message).collect();
        parcels.push(Parcel { to: Partition(to), first, messages });
        at = waiting.end();
    }
}

/// See the port.
pub(super) fn receive(tx: &mut Tx<'_>, receive: &Receive) -> Result<Received, Fault> {
    let key = applied_key(receive.to, receive.from);
    let mut received = Received { last: tx.number(T::Sequences, key.bytes())?.unwrap_or(0), replied: false };
    let now = tx.now(receive.now);
    for (seq, bytes) in (receive.first..).zip(&receive.messages) {
        if seq <= received.last {
            continue;
        }
        // A gap, or a newer program's message: from there on it waits.
        let Some(message) = Message::decode(bytes).filter(|_| seq == received.last + 1) else { break };
        received.replied |= apply(tx, receive.to, &message, now)?;
        received.last = seq;
    }
    tx.put(T::Sequences, key, &received.last.to_be_bytes())?;
    Ok(received)
}

/// Whether an outcome goes back.
fn apply(tx: &mut Tx<'_>, here: Partition, message: &Message, now: TimeMs) -> Result<bool, Fault> {
    let row = tx.load_named(&message.to)?;
    if message.from.is_empty() {
        if let Some(row) = row.filter(|row| row.record.uid == message.to_uid && row.record.phase != Phase::Closed) {
            take_in(tx, row, &message.event, now)?;
        }
        return Ok(false);
    }
    let refused = match &row {
        None => Some(Code::RunNotFound),
        Some(row) if row.record.phase == Phase::Closed => Some(Code::RunClosed),
        Some(row) if row.record.mail >= UNREAD_EVENTS_MAX => Some(Code::MailboxFull),
        Some(_) => None,
    };
    if let Some(row) = row.filter(|_| refused.is_none()) {
        take_in(tx, row, &message.event, now)?;
    }
    put(tx, here, Partition(message.from_partition), &message.outcome(refused))?;
    Ok(true)
}

fn take_in(tx: &mut Tx<'_>, mut row: RunRow, event: &str, now: TimeMs) -> Result<(), Fault> {
    if mailbox::receive(tx, &mut row, Mail::of(event))? {
        grant::ready(tx, &mut row, &mut Slots::none(), now)?;
    }
    tx.save(&row)
}

/// See the port.
pub(super) fn sent(tx: &mut Tx<'_>, from: Partition, to: Partition, last: u64) -> Result<(), Fault> {
    let all = Key::of(from).number(to.0.into());
    let end = all.clone().number(last.saturating_add(1));
    let mut gone = Vec::new();
    tx.scan(T::Outbox, all.bytes(), end.bytes(), false, &mut |key, _| {
        gone.push(key.to_vec());
        ControlFlow::Continue(())
    })?;
    for key in gone {
        tx.remove(T::Outbox, key)?;
    }
    Ok(())
}
