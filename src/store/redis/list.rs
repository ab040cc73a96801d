//! Runs of a namespace, newest first over all partitions: sorted indices are merged, records are read in batches and filtered.
//!
//! A cursor is the place of the last run that was looked at, `<started at>:<id>`; each partition goes on behind it.

use std::collections::VecDeque;

use futures_util::future::try_join_all;

use super::connection::Of;
use super::decode::damaged;
use super::{RedisStore, keys};
use crate::api::limits::LIST_PAGE_MAX;
use crate::api::{Name, Partition, RunId, RunKey};
use crate::machine::record::{RecordError, RunRecord};
use crate::store::op::{List, Listed};
use crate::store::port::StoreError;

const OPERATION: &str = "list runs";
/// Records that one page looks at. A rare filter gives short pages with a cursor instead of long waits.
const SCANNED_MAX: usize = 10_000;
/// Members of an index that are read at once.
const INDEX_PAGE: usize = 256;

/// Where a run stands in the order: the later start first, then the larger id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    started_at: u64,
    id: String,
}

impl Place {
    fn parse(cursor: &str) -> Option<Self> {
        let (started_at, id) = cursor.split_once(':')?;
        Some(Self { started_at: started_at.parse().ok()?, id: id.to_owned() })
    }
}

/// One partition's index, read piece by piece.
struct Index {
    partition: Partition,
    waiting: VecDeque<Place>,
    after: Option<Place>,
    exhausted: bool,
}

impl Index {
    /// Reads the next piece when nothing waits. Of those that started in the same millisecond the ones before the place are
    /// passed over.
    async fn fill(&mut self, store: &RedisStore, namespace: &Name) -> Result<(), StoreError> {
        let mut offset = 0;
        while self.waiting.is_empty() && !self.exhausted {
            let mut command = redis::cmd("ZREVRANGEBYSCORE");
            command.arg(format!("{}ix:{namespace}", keys::prefix(self.partition)));
            match &self.after {
                Some(place) => command.arg(place.started_at),
                None => command.arg("+inf"),
            };
            command.arg("-inf").arg("WITHSCORES").arg("LIMIT").arg(offset).arg(INDEX_PAGE);
            let members: Vec<(String, f64)> = store.connections.send(OPERATION, Of::Partition(self.partition), command).await?;
            self.exhausted = members.len() < INDEX_PAGE;
            offset += members.len();
            for (id, started_at) in members {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a score is a time below 2^53")]
                let place = Place { started_at: started_at as u64, id };
                if self.after.as_ref().is_none_or(|after| place < *after) {
                    self.waiting.push_back(place);
                }
            }
        }
        if let Some(last) = self.waiting.back() {
            self.after = Some(last.clone());
        }
        Ok(())
    }
}

/// The indices of all partitions, in one order.
struct Merged<'a> {
    store: &'a RedisStore,
    namespace: &'a Name,
    indices: Vec<Index>,
}

impl Merged<'_> {
    async fn next(&mut self, count: usize) -> Result<Vec<(Partition, Place)>, StoreError> {
        let mut places = Vec::with_capacity(count);
        while places.len() < count {
            let empty = self.indices.iter_mut().filter(|index| index.waiting.is_empty() && !index.exhausted);
            try_join_all(empty.map(|index| index.fill(self.store, self.namespace))).await?;
            let Some(first) = self.indices.iter_mut().max_by(|a, b| a.waiting.front().cmp(&b.waiting.front())) else { break };
            let Some(place) = first.waiting.pop_front() else { break };
            places.push((first.partition, place));
        }
        Ok(places)
    }
}

pub(super) async fn list(store: &RedisStore, list: List) -> Result<Listed, StoreError> {
    // A cursor of another store or release begins at the top again.
    let after = Place::parse(&list.cursor);
    let index = |number| Index { partition: Partition(number), waiting: VecDeque::new(), after: after.clone(), exhausted: false };
    let mut merged = Merged { store, namespace: &list.namespace, indices: (0..store.info.partitions).map(index).collect() };
    let limit = list.limit.clamp(1, LIST_PAGE_MAX);
    let filtered = list.workflow.is_some() || list.status.is_some();
    let mut runs = Vec::new();
    let mut scanned = 0;
    loop {
        let wanted = if filtered { INDEX_PAGE } else { limit - runs.len() + 1 };
        let places = merged.next(wanted).await?;
        if places.is_empty() {
            return Ok(Listed { runs, cursor: String::new() });
        }
        scanned += places.len();
        let records = records(store, &list.namespace, &places).await?;
        let mut seen: Option<&Place> = None;
        for ((_, place), record) in places.iter().zip(records) {
            let Some(record) = record.filter(|record| matches(&list, record)) else {
                seen = Some(place);
                continue;
            };
            if runs.len() == limit {
                let cursor = seen.map_or_else(|| cursor_before(&runs, place), cursor_of);
                return Ok(Listed { runs, cursor });
            }
            let id: RunId = place.id.parse().map_err(|e| damaged(OPERATION, e))?;
            runs.push((RunKey { namespace: list.namespace.clone(), id }, record));
            seen = Some(place);
        }
        if scanned >= SCANNED_MAX {
            let cursor = seen.map_or_else(String::new, cursor_of);
            return Ok(Listed { runs, cursor });
        }
    }
}

fn cursor_of(place: &Place) -> String {
    format!("{}:{}", place.started_at, place.id)
}

/// The page was full before this batch began: the cursor is its last run.
fn cursor_before(runs: &[(RunKey, RunRecord)], next: &Place) -> String {
    runs.last().map_or_else(|| cursor_of(next), |(run, record)| format!("{}:{}", record.started_at.0, run.id))
}

fn matches(list: &List, record: &RunRecord) -> bool {
    list.workflow.as_ref().is_none_or(|workflow| workflow.as_str() == record.workflow)
        && list.status.is_none_or(|status| status == record.status())
}

/// The records of some places, in their order; `None` for what has been swept since.
async fn records(store: &RedisStore, namespace: &Name, places: &[(Partition, Place)]) -> Result<Vec<Option<RunRecord>>, StoreError> {
    let mut found: Vec<Option<RunRecord>> = vec![None; places.len()];
    let by_partition = (0..store.info.partitions).filter_map(|number| {
        let mine: Vec<usize> = (0..places.len()).filter(|at| places[*at].0 == Partition(number)).collect();
        (!mine.is_empty()).then_some((number, mine))
    });
    let reads = by_partition.map(|(number, mine)| async move {
        let prefix = keys::prefix(Partition(number));
        let mut command = redis::cmd("MGET");
        for at in &mine {
            command.arg(format!("{prefix}r:{namespace}/{}", places[*at].1.id));
        }
        let records: Vec<Option<Vec<u8>>> = store.connections.send(OPERATION, Of::Partition(Partition(number)), command).await?;
        Ok::<_, StoreError>((mine, records))
    });
    for (mine, records) in try_join_all(reads).await? {
        for (at, bytes) in mine.into_iter().zip(records) {
            found[at] = match bytes.map(|bytes| RunRecord::decode(&bytes)).transpose() {
                // A newer program's: it must not hide all others from a list.
                Err(RecordError::Newer { .. }) => None,
                record => record.map_err(|e| damaged(OPERATION, e))?,
            };
        }
    }
    Ok(found)
}
