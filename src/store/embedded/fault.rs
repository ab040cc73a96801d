//! What goes wrong inside of a transaction, and what the port says of it.

use std::io::ErrorKind;

use super::tables::T;
use crate::store::StoreError;

/// A full disk, a quota, and a limit of the process on the size of files.
const NO_ROOM: [ErrorKind; 3] = [ErrorKind::StorageFull, ErrorKind::QuotaExceeded, ErrorKind::FileTooLarge];

/// Why a transaction did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// redb or the disk under it: nothing of the transaction is kept.
    #[error("{0}")]
    Storage(Box<redb::Error>),
    /// The same at the commit, and nobody can say what is kept.
    #[error("{0}")]
    Uncertain(Box<redb::Error>),
    /// A row that this program cannot have written.
    #[error("{0}")]
    Damaged(String),
}

impl Fault {
    /// A row of a table that is not what it should be.
    pub(super) fn damaged(table: T, wanted: &str) -> Self {
        Self::Damaged(format!("a row of table {table:?} is not {wanted}"))
    }

    /// A transition that the tables of `machine` do not have, where an operation had checked that they do.
    pub(super) fn transition(what: &str) -> Self {
        Self::Damaged(format!("a record contradicts itself: {what}"))
    }

    /// How the port says it.
    pub(super) fn answer(&self, operation: &'static str) -> StoreError {
        match self {
            Self::Damaged(detail) => StoreError::Damaged { operation, detail: detail.clone() },
            Self::Uncertain(error) => StoreError::Unavailable { operation, detail: error.to_string() },
            Self::Storage(error) => match &**error {
                redb::Error::Io(io) if NO_ROOM.contains(&io.kind()) => StoreError::Full { operation, detail: io.to_string() },
                redb::Error::Corrupted(detail) => StoreError::Damaged { operation, detail: detail.clone() },
                other => StoreError::Unavailable { operation, detail: other.to_string() },
            },
        }
    }
}

macro_rules! from_redb {
    ($($error:ty),*) => {
        $(impl From<$error> for Fault {
            fn from(error: $error) -> Self {
                Self::Storage(Box::new(error.into()))
            }
        })*
    };
}

from_redb!(redb::StorageError, redb::TableError, redb::TransactionError, redb::CommitError, redb::SetDurabilityError);
