//! The database under the store: opening it, refusing what is not ours, and opening it again after a failure.

use std::io::{self, ErrorKind};
use std::sync::{Arc, PoisonError, RwLock};

use redb::backends::InMemoryBackend;
use redb::{Database, DatabaseError, ReadableDatabase, StorageBackend, StorageError, TableHandle, WriteTransaction};

use super::fault::Fault;
use super::lengths;
use super::open;
use super::rows::{Rows, Snapshot, Tx};
use super::tables::T;
use crate::api::TimeMs;
use crate::store::StoreError;

/// The version of the layout in `tables`. A file of a higher one is refused.
pub(super) const FORMAT: u64 = 1;
/// Pages that are kept in memory, in bytes: a store of a laptop shares it with everything else.
const CACHE_BYTES: usize = 128 << 20;
/// How many partitions a store is created with when nobody says.
const PARTITIONS_DEFAULT: u16 = 16;

/// Opens the database: at the start, and again after a failed commit.
pub(super) type Open = Box<dyn Fn() -> Result<Database, DatabaseError> + Send + Sync>;

/// A database that can be closed and opened again under those who use it.
pub(super) struct Db {
    open: Open,
    database: RwLock<Option<Database>>,
}

/// What the file says about itself.
pub(super) struct Identity {
    pub(super) id: String,
    pub(super) partitions: u16,
}

/// redb's settings, the same for every kind of store.
pub(super) fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

impl Db {
    /// Opens and checks it; creates what is not there. `partitions` 0 takes what is recorded.
    pub(super) fn open(open: Open, place: &str, partitions: u16) -> Result<(Self, Identity), StoreError> {
        let database = open().map_err(|error| refusal(place, &error))?;
        let db = Self { open, database: RwLock::new(Some(database)) };
        let identity = db.identify(place, partitions)?;
        Ok((db, identity))
    }

    fn identify(&self, place: &str, partitions: u16) -> Result<Identity, StoreError> {
        let unfit = |line: String| StoreError::Unfit(vec![line]);
        let failed = |fault: Fault| unfit(format!("{place}: {fault}: restore the file from a copy, or give another file"));
        let (found, foreign) = self
            .write(|transaction| {
                let foreign = transaction.list_tables()?.any(|table| !T::ALL.iter().any(|own| own.definition().name() == table.name()));
                if foreign {
                    return Ok((None, true));
                }
                let mut tx = Tx::new(transaction, TimeMs(0), 0);
                Ok((tx.number(T::Meta, b"format")?, false))
            })
            .map_err(failed)?;
        if foreign {
            return Err(unfit(format!("{place} is another program's database: give another file")));
        }
        match found {
            Some(format) if format > FORMAT => {
                return Err(unfit(format!(
                    "{place} has format {format}, written by a newer everloop; this one knows up to {FORMAT}: use the newer one"
                )));
            }
            Some(_) => self.add_tables().map_err(failed)?,
            None => self.create(if partitions == 0 { PARTITIONS_DEFAULT } else { partitions }).map_err(failed)?,
        }
        let (id, recorded) =
            self.read(|snapshot| Ok((snapshot.get(T::Meta, b"id")?, snapshot.number(T::Meta, b"partitions")?))).map_err(failed)?;
        let id = id.and_then(|bytes| String::from_utf8(bytes).ok());
        let recorded = recorded.and_then(|number| u16::try_from(number).ok()).filter(|number| *number > 0);
        let (Some(id), Some(recorded)) = (id, recorded) else {
            return Err(failed(Fault::damaged(T::Meta, "complete")));
        };
        if partitions != 0 && partitions != recorded {
            return Err(unfit(format!(
                "{place} was created with {recorded} partitions and {partitions} were asked for: the number is fixed for ever, so ask for {recorded}"
            )));
        }
        Ok(Identity { id, partitions: recorded })
    }

