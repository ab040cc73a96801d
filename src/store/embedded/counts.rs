//! Numbers of one partition, by counting: a file serves one process, and whoever asks does so every few seconds.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::due;
use super::fault::Fault;
use super::rows::Rows;
use super::tables::{DueKind, Key, PARTITION_BYTES, Parts, T};
use crate::api::Partition;
use crate::store::op::Counts;

/// See the port.
pub(super) fn counts(rows: &mut impl Rows, partition: Partition) -> Result<Counts, Fault> {
    let mut waiting = 0;
    rows.scan_prefix(T::Due, &Key::of(partition), &mut |key, _| {
        waiting += u64::from(due::read(key).is_some_and(|thing| thing.kind != DueKind::GiveUp));
        ControlFlow::Continue(())
    })?;
    Ok(Counts {
        ready_turns: by_first(rows, T::Ready, partition)?,
        queued_attempts: by_first(rows, T::Queued, partition)?,
        leases: by_first(rows, T::Leases, partition)?,
        due: waiting,
    })
}

/// Rows of a partition by the first text of their key.
pub(super) fn by_first(rows: &mut impl Rows, table: T, partition: Partition) -> Result<BTreeMap<String, u64>, Fault> {
    let (mut counts, mut damaged) = (BTreeMap::<String, u64>::new(), false);
    rows.scan_prefix(table, &Key::of(partition), &mut |key, _| {
        let mut parts = Parts(key);
        match parts.skip(PARTITION_BYTES).and_then(|()| parts.text()) {
            Some(name) => match counts.get_mut(name) {
                Some(count) => *count += 1,
                None => {
                    counts.insert(name.to_owned(), 1);
                }
            },
            None => damaged = true,
        }
        ControlFlow::Continue(())
    })?;
    if damaged { Err(Fault::damaged(table, "a key with a name")) } else { Ok(counts) }
}
