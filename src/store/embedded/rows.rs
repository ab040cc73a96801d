//! Rows in a transaction: reading and writing bytes by table and key, and what both kinds of transaction share.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use redb::{ReadTransaction, ReadableTable, Table, WriteTransaction};

use super::fault::Fault;
use super::tables::{Bytes, Key, Parts, T};
use crate::api::{Partition, RunKey, TimeMs};
use crate::machine::record::RunRecord;
use crate::machine::shorthand::written_out;
use crate::store::op::Wake;

/// What both kinds of transaction can do.
pub(super) trait Rows {
    /// Reads the row of a key.
    fn get(&mut self, table: T, key: &[u8]) -> Result<Option<Vec<u8>>, Fault>;

    /// Visits the rows from `from` up to, not including, `to`, in order or in reverse, until the visitor breaks.
    fn scan(
        &mut self,
        table: T,
        from: &[u8],
        to: &[u8],
        reverse: bool,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), Fault>;

    /// Visits all rows whose key begins with the prefix.
    fn scan_prefix(&mut self, table: T, prefix: &Key, visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>) -> Result<(), Fault> {
        self.scan(table, prefix.bytes(), &prefix.end(), false, visit)
    }

    /// Up to `limit` rows whose key begins with the prefix, in order.
    fn rows(&mut self, table: T, prefix: &Key, limit: usize) -> Result<Vec<(Vec<u8>, Vec<u8>)>, Fault> {
        let mut rows = Vec::new();
        if limit == 0 {
            return Ok(rows);
        }
        self.scan_prefix(table, prefix, &mut |key, value| {
            rows.push((key.to_vec(), value.to_vec()));
            if rows.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(rows)
    }

    /// A row that is one number.
    fn number(&mut self, table: T, key: &[u8]) -> Result<Option<u64>, Fault> {
        let row = self.get(table, key)?;
        row.map(|bytes| Parts(&bytes).number().ok_or_else(|| Fault::damaged(table, "a number"))).transpose()
    }

    /// A run's record.
    fn record(&mut self, partition: Partition, run: &RunKey) -> Result<Option<RunRecord>, Fault> {
        let row = self.get(T::Runs, Key::of(partition).text(&run.to_string()).bytes())?;
        row.map(|bytes| RunRecord::decode(&bytes).map_err(|e| Fault::Damaged(format!("run {run}: {e}")))).transpose()
    }

    /// The text of a journal entry.
    fn entry(&mut self, partition: Partition, run: &str, turn: u32) -> Result<Option<String>, Fault> {
        let row = self.get(T::Journal, Key::of(partition).text(run).short(turn).bytes())?;
        let text = row.map(|bytes| String::from_utf8(bytes).map_err(|_| Fault::damaged(T::Journal, "text"))).transpose()?;
        Ok(text.map(|text| written_out(text.into()).into_owned()))
    }
}

/// The row of the store's one counter.
const SEQUENCE: &[u8] = b"sequence";
/// The row of the last batch's mark.
const MARK: &[u8] = b"mark";

/// The one write transaction of a batch. Tables are opened at their first use.
pub(super) struct Tx<'t> {
    transaction: &'t WriteTransaction,
    tables: [Option<Table<'t, Bytes, Bytes>>; T::COUNT],
    /// The store's clock at the begin of the batch.
    clock: TimeMs,
    partitions: u16,
    /// The last number given, once one was asked for; written at the end of the batch.
    sequence: Option<u64>,
    /// By how much numbers change, written at the end of the batch too.
    counted: BTreeMap<(T, Vec<u8>), i64>,
    wakes: Vec<Wake>,
    pools_woken: BTreeSet<(u16, String)>,
}

impl<'t> Tx<'t> {
    pub(super) fn new(transaction: &'t WriteTransaction, clock: TimeMs, partitions: u16) -> Self {
        let tables = [const { None }; T::COUNT];
        Self {
            transaction,
            tables,
            clock,
            partitions,
            sequence: None,
            counted: BTreeMap::new(),
            wakes: Vec::new(),
            pools_woken: BTreeSet::new(),
        }
    }

    fn table(&mut self, table: T) -> Result<&mut Table<'t, Bytes, Bytes>, Fault> {
        let slot = self.tables.get_mut(table as usize).ok_or_else(|| Fault::damaged(table, "a table"))?;
        match slot {
            Some(open) => Ok(open),
            None => Ok(slot.insert(self.transaction.open_table(table.definition())?)),
        }
    }

    /// Writes a row.
    pub(super) fn put(&mut self, table: T, key: impl AsRef<[u8]>, value: &[u8]) -> Result<(), Fault> {
        self.put_new(table, key, value).map(|_| ())
    }

    /// Writes a row; whether there was none.
    pub(super) fn put_new(&mut self, table: T, key: impl AsRef<[u8]>, value: &[u8]) -> Result<bool, Fault> {
        Ok(self.table(table)?.insert(key.as_ref(), value)?.is_none())
    }

    /// Changes a row that is one number by so much, at the end of the batch: within it the row is as it was. A row at zero is none.
    pub(super) fn count(&mut self, table: T, key: Key, by: i64) {
        *self.counted.entry((table, key.bytes().to_vec())).or_default() += by;
    }

    /// Writes what was counted.
    pub(super) fn write_counted(&mut self) -> Result<(), Fault> {
        for ((table, key), by) in std::mem::take(&mut self.counted) {
            let before = self.number(table, &key)?.unwrap_or(0);
            match before.saturating_add_signed(by) {
                _ if by == 0 => {}
                0 => self.remove(table, key).map(|_| ())?,
                count => self.put(table, key, &count.to_be_bytes())?,
            }
        }
        Ok(())
    }

    /// Removes a row; whether there was one.
    pub(super) fn remove(&mut self, table: T, key: impl AsRef<[u8]>) -> Result<bool, Fault> {
        Ok(self.table(table)?.remove(key.as_ref())?.is_some())
    }

    /// Removes a row that is one number, and says which.
    pub(super) fn take_number(&mut self, table: T, key: impl AsRef<[u8]>) -> Result<Option<u64>, Fault> {
        let row = self.table(table)?.remove(key.as_ref())?;
        row.map(|guard| Parts(guard.value()).number().ok_or_else(|| Fault::damaged(table, "a number"))).transpose()
    }

    /// Removes all rows whose key begins with the prefix.
    pub(super) fn remove_prefix(&mut self, table: T, prefix: &Key) -> Result<(), Fault> {
        let end = prefix.end();
        self.table(table)?.retain_in::<&[u8], _>(prefix.bytes()..end.as_slice(), |_, _| false)?;
        Ok(())
    }

    /// A number that was never given before, rising over the whole store.
    pub(super) fn sequence(&mut self) -> Result<u64, Fault> {
        let last = match self.sequence {
            Some(last) => last,
            None => self.number(T::Meta, SEQUENCE)?.unwrap_or(0),
        };
        self.sequence = Some(last + 1);
        Ok(last + 1)
    }

    /// The operation's time: the caller's estimate, but never ahead of the store's clock.
    pub(super) fn now(&self, estimate: TimeMs) -> TimeMs {
        estimate.min(self.clock)
    }

    /// The store's clock.
    pub(super) fn clock(&self) -> TimeMs {
        self.clock
    }

    /// How many partitions the store has.
    pub(super) fn partitions(&self) -> u16 {
        self.partitions
    }

    /// Says it to those who wait, once the batch is committed.
    pub(super) fn wake(&mut self, wake: Wake) {
        if let Wake::Pool { partition, pool } = &wake
            && !self.pools_woken.insert((partition.0, pool.clone()))
        {
            return;
        }
        self.wakes.push(wake);
    }

    /// Ends the batch: what is to be said once it is committed. The mark, a random number, tells later whether it is kept.
    pub(super) fn finish(mut self, mark: u64) -> Result<Vec<Wake>, Fault> {
        self.write_counted()?;
        self.put(T::Meta, MARK, &mark.to_be_bytes())?;
        if let Some(last) = self.sequence {
            self.put(T::Meta, SEQUENCE, &last.to_be_bytes())?;
        }
        Ok(self.wakes)
    }
}

impl Rows for Tx<'_> {
    fn get(&mut self, table: T, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.table(table)?.get(key)?.map(|guard| guard.value().to_vec()))
    }

    fn scan(
        &mut self,
        table: T,
        from: &[u8],
        to: &[u8],
        reverse: bool,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), Fault> {
        let table = self.table(table)?;
        visit_range(table.range::<&[u8]>(from..to)?, reverse, visit)
    }
}

