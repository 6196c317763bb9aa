//! Where an open store lies.

use std::path::Path;

use synctable_core::store::StoreError;
use synctable_kv::OpenFile;

/// The file at a path that was opened just now. What is committed is in its log first, and who opens the file finds log and readers by
/// the shared memory; SQLite keeps both until its last connection closes.
pub(crate) fn opened(path: &Path) -> Result<OpenFile, StoreError> {
    Ok(OpenFile::at(path)?.with(&["-wal", "-shm"]))
}
