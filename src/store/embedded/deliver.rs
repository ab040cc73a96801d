//! An event from outside.

use super::fault::Fault;
use super::grant::{self, Slots};
use super::mailbox::{self, Mail};
use super::rows::Tx;
use crate::api::limits;
use crate::machine::run::Phase;
use crate::store::op::{Deliver, Delivered};

/// See the port.
pub(super) fn deliver(tx: &mut Tx<'_>, deliver: &Deliver) -> Result<Delivered, Fault> {
    let Some(mut row) = tx.load(&deliver.run)? else { return Ok(Delivered::NotFound) };
    if row.record.phase == Phase::Closed {
        return Ok(Delivered::Closed(row.record.status()));
    }
    if mailbox::knows(tx, &row, &deliver.key)? {
        return Ok(Delivered::Repeat);
    }
    if !deliver.cancel && row.record.mail >= limits::UNREAD_EVENTS_MAX {
        return Ok(Delivered::MailboxFull);
    }
    let now = tx.now(deliver.now);
    let mut slots = Slots::of(tx, row.partition, deliver.offer.as_ref())?;
    let mut grant = None;
    if mailbox::receive(tx, &mut row, Mail { event: &deliver.event, cancel: deliver.cancel, key: &deliver.key })? {
        grant = grant::ready(tx, &mut row, &mut slots, now)?;
    }
    tx.save(&row)?;
    Ok(Delivered::Accepted { grant })
}
