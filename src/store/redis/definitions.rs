//! Definitions: define, look up.

use futures_util::future::try_join_all;

use super::connection::{Call, Of};
use super::decode::{Fields, damaged};
use super::scripts::SCRIPTS;
use super::{RedisStore, encode, keys};
use crate::api::{Name, Partition, Version};
use crate::store::op::{Define, Defined, WorkflowRecord};
use crate::store::port::StoreError;

const LOOK_UP: &str = "look up a workflow";

/// First the definition and its generation, then every partition, then the store's own list: what is there is everywhere.
pub(super) async fn define(store: &RedisStore, define: Define) -> Result<Defined, StoreError> {
    let (current, begun) = (keys::workflows(&define.namespace), keys::begun_workflows(&define.namespace));
    let known = keys::workflow_keys(&define.namespace, &define.name);
    let script = &SCRIPTS.generation;
    let call = Call::with_keys(script, &[&keys::definition(&define.version), keys::GENERATION, &current, &begun, &known])
        .arg(encode::time(define.now))
        .arg(&define.definition)
        .arg(define.name.as_str())
        .arg(define.version.as_str())
        .arg(define.pool.as_str())
        .arg(encode::exact(define.retention.0))
        .arg(&define.key);
    let mut answer = Fields::of(script.operation, store.connections.run(Of::Store, call).await?)?;
    let (is_new, packed) = (answer.text()? == "new", answer.bytes()?);
    if !is_new {
        return Ok(Defined { record: unpack(&packed)?, unchanged: true });
    }
    let field = format!("{}/{}", define.namespace, define.name);
    try_join_all((0..store.info.partitions).map(|number| {
        let prefix = keys::prefix(Partition(number));
        let call = Call::with_keys(&SCRIPTS.define, &[&format!("{prefix}w"), &format!("{prefix}pools")]);
        store.connections.run(Of::Partition(Partition(number)), call.arg(&field).arg(&packed))
    }))
    .await?;
    let script = &SCRIPTS.defined;
    let call = Call::with_keys(script, &[&current, &begun, &known]).arg(define.name.as_str()).arg(&packed).arg(&define.key);
    match store.connections.run(Of::Store, call).await? {
        redis::Value::BulkString(bytes) => Ok(Defined { record: unpack(&bytes)?, unchanged: false }),
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
