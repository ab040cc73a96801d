//! Sessions that are to be drained, and all there are.

use std::str::FromStr;

use super::connection::{Call, Of};
use super::decode::damaged;
use super::scripts::SCRIPTS;
use super::{RedisStore, encode, keys};
use crate::api::{Partition, SessionId, TimeMs};
use crate::store::port::StoreError;

const LIST_MARKS: &str = "list sessions to be drained";
const LIST: &str = "list sessions";

pub(super) async fn drain(
    store: &RedisStore,
    partition: Partition,
    session: &SessionId,
    until: TimeMs,
    now: TimeMs,
) -> Result<bool, StoreError> {
    let script = &SCRIPTS.drain_session;
    let call = Call::new(script, &keys::prefix(partition)).arg(session.as_str()).arg(encode::time(until)).arg(encode::time(now));
    store.flag(script, partition, call).await
}

pub(super) async fn draining(store: &RedisStore, partition: Partition) -> Result<Vec<(SessionId, TimeMs)>, StoreError> {
    let mut command = redis::cmd("ZRANGE");
    command.arg(format!("{}drain", keys::prefix(partition))).arg(0).arg(-1).arg("WITHSCORES");
    let marks: Vec<(String, u64)> = store.connections.send(LIST_MARKS, Of::Partition(partition), command).await?;
    marks.into_iter().map(|(session, until)| Ok((read(LIST_MARKS, &session)?, TimeMs(until)))).collect()
}

pub(super) async fn sessions(store: &RedisStore, partition: Partition) -> Result<Vec<SessionId>, StoreError> {
    let mut command = redis::cmd("ZRANGE");
    // One that is being ended has 0.
    command.arg(format!("{}s", keys::prefix(partition))).arg("(0").arg("+inf").arg("BYSCORE");
    let all: Vec<String> = store.connections.send(LIST, Of::Partition(partition), command).await?;
    all.iter().map(|session| read(LIST, session)).collect()
}

fn read(operation: &'static str, session: &str) -> Result<SessionId, StoreError> {
    SessionId::from_str(session).map_err(|e| damaged(operation, e))
}
