//! From names on the command line to texts.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::{Definitions, read};
use crate::api::limits::SOURCE_BYTES_MAX;

/// Folders in folders, more than anyone has; a loop of links ends here.
const FOLDER_DEPTH_MAX: usize = 16;
/// Files of one call.
const FILES_MAX: usize = 10_000;
/// A file holds a source and its frame, or several.
const FILE_BYTES_MAX: usize = 16 * SOURCE_BYTES_MAX;

/// Why files could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The operating system says no.
    #[error("failed to read {path}: {error}")]
    Io {
        /// Which.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// Not text.
    #[error("failed to read {path}: it is not UTF-8 text")]
    NotText {
        /// Which.
        path: String,
    },
    /// Over a bound.
    #[error("failed to read {path}: {why}")]
    TooMuch {
        /// Which.
        path: String,
        /// The bound.
        why: String,
    },
    /// There is no workflow in any of them.
    #[error("no workflow in {path}: a definition begins with `apiVersion: everloop.dev/v1alpha1` and `kind: Workflow`")]
    Nothing {
        /// All that was named.
        path: String,
    },
}

/// Reads files, folders (all `.yaml` and `.yml` in them and below, by name) and `-` (stdin).
///
/// # Errors
/// [`LoadError`]. What is wrong inside of a file is no error here: see [`Definitions::broken`].
pub fn load(paths: &[PathBuf]) -> Result<Definitions, LoadError> {
    let mut definitions = Definitions::default();
    for path in paths {
        if path.as_os_str() == "-" {
            let text = text_of("stdin", &mut std::io::stdin().lock())?;
            read("-", &text, &mut definitions);
            continue;
        }
        let mut files = Vec::new();
        find(path, 0, &mut files)?;
        for file in files {
            let place = file.display().to_string();
            let mut open = std::fs::File::open(&file).map_err(|error| LoadError::Io { path: place.clone(), error })?;
            let text = text_of(&place, &mut open)?;
            read(&place, &text, &mut definitions);
        }
    }
    if definitions.documents.is_empty() && definitions.broken.is_empty() {
        let path = paths.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ");
        return Err(LoadError::Nothing { path });
    }
    Ok(definitions)
}

fn find(path: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), LoadError> {
    let io = |error| LoadError::Io { path: path.display().to_string(), error };
    if !std::fs::metadata(path).map_err(io)?.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    if depth > FOLDER_DEPTH_MAX || files.len() > FILES_MAX {
        let why = format!("more than {FOLDER_DEPTH_MAX} folders in one another, or more than {FILES_MAX} files");
        return Err(LoadError::TooMuch { path: path.display().to_string(), why });
    }
    let mut entries: Vec<_> = std::fs::read_dir(path).map_err(io)?.collect::<Result<_, _>>().map_err(io)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let inner = entry.path();
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        let yaml = inner.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        if !hidden && (yaml || inner.is_dir()) {
            find(&inner, depth + 1, files)?;
        }
    }
    Ok(())
}

fn text_of(path: &str, from: &mut dyn std::io::Read) -> Result<String, LoadError> {
    let mut bytes = Vec::new();
    let most = u64::try_from(FILE_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    from.take(most).read_to_end(&mut bytes).map_err(|error| LoadError::Io { path: path.to_owned(), error })?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(LoadError::TooMuch { path: path.to_owned(), why: format!("it has more than {FILE_BYTES_MAX} bytes") });
    }
    String::from_utf8(bytes).map_err(|_| LoadError::NotText { path: path.to_owned() })
}
