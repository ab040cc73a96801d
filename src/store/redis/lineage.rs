//! Which store it is, and the terms of operators.

use super::connection::{Call, Of};
use super::decode::damaged;
use super::scripts::SCRIPTS;
use super::{RedisStore, keys};
use crate::store::op::Lineage;
use crate::store::port::StoreError;

pub(super) async fn lineage(store: &RedisStore) -> Result<Lineage, StoreError> {
    let mut command = redis::cmd("HMGET");
    command.arg(keys::META).arg("id").arg("term");
    let (id, term): (Option<String>, Option<u64>) = store.connections.send("read the store's id", Of::Store, command).await?;
    Ok(Lineage { id: id.unwrap_or_default(), term: term.unwrap_or_default() })
}

pub(super) async fn next_term(store: &RedisStore) -> Result<u64, StoreError> {
    let script = &SCRIPTS.next_term;
    match store.connections.run(Of::Store, Call::new(script, keys::META)).await? {
        redis::Value::Int(term) if term > 0 => u64::try_from(term).map_err(|e| damaged(script.operation, e)),
        other => Err(damaged(script.operation, format!("the store was emptied, or answers {other:?}"))),
    }
}
