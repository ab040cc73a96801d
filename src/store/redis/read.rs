//! Reading: the clock, a run, a journal, counts.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::connection::{Call, Of};
use super::decode::Fields;
use super::scripts::SCRIPTS;
use super::{RedisStore, encode, keys};
use crate::api::limits::{CHANGES_PAGE_BYTES, CHANGES_PAGE_MAX};
use crate::api::{Partition, RunKey, TimeMs};
use crate::store::op::{Change, Changes, Counts, JournalPage, RunState};
use crate::store::port::StoreError;

pub(super) async fn now(store: &RedisStore) -> Result<TimeMs, StoreError> {
    let (secs, micros): (u64, u64) = store.connections.send("read the clock", Of::Store, redis::cmd("TIME")).await?;
    Ok(TimeMs(secs * 1000 + micros / 1000))
}

pub(super) async fn run(store: &RedisStore, run: &RunKey) -> Result<Option<RunState>, StoreError> {
    let script = &SCRIPTS.run;
    let partition = store.partition_of(run);
    let call = store.call(script, partition, TimeMs(0)).arg(run.to_string());
    let mut answer = store.fields(script, partition, call).await?;
    if answer.is_empty() {
        return Ok(None);
    }
    let mut record = answer.record()?;
    record.attempts.extend(answer.list()?.all(Fields::attempt)?);
    record.attempts.sort_by_key(|attempt| attempt.command);
    record.attempts_beside = 0;
    let (entry, last, mail) = (answer.entry()?, answer.entry()?, answer.text()?);
    let mut first = if entry.is_empty() { String::new() } else { first_event(&entry).map_err(|e| answer.damaged(e))? };
    if first.is_empty() {
        // Before its first turn, or terminated before it.
        first = mail;
    }
    Ok(Some(RunState { record, first, last }))
}

/// The text of an entry's first event, as it stands there; empty when it has none.
fn first_event(entry: &str) -> Result<String, serde_json::Error> {
    #[derive(Deserialize)]
    struct Events<'a> {
        #[serde(borrow)]
        events: Vec<&'a RawValue>,
    }
    let entry: Events<'_> = serde_json::from_str(entry)?;
    Ok(entry.events.first().map_or_else(String::new, |event| event.get().to_owned()))
}

pub(super) async fn journal(store: &RedisStore, run: &RunKey, from: u32, bytes: usize) -> Result<Option<JournalPage>, StoreError> {
    let script = &SCRIPTS.journal;
    let partition = store.partition_of(run);
    let call = store.call(script, partition, TimeMs(0)).arg(run.to_string()).arg(from).arg(bytes.max(1));
    let mut answer = store.fields(script, partition, call).await?;
    if answer.is_empty() {
        return Ok(None);
    }
    Ok(Some(JournalPage { uid: answer.uid()?, head: answer.text()?, turns: answer.small()?, entries: answer.list()?.all(Fields::entry)? }))
}

pub(super) async fn changes(store: &RedisStore, partition: Partition, after: Option<u64>) -> Result<Changes, StoreError> {
    let script = &SCRIPTS.changes;
    let after = after.map_or_else(String::new, |place| encode::exact(place).to_string());
    let call = store.call(script, partition, TimeMs(0)).arg(after).arg(CHANGES_PAGE_MAX).arg(CHANGES_PAGE_BYTES);
    let mut answer = store.fields(script, partition, call).await?;
    match answer.text()?.as_str() {
        "told" => {
            let place = answer.number()?;
            let runs = answer.list()?.all(|list| {
                let mut change = list.list()?;
                let run = change.parsed()?;
                if change.is_empty() {
                    return Ok(Change { run, record: None, last: String::new() });
                }
                Ok(Change { run, record: Some(change.record()?), last: change.entry()? })
            })?;
            Ok(Changes::Told { place, runs, more: answer.flag()? })
        }
        "old" => Ok(Changes::TooOld),
        other => Err(answer.damaged(format_args!("unknown answer {other}"))),
    }
}

pub(super) async fn counts(store: &RedisStore, partition: Partition) -> Result<Counts, StoreError> {
    let script = &SCRIPTS.counts;
    let mut answer = store.fields(script, partition, Call::new(script, &keys::prefix(partition))).await?;
    Ok(Counts {
        ready_turns: by_name(answer.list()?)?,
        queued_attempts: by_name(answer.list()?)?,
        leases: by_name(answer.list()?)?,
        due: answer.number()?,
    })
}

fn by_name(list: Fields) -> Result<BTreeMap<String, u64>, StoreError> {
    Ok(list.all(|pair| Ok((pair.text()?, pair.number()?)))?.into_iter().collect())
}
