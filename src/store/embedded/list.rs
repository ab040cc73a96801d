//! Runs of a namespace, newest first. A file has one order over all partitions, so that a cursor is one place in it.

use std::ops::ControlFlow;

use super::fault::Fault;
use super::rows::Rows;
use super::tables::{Key, Parts, T};
use crate::api::limits;
use crate::api::{RunId, RunKey, TimeMs};
use crate::store::op::{List, Listed};

/// Runs looked at for one page: a filter that nothing passes must not read the whole store in one call.
const EXAMINED_MAX: usize = 20_000;
/// Places read ahead at a time.
const CHUNK: usize = 256;

/// See the port. A page may have fewer runs than its limit and still a cursor.
pub(super) fn list(rows: &mut impl Rows, partitions: u16, list: &List) -> Result<Listed, Fault> {
    let namespace = list.namespace.as_str();
    let (table, prefix) = match &list.workflow {
        None => (T::Started, Key::global().text(namespace)),
        Some(workflow) => (T::StartedOf, Key::global().text(namespace).text(workflow.as_str())),
    };
    let limit = list.limit.clamp(1, limits::LIST_PAGE_MAX);
    // A cursor of another store or of an older release begins at the top again.
    let mut end = read_cursor(&list.cursor).map_or_else(|| prefix.end(), |(at, id)| prefix.clone().time(at).text(&id).bytes().to_vec());
    let (mut runs, mut examined) = (Vec::new(), 0);
    loop {
        let places = places(rows, table, &prefix, &end)?;
        let is_last = places.len() < CHUNK;
        for place in places {
            examined += 1;
            let (at, id) = read_place(&place, &prefix)?;
            let key = RunKey { namespace: list.namespace.clone(), id };
            let record = rows.record(key.partition(partitions), &key)?;
            let record = record.ok_or_else(|| Fault::Damaged(format!("run {key} is in the list only")))?;
            let cursor = format!("{}:{}", at.0, key.id);
            end = place;
            if list.status.is_none_or(|status| status == record.status()) {
                runs.push((key, record));
            }
            if runs.len() >= limit || examined >= EXAMINED_MAX {
                let is_end = self::places(rows, table, &prefix, &end)?.is_empty();
                return Ok(Listed { runs, cursor: if is_end { String::new() } else { cursor } });
            }
        }
        if is_last {
            return Ok(Listed { runs, cursor: String::new() });
        }
    }
}

/// The newest places before `end`.
fn places(rows: &mut impl Rows, table: T, prefix: &Key, end: &[u8]) -> Result<Vec<Vec<u8>>, Fault> {
    let mut places = Vec::new();
    if end <= prefix.bytes() {
        return Ok(places);
    }
    rows.scan(table, prefix.bytes(), end, true, &mut |key, _| {
        places.push(key.to_vec());
        if places.len() < CHUNK { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(places)
}

fn read_place(place: &[u8], prefix: &Key) -> Result<(TimeMs, RunId), Fault> {
    let mut parts = Parts(place);
    let read = parts.skip(prefix.bytes().len()).and_then(|()| Some((parts.time()?, parts.text()?.parse().ok()?)));
    read.ok_or_else(|| Fault::damaged(T::Started, "a run"))
}

fn read_cursor(cursor: &str) -> Option<(TimeMs, String)> {
    let (at, id) = cursor.split_once(':')?;
    Some((TimeMs(at.parse().ok()?), id.to_owned()))
}
