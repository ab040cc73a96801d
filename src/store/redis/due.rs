//! What falls due: fire, sweep.

use super::scripts::SCRIPTS;
use super::{RedisStore, encode};
use crate::api::limits::SLICE_MAX;
use crate::api::{Partition, TimeMs};
use crate::store::op::{Fire, Fired, Swept, TimedOut};
use crate::store::port::StoreError;

pub(super) async fn fire(store: &RedisStore, fire: Fire) -> Result<Fired, StoreError> {
    let script = &SCRIPTS.fire;
    let call = store.call(script, fire.partition, fire.now).arg(fire.slice.min(SLICE_MAX)).arg(encode::offer(fire.offer.as_ref()));
    let mut answer = store.fields(script, fire.partition, call).await?;
    let fired = Fired {
        timers: answer.small()?,
        retries: answer.small()?,
        timed_out: answer.list()?.all(|list| {
            let mut late = list.list()?;
            Ok(TimedOut { run: late.parsed()?, version: late.version()?, attempt: late.attempt()? })
        })?,
        grants: answer.grants()?,
        more: answer.flag()?,
        next_due: answer.time()?,
        now: answer.time()?,
    };
    fired.grants.turns.iter().for_each(|grant| store.seen.granted(grant));
    Ok(fired)
}

pub(super) async fn sweep(store: &RedisStore, partition: Partition, now: TimeMs) -> Result<Swept, StoreError> {
    let script = &SCRIPTS.sweep;
    let mut answer = store.fields(script, partition, store.call(script, partition, now).arg(SLICE_MAX)).await?;
    Ok(Swept { runs: answer.small()?, more: answer.flag()? })
}
