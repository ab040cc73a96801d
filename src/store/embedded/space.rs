//! Room on the disk under the file: some is kept free, so that what has begun can be brought to its end.

use std::path::PathBuf;

use crate::store::StoreError;

/// How much must be free before something new is taken in.
pub(super) struct Space {
    /// On the disk in question. None for a store in memory.
    folder: Option<PathBuf>,
    /// In bytes.
    keep_free: u64,
}

impl Space {
    pub(super) fn new(folder: Option<PathBuf>, keep_free: u64) -> Self {
        Self { folder, keep_free }
    }

    /// Refuses an operation that takes in something new while there is too little. One system call; a disk that cannot be asked is
    /// taken for one with room.
    pub(super) fn check(&self, operation: &'static str) -> Result<(), StoreError> {
        let Some(folder) = self.folder.as_ref().filter(|_| self.keep_free > 0) else { return Ok(()) };
        let Ok(disk) = rustix::fs::statvfs(folder) else { return Ok(()) };
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free >= self.keep_free {
            return Ok(());
        }
        let detail = format!("{} MiB are free, {} are kept for what has begun", free >> 20, self.keep_free >> 20);
        Err(StoreError::Full { operation, detail })
    }
}
