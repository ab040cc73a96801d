//! Which runs are open: how many of each version, and those that come from somewhere.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;

use super::connection::Of;
use super::decode::damaged;
use super::scripts::SCRIPTS;
use super::{RedisStore, keys};
use crate::api::limits::FOLLOWED_PAGE_MAX;
use crate::api::{Origin, Partition, RunKey, TimeMs};
use crate::store::op::{FollowedRuns, OpenRuns};
use crate::store::port::StoreError;

const COUNT: &str = "count open runs";
const LIST: &str = "list followed runs";
/// Between a run and its origin. Sorts behind all that a run's name has.
const SEPARATOR: char = '|';

pub(super) async fn open_runs(store: &RedisStore, partition: Partition) -> Result<Vec<OpenRuns>, StoreError> {
    let mut command = redis::cmd("HGETALL");
    command.arg(format!("{}open", keys::prefix(partition)));
    let all: BTreeMap<String, u64> = store.connections.send(COUNT, Of::Partition(partition), command).await?;
    let mut counted = all.into_iter().map(|(field, runs)| read(&field, runs)).collect::<Result<Vec<_>, _>>()?;
    counted.sort();
    Ok(counted)
}

fn read(field: &str, runs: u64) -> Result<OpenRuns, StoreError> {
    let parse = || {
        let mut parts = field.split('/');
        let (namespace, workflow, version) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        Some(OpenRuns { namespace, workflow, version, runs })
    };
    parse().ok_or_else(|| damaged(COUNT, format!("{field} is no version of a workflow")))
}

pub(super) async fn followed(store: &RedisStore, partition: Partition, after: Option<&RunKey>) -> Result<FollowedRuns, StoreError> {
    let mut command = redis::cmd("ZRANGEBYLEX");
    command.arg(format!("{}fo", keys::prefix(partition)));
    // Behind every origin of that run.
    command.arg(after.map_or_else(|| "-".to_owned(), |run| format!("({run}{SEPARATOR}~"))).arg("+");
    command.arg("LIMIT").arg(0).arg(FOLLOWED_PAGE_MAX + 1);
    let mut members: Vec<String> = store.connections.send(LIST, Of::Partition(partition), command).await?;
    let more = members.len() > FOLLOWED_PAGE_MAX;
    members.truncate(FOLLOWED_PAGE_MAX);
    let read = |member: String| {
        let parse = || -> Option<(RunKey, Origin)> {
            let (run, origin) = member.split_once(SEPARATOR)?;
            Some((run.parse().ok()?, origin.parse().ok()?))
        };
        parse().ok_or_else(|| damaged(LIST, format!("{member} is no run with an origin")))
    };
    Ok(FollowedRuns { runs: members.into_iter().map(read).collect::<Result<_, _>>()?, more })
}

/// Counts the open runs of a store that was made before they were counted. While older replicas still write to it the numbers may be
/// off by what those did meanwhile.
pub(super) async fn recount(store: &RedisStore) -> Result<(), StoreError> {
    try_join_all((0..store.info.partitions).map(|number| async move {
        let partition = Partition(number);
        let call = store.call(&SCRIPTS.recount, partition, TimeMs(0));
        store.flag(&SCRIPTS.recount, partition, call).await
    }))
    .await?;
    let mut command = redis::cmd("HSET");
    command.arg(keys::META).arg("open").arg(1);
    store.connections.send::<()>(COUNT, Of::Store, command).await
}
