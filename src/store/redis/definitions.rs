//! Definitions: define, retire, look up.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;

use super::connection::{Call, Of};
use super::decode::{Fields, damaged};
use super::scripts::SCRIPTS;
use super::{RedisStore, encode, keys};
use crate::api::{Name, Origin, Partition, TimeMs, Version};
use crate::store::op::{Define, Defined, Retire, WorkflowRecord};
use crate::store::port::StoreError;

const LOOK_UP: &str = "look up a workflow";

/// A definition that is to be current, or the retirement of the one that is.
pub(super) async fn define(store: &RedisStore, define: Define) -> Result<Defined, StoreError> {
    let to = Next {
        definition: Some((&define.version, &define.definition)),
        pool: define.pool.as_str(),
        retention_ms: define.retention.0,
        holder: define.holder.as_ref(),
        key: &define.key,
        now: define.now,
    };
    let defined = replace(store, &define.namespace, &define.name, to).await?;
    defined.ok_or_else(|| damaged("define a workflow", "a definition is missing that was just given"))
}

pub(super) async fn retire(store: &RedisStore, retire: Retire) -> Result<Option<Defined>, StoreError> {
    let to = Next { definition: None, pool: "", retention_ms: 0, holder: retire.holder.as_ref(), key: &retire.key, now: retire.now };
    replace(store, &retire.namespace, &retire.name, to).await
}

/// What is to be current.
struct Next<'a> {
    /// Absent: the current one, retired.
    definition: Option<(&'a Version, &'a str)>,
    pool: &'a str,
    retention_ms: u64,
    holder: Option<&'a Origin>,
    key: &'a str,
    now: TimeMs,
}

/// First the definition and its generation, then every partition, then the store's own list: what is there is everywhere.
async fn replace(store: &RedisStore, namespace: &Name, name: &Name, next: Next<'_>) -> Result<Option<Defined>, StoreError> {
    let (current, begun) = (keys::workflows(namespace), keys::begun_workflows(namespace));
    let known = keys::workflow_keys(namespace, name);
    let script = &SCRIPTS.generation;
    // A retirement keeps no definition: its key is not used.
    let kept = next.definition.map_or_else(String::new, |(version, _)| keys::definition(version));
    let call =
        Call::with_keys(script, &[if kept.is_empty() { keys::GENERATION } else { &kept }, keys::GENERATION, &current, &begun, &known])
            .arg(encode::time(next.now))
            .arg(next.definition.map_or("", |(_, text)| text))
            .arg(name.as_str())
            .arg(next.definition.map_or("", |(version, _)| version.as_str()))
            .arg(next.pool)
            .arg(encode::exact(next.retention_ms))
            .arg(next.key)
            .arg(next.holder.map_or("", Origin::as_str));
    let mut answer = Fields::of(script.operation, store.connections.run(Of::Store, call).await?)?;
    let packed = match answer.text()?.as_str() {
        "missing" => return Ok(None),
        "held" => return Ok(Some(Defined::Held(unpack(&answer.bytes()?)?))),
        "same" => return Ok(Some(Defined::Done { record: unpack(&answer.bytes()?)?, unchanged: true })),
        _ => answer.bytes()?,
    };
    let field = format!("{namespace}/{name}");
    try_join_all((0..store.info.partitions).map(|number| {
        let prefix = keys::prefix(Partition(number));
        let call = Call::with_keys(&SCRIPTS.define, &[&format!("{prefix}w"), &format!("{prefix}pools")]);
        store.connections.run(Of::Partition(Partition(number)), call.arg(&field).arg(&packed))
    }))
    .await?;
    let script = &SCRIPTS.defined;
    let call = Call::with_keys(script, &[&current, &begun, &known]).arg(name.as_str()).arg(&packed).arg(next.key);
    match store.connections.run(Of::Store, call).await? {
        redis::Value::BulkString(bytes) => Ok(Some(Defined::Done { record: unpack(&bytes)?, unchanged: false })),
        other => Err(damaged(script.operation, format!("an answer is no record: {other:?}"))),
    }
}

fn unpack(bytes: &[u8]) -> Result<WorkflowRecord, StoreError> {
    rmp_serde::from_slice(bytes).map_err(|e| damaged(LOOK_UP, e))
}

pub(super) async fn definition(store: &RedisStore, version: &Version) -> Result<Option<String>, StoreError> {
    let mut command = redis::cmd("GET");
    command.arg(keys::definition(version));
    store.connections.send("look up a version", Of::Store, command).await
}

pub(super) async fn workflow(store: &RedisStore, namespace: &Name, name: &Name) -> Result<Option<WorkflowRecord>, StoreError> {
    let mut command = redis::cmd("HGET");
    command.arg(keys::workflows(namespace)).arg(name.as_str());
    let bytes: Option<Vec<u8>> = store.connections.send(LOOK_UP, Of::Store, command).await?;
    bytes.map(|bytes| unpack(&bytes)).transpose()
}

pub(super) async fn workflows(store: &RedisStore, namespace: &Name) -> Result<Vec<WorkflowRecord>, StoreError> {
    let mut command = redis::cmd("HVALS");
    command.arg(keys::workflows(namespace));
    let all: Vec<Vec<u8>> = store.connections.send("list workflows", Of::Store, command).await?;
    let mut records = all.iter().map(|bytes| unpack(bytes)).collect::<Result<Vec<_>, _>>()?;
    records.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(records)
}

/// From one partition: a definition is in all of them before it is answered.
pub(super) async fn held(store: &RedisStore) -> Result<Vec<(Name, WorkflowRecord)>, StoreError> {
    const OPERATION: &str = "list workflows";
    let mut command = redis::cmd("HGETALL");
    command.arg(format!("{}w", keys::prefix(Partition(0))));
    let all: BTreeMap<String, Vec<u8>> = store.connections.send(OPERATION, Of::Partition(Partition(0)), command).await?;
    let mut held = Vec::new();
    for (field, bytes) in all {
        let record = unpack(&bytes)?;
        if !record.holder.is_empty() {
            let namespace = field.split('/').next().and_then(|text| text.parse().ok());
            held.push((namespace.ok_or_else(|| damaged(OPERATION, format!("{field} is no workflow")))?, record));
        }
    }
    Ok(held)
}