/// A consistent view for readers; it does not wait for the writer.
pub(super) struct Snapshot(pub(super) ReadTransaction);

impl Snapshot {
    /// Whether the last batch that is kept has this mark.
    pub(super) fn has_mark(&mut self, mark: u64) -> Result<bool, Fault> {
        Ok(self.number(T::Meta, MARK)? == Some(mark))
    }
}

impl Rows for Snapshot {
    fn get(&mut self, table: T, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        let table = self.0.open_table(table.definition())?;
        Ok(table.get(key)?.map(|guard| guard.value().to_vec()))
    }

    fn scan(
        &mut self,
        table: T,
        from: &[u8],
        to: &[u8],
        reverse: bool,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), Fault> {
        let table = self.0.open_table(table.definition())?;
        visit_range(table.range::<&[u8]>(from..to)?, reverse, visit)
    }
}

fn visit_range(
    mut range: redb::Range<'_, Bytes, Bytes>,
    reverse: bool,
    visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
) -> Result<(), Fault> {
    loop {
        let next = if reverse { range.next_back() } else { range.next() };
        let Some(row) = next else { return Ok(()) };
        let (key, value) = row?;
        if visit(key.value(), value.value()).is_break() {
            return Ok(());
        }
    }
}

/// A run in the hands of an operation. It is written back once, at the end.
pub(super) struct RunRow {
    /// Where.
    pub(super) partition: Partition,
    /// Which.
    pub(super) key: RunKey,
    /// The key as a text: how it stands in keys.
    pub(super) name: String,
    /// What is kept of it.
    pub(super) record: RunRecord,
}

impl RunRow {
    /// A key that begins with the run.
    pub(super) fn at(&self) -> Key {
        Key::of(self.partition).text(&self.name)
    }
}

impl Tx<'_> {
    /// Takes a run into the hand.
    pub(super) fn load(&mut self, run: &RunKey) -> Result<Option<RunRow>, Fault> {
        let partition = run.partition(self.partitions);
        let record = self.record(partition, run)?;
        Ok(record.map(|record| RunRow { partition, key: run.clone(), name: run.to_string(), record }))
    }

    /// The same by the text of a key.
    pub(super) fn load_named(&mut self, name: &str) -> Result<Option<RunRow>, Fault> {
        let key = name.parse().map_err(|e| Fault::Damaged(format!("{e}")))?;
        self.load(&key)
    }

    /// Writes it back.
    pub(super) fn save(&mut self, row: &RunRow) -> Result<(), Fault> {
        self.put(T::Runs, row.at(), &row.record.encode())
    }
}
