//! How long the queues are and how much each session has leased: numbers that the operations keep while they move things, so that nobody
//! has to count.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::fault::Fault;
use super::rows::{Rows, Tx};
use super::tables::{Key, LeaseKind, PARTITION_BYTES, Parts, T};
use crate::api::Partition;

/// What a number is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Ready turns, by pool.
    Ready,
    /// Queued attempts, by queue.
    Queued,
    /// Leased turns, by session.
    Turns,
    /// Leased attempts, by session.
    Attempts,
}

impl Kind {
    fn byte(self) -> u8 {
        match self {
            Self::Ready => b'R',
            Self::Queued => b'Q',
            Self::Turns => b'T',
            Self::Attempts => b'A',
        }
    }

    pub(super) fn of_lease(kind: LeaseKind) -> Self {
        match kind {
            LeaseKind::Turn => Self::Turns,
            LeaseKind::Attempt => Self::Attempts,
        }
    }
}

/// One more, or (`-1`) one fewer.
pub(super) fn change(tx: &mut Tx<'_>, partition: Partition, kind: Kind, name: &str, by: i64) {
    tx.count(T::Lengths, Key::of(partition).byte(kind.byte()).text(name), by);
}

/// All numbers of a kind that are not zero.
pub(super) fn all(rows: &mut impl Rows, partition: Partition, kind: Kind) -> Result<BTreeMap<String, u64>, Fault> {
    let (mut all, mut damaged) = (BTreeMap::new(), false);
    rows.scan_prefix(T::Lengths, &Key::of(partition).byte(kind.byte()), &mut |key, value| {
        let mut parts = Parts(key);
        match parts.skip(PARTITION_BYTES + 1).and_then(|()| Some((parts.text()?.to_owned(), Parts(value).number()?))) {
            Some((name, count)) => {
                all.insert(name, count);
            }
            None => damaged = true,
        }
        ControlFlow::Continue(())
    })?;
    if damaged { Err(Fault::damaged(T::Lengths, "a number")) } else { Ok(all) }
}

/// Counts everything, in a file that was made before the numbers were kept.
pub(super) fn recount(tx: &mut Tx<'_>) -> Result<(), Fault> {
    for table in [T::Ready, T::Queued, T::Leases] {
        let (mut found, mut damaged) = (BTreeMap::<(u16, Option<u8>, String), i64>::new(), false);
        tx.scan_prefix(table, &Key::global(), &mut |key, _| {
            let read = key.split_first_chunk().and_then(|(partition, rest)| {
                let mut parts = Parts(rest);
                let name = parts.text()?;
                let lease = if table == T::Leases { Some(parts.byte()?) } else { None };
                Some((u16::from_be_bytes(*partition), lease, name.to_owned()))
            });
            match read {
                Some(of) => *found.entry(of).or_default() += 1,
                None => damaged = true,
            }
            ControlFlow::Continue(())
        })?;
        if damaged {
            return Err(Fault::damaged(table, "a key with a name"));
        }
        for ((partition, lease, name), count) in found {
            let kind = match (table, lease) {
                (T::Ready, _) => Kind::Ready,
                (T::Queued, _) => Kind::Queued,
                (_, Some(kind)) if kind == LeaseKind::Turn.byte() => Kind::Turns,
                _ => Kind::Attempts,
            };
            change(tx, Partition(partition), kind, &name, count);
        }
    }
    Ok(())
}
