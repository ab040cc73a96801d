//! Messages between runs: outbox, receive, sent.

use super::scripts::SCRIPTS;
use super::{RedisStore, encode};
use crate::api::limits::{SLICE_MAX, UNREAD_EVENTS_MAX};
use crate::api::{Partition, TimeMs};
use crate::store::op::{Parcel, Receive, Received};
use crate::store::port::StoreError;

pub(super) async fn outbox(store: &RedisStore, partition: Partition) -> Result<Vec<Parcel>, StoreError> {
    let script = &SCRIPTS.outbox;
    let answer = store.fields(script, partition, store.call(script, partition, TimeMs(0)).arg(SLICE_MAX)).await?;
    answer.all(|parcels| {
        let mut parcel = parcels.list()?;
        let to = u16::try_from(parcel.number()?).map_err(|e| parcel.damaged(e))?;
        Ok(Parcel { to: Partition(to), first: parcel.number()?, messages: parcel.list()?.all(super::decode::Fields::bytes)? })
    })
}

pub(super) async fn receive(store: &RedisStore, receive: Receive) -> Result<Received, StoreError> {
    let script = &SCRIPTS.receive;
    let call = store.call(script, receive.to, receive.now).arg(receive.from.0).arg(encode::exact(receive.first)).arg(UNREAD_EVENTS_MAX);
    let call = receive.messages.iter().fold(call, super::connection::Call::arg);
    let mut answer = store.fields(script, receive.to, call).await?;
    Ok(Received { last: answer.number()?, replied: answer.flag()? })
}

pub(super) async fn sent(store: &RedisStore, from: Partition, to: Partition, last: u64) -> Result<(), StoreError> {
    let script = &SCRIPTS.sent;
    let call = store.call(script, from, TimeMs(0)).arg(to.0).arg(encode::exact(last));
    store.flag(script, from, call).await.map(|_| ())
}
