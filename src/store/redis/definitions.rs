//! Definitions: define, look up.

use futures_util::future::try_join_all;

use super::connection::Call;
use super::decode::{Fields, damaged};
use super::scripts::SCRIPTS;
use super::{RedisStore, encode, keys};
use crate::api::{Name, Partition, Version};
use crate::store::op::{Define, Defined, WorkflowRecord};
use crate::store::port::StoreError;

const LOOK_UP: &str = "look up a workflow";

/// First the definition and its generation, then every partition, then the store's own list: what is there is everywhere.
pub(super) async fn define(store: &RedisStore, define: Define) -> Result<Defined, StoreError> {
    let retention_ms = encode::exact(define.retention.0);
    if let Some(record) = workflow(store, &define.namespace, &define.name).await?
        && (&record.version, &record.pool, record.retention_ms) == (&define.version, &define.pool, retention_ms)
    {
        return Ok(Defined { record, unchanged: true });
    }
    let script = &SCRIPTS.generation;
    let call = Call::with_keys(script, &[&keys::definition(&define.version), keys::GENERATION])
        .arg(encode::time(define.now))
        .arg(&define.definition);
    let mut answer = Fields::of(script.operation, store.connections.run(0, call).await?)?;
    let record = WorkflowRecord {
        name: define.name.clone(),
        version: define.version.clone(),
        pool: define.pool.clone(),
        retention_ms,
        generation: answer.number()?,
        defined_at: answer.time()?,
    };
    let packed = rmp_serde::to_vec(&record).map_err(|e| damaged(LOOK_UP, e))?;
    let field = format!("{}/{}", define.namespace, define.name);
    try_join_all((0..store.info.partitions).map(|number| {
        let prefix = keys::prefix(Partition(number));
        set(store, number, vec![format!("{prefix}w"), format!("{prefix}pools")], &field, &packed)
    }))
    .await?;
    let record = set(store, 0, vec![keys::workflows(&define.namespace)], define.name.as_str(), &packed).await?;
    Ok(Defined { record, unchanged: false })
}

/// Makes it current in one hash, unless a later one is: then that is the answer.
async fn set(store: &RedisStore, by: u16, in_keys: Vec<String>, field: &str, packed: &[u8]) -> Result<WorkflowRecord, StoreError> {
    let script = &SCRIPTS.define;
    let in_keys: Vec<&str> = in_keys.iter().map(String::as_str).collect();
    let call = Call::with_keys(script, &in_keys).arg(field).arg(packed);
    match store.connections.run(by, call).await? {
        redis::Value::BulkString(bytes) => unpack(&bytes),
        other => Err(damaged(script.operation, format!("an answer is no record: {other:?}"))),
    }
}

fn unpack(bytes: &[u8]) -> Result<WorkflowRecord, StoreError> {
    rmp_serde::from_slice(bytes).map_err(|e| damaged(LOOK_UP, e))
}

pub(super) async fn definition(store: &RedisStore, version: &Version) -> Result<Option<String>, StoreError> {
    let mut command = redis::cmd("GET");
    command.arg(keys::definition(version));
    store.connections.send("look up a version", 0, command).await
}

pub(super) async fn workflow(store: &RedisStore, namespace: &Name, name: &Name) -> Result<Option<WorkflowRecord>, StoreError> {
    let mut command = redis::cmd("HGET");
    command.arg(keys::workflows(namespace)).arg(name.as_str());
    let bytes: Option<Vec<u8>> = store.connections.send(LOOK_UP, 0, command).await?;
    bytes.map(|bytes| unpack(&bytes)).transpose()
}

pub(super) async fn workflows(store: &RedisStore, namespace: &Name) -> Result<Vec<WorkflowRecord>, StoreError> {
    let mut command = redis::cmd("HVALS");
    command.arg(keys::workflows(namespace));
    let all: Vec<Vec<u8>> = store.connections.send("list workflows", 0, command).await?;
    let mut records = all.iter().map(|bytes| unpack(bytes)).collect::<Result<Vec<_>, _>>()?;
    records.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(records)
}
