//! Where an open store lies.

use std::fs;
use std::path::{Path, PathBuf};

use synctable_core::store::StoreError;
use synctable_kv::OpenFile;
use synctable_kv::files::with_suffix;

/// The file at a path that was opened just now. What is committed is in its log first, and who opens the file finds log and readers by
/// the shared memory; SQLite keeps both until its last connection closes.
pub(crate) fn opened(path: &Path) -> Result<OpenFile, StoreError> {
    Ok(OpenFile::at(path)?.with(&["-wal", "-shm"]))
}

/// The path of what lies beside a store file: SQLite names it after the file itself, not after a link to it, and so do we.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let file = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    with_suffix(&file, suffix)
}