    /// Tables that came with a later program of the same format.
    fn add_tables(&self) -> Result<(), Fault> {
        let transaction = self.begin()?;
        let there: Vec<String> = transaction.list_tables()?.map(|table| table.name().to_owned()).collect();
        if T::ALL.iter().all(|table| there.iter().any(|name| name == table.definition().name())) {
            return Ok(());
        }
        for table in T::ALL {
            transaction.open_table(table.definition())?;
        }
        let is_new = |table: T| !there.iter().any(|name| name == table.definition().name());
        let mut tx = Tx::new(&transaction, TimeMs(0), 0);
        if is_new(T::Open) {
            open::recount(&mut tx)?;
        }
        if is_new(T::Lengths) {
            lengths::recount(&mut tx)?;
        }
        tx.write_counted()?;
        drop(tx);
        transaction.commit()?;
        Ok(())
    }

    fn create(&self, partitions: u16) -> Result<(), Fault> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let transaction = database.as_ref().ok_or_else(closed)?.begin_write()?;
        for table in T::ALL {
            transaction.open_table(table.definition())?;
        }
        let mut tx = Tx::new(&transaction, TimeMs(0), partitions);
        tx.put(T::Meta, b"format", &FORMAT.to_be_bytes())?;
        tx.put(T::Meta, b"id", uuid::Uuid::now_v7().to_string().as_bytes())?;
        tx.put(T::Meta, b"partitions", &u64::from(partitions).to_be_bytes())?;
        tx.finish(0)?;
        transaction.commit()?;
        Ok(())
    }

    /// Looks at a consistent view.
    pub(super) fn read<A>(&self, look: impl FnOnce(&mut Snapshot) -> Result<A, Fault>) -> Result<A, Fault> {
        self.ensure_open()?;
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let transaction = database.as_ref().ok_or_else(closed)?.begin_read()?;
        look(&mut Snapshot(transaction))
    }

    /// Gives a write transaction to `work`. It is for `work` to commit; what is not committed is forgotten.
    fn write<A>(&self, work: impl FnOnce(&WriteTransaction) -> Result<A, Fault>) -> Result<A, Fault> {
        let transaction = self.begin()?;
        work(&transaction)
    }

    /// Begins a write transaction.
    pub(super) fn begin(&self) -> Result<WriteTransaction, Fault> {
        self.ensure_open()?;
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        Ok(database.as_ref().ok_or_else(closed)?.begin_write()?)
    }

    /// Opens it when opening it again has failed before.
    fn ensure_open(&self) -> Result<(), Fault> {
        if self.database.read().unwrap_or_else(PoisonError::into_inner).is_some() {
            return Ok(());
        }
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if database.is_none() {
            *database = Some(self.opened()?);
        }
        Ok(())
    }

    fn opened(&self) -> Result<Database, Fault> {
        (self.open)().map_err(|error| Fault::Storage(Box::new(error.into())))
    }

    /// Closes it and opens it again: after an I/O error redb answers nothing more, and only the file knows what was kept.
    pub(super) fn reopen(&self) -> Result<(), Fault> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = database.take() {
            // Its error is the one that brought us here.
            let _ = old.close();
        }
        *database = Some(self.opened()?);
        Ok(())
    }
}

fn closed() -> Fault {
    Fault::Storage(Box::new(redb::Error::DatabaseClosed))
}

fn refusal(place: &str, error: &DatabaseError) -> StoreError {
    let line = match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            format!("{place} is in use by another process: stop that one, or give another file")
        }
        DatabaseError::UpgradeRequired(format) => {
            format!("{place} has the file format {format} of an older redb, which no everloop has written: give another file")
        }
        DatabaseError::Storage(StorageError::Io(io)) if io.kind() == ErrorKind::InvalidData => {
            format!("{place} is not a store ({io}): give another file")
        }
        DatabaseError::Storage(StorageError::Corrupted(detail)) => {
            format!("{place} is damaged ({detail}): restore it from a copy, or give another file")
        }
        other => format!("{place} cannot be opened ({other}): check the path, its permissions and the free space"),
    };
    StoreError::Unfit(vec![line])
}

/// What a store in memory keeps, while its database is closed and opened again.
#[derive(Debug, Default)]
pub(super) struct SharedMemory(pub(super) Arc<InMemoryBackend>);

impl StorageBackend for SharedMemory {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
}
