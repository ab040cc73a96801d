//! What waits, is leased and falls due.

use std::collections::BTreeMap;

use super::RedisStore;
use super::decode::Fields;
use super::scripts::SCRIPTS;
use crate::api::limits::{OVERDUE_COUNTED_MAX, TIMERS_AHEAD, TIMERS_TOLD_MAX};
use crate::api::{Partition, TimeMs};
use crate::machine::scaling::slot_time::Bucket;
use crate::store::op::{Completions, Leased, Load, Waiting};
use crate::store::port::StoreError;

pub(super) async fn load(store: &RedisStore, partition: Partition, now: TimeMs) -> Result<Load, StoreError> {
    let script = &SCRIPTS.load;
    let call = store.call(script, partition, now).arg(TIMERS_AHEAD.0).arg(TIMERS_TOLD_MAX).arg(OVERDUE_COUNTED_MAX);
    let mut answer = store.fields(script, partition, call).await?;
    let (turns, attempts) = (waiting(answer.list()?)?, waiting(answer.list()?)?);
    let leases = answer.list()?.all(|list| Ok((list.parsed()?, Leased { turns: list.number()?, attempts: list.number()? })))?;
    let counted = answer.list()?.all(|pair| Ok((pair.text()?, pair.number_text()?)))?;
    let due = answer.list()?.all(|pair| Ok((pair.time()?, pair.text()?)))?;
    let leases = leases.into_iter().collect();
    Ok(Load { turns, attempts, leases, ended: ended(counted), due, overdue: answer.number()?, now: answer.time()? })
}

/// The names are those of `parts/ended.lua`.
fn ended(counted: Vec<(String, u64)>) -> BTreeMap<String, Completions> {
    let mut all = BTreeMap::<String, Completions>::new();
    for (name, count) in counted {
        let (pool, of) = name.split_once('#').unwrap_or((&name, ""));
        let of_pool = all.entry(pool.to_owned()).or_default();
        let (tally, number) = match of.strip_prefix('t') {
            Some(number) => (&mut of_pool.turns, number),
            None => (&mut of_pool.attempts, of),
        };
        *tally.entry(number.parse().ok().and_then(Bucket::numbered)).or_default() += count;
    }
    all
}

fn waiting(list: Fields) -> Result<BTreeMap<String, Waiting>, StoreError> {
    let all = list.all(|of| Ok((of.text()?, Waiting { count: of.number()?, since: of.time()? })))?;
    Ok(all.into_iter().collect())
}
