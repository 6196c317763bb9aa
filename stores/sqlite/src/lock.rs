//! The lock that ends with the process: an empty file beside the store, locked as a whole.
//!
//! It is not the store's own file: closing a second handle of that would let go of SQLite's locks.

use std::fs::{File, TryLockError};
use std::path::Path;

use synctable_core::store::ProcessLock;
use synctable_kv::files::{private, with_suffix};

/// Tries to lock. Where files cannot be made or locked, nothing can be told by it.
pub(crate) fn try_lock(store: &Path) -> ProcessLock {
    let Ok(file) = open(&with_suffix(store, "-push")) else {
        return ProcessLock::Unsupported;
    };
    match file.try_lock() {
        Ok(()) => ProcessLock::Held(Box::new(file)),
        Err(TryLockError::WouldBlock) => ProcessLock::Taken,
        Err(TryLockError::Error(_)) => ProcessLock::Unsupported,
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    // Never removed: who has a removed file locked would not be noticed by who makes it anew.
    private(File::options().write(true).create(true).truncate(false)).open(path)
}
