//! Tells that files changed, once per burst of changes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

use super::DevError;

/// Editors write a file in several steps; this long without another one, and it is done.
const QUIET: Duration = Duration::from_millis(150);

/// Watches until it is dropped.
pub(super) struct FileWatcher {
    changes: mpsc::Receiver<()>,
    _watcher: RecommendedWatcher,
}

impl FileWatcher {
    /// Watches folders with all that is in them, and files by their folder: an editor that saves by renaming puts another
    /// file in the old one's place.
    pub(super) fn new(paths: &[PathBuf]) -> Result<Self, DevError> {
        let failed = |path: &Path, e: &dyn std::fmt::Display| DevError::Watch { path: path.display().to_string(), detail: e.to_string() };
        // One waiting note says all there is to say.
        let (changed, changes) = mpsc::channel(1);
        let handler = move |event: notify::Result<Event>| {
            if event.is_ok_and(|event| concerns(&event)) {
                let _ = changed.try_send(());
            }
        };
        let first = paths.first().map_or_else(PathBuf::new, Clone::clone);
        let mut watcher = notify::recommended_watcher(handler).map_err(|e| failed(&first, &e))?;
        for path in paths.iter().filter(|path| path.as_os_str() != "-") {
            let (target, mode) = if path.is_dir() {
                (path.as_path(), RecursiveMode::Recursive)
            } else {
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
                (folder, RecursiveMode::NonRecursive)
            };
            watcher.watch(target, mode).map_err(|e| failed(target, &e))?;
        }
        Ok(Self { changes, _watcher: watcher })
    }

    /// Waits for the end of the next burst of changes. Cancellation safe: a change that came is told later.
    pub(super) async fn changed(&mut self) {
        if self.changes.recv().await.is_none() {
            // The watcher died: nothing changes any more.
            std::future::pending::<()>().await;
        }
        while tokio::time::timeout(QUIET, self.changes.recv()).await.is_ok_and(|change| change.is_some()) {}
    }
}

/// Only what may change a definition: reading a file is an event, too, and reloading reads.
fn concerns(event: &Event) -> bool {
    let kind = matches!(event.kind, EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) | EventKind::Any);
    kind && event.paths.iter().any(|path| path.extension().is_none_or(|extension| extension == "yaml" || extension == "yml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_is_replaced_by_renaming_is_a_change_and_another_kind_of_file_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        std::fs::write(&file, "one").unwrap();
        let mut watcher = FileWatcher::new(std::slice::from_ref(&file)).unwrap();
        std::fs::write(folder.path().join("notes.txt"), "x").unwrap();
        assert!(tokio::time::timeout(QUIET, watcher.changed()).await.is_err(), "notes.txt is no definition");
        std::fs::write(folder.path().join("new.tmp"), "two").unwrap();
        std::fs::rename(folder.path().join("new.tmp"), &file).unwrap();
        tokio::time::timeout(Duration::from_secs(10), watcher.changed()).await.expect("a change within ten seconds");
    }
}
