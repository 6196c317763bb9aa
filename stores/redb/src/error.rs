//! redb's errors as store errors.

use std::io::ErrorKind;
use std::path::Path;

use redb::{
    CommitError, CompactionError, DatabaseError, StorageError, TableError, TransactionError,
};
use synctable_core::store::{StoreError, StoreErrorKind};
use synctable_kv::files::{self, io_error, not_ours, shown};

/// A failed read, or a failed step of a write before its commit: nothing is written then.
pub(crate) fn from_storage(error: StorageError) -> StoreError {
    let (kind, message) = match &error {
        StorageError::Io(cause) if files::is_too_many_files(cause) => {
            (StoreErrorKind::Io, files::TOO_MANY_FILES)
        }
        StorageError::Io(cause) => match cause.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => (
                StoreErrorKind::Full,
                "there is no room for the write; free some space and open the store again",
            ),
            _ => (
                StoreErrorKind::Io,
                "reading or writing the store failed; check the disk and open the store again",
            ),
        },
        StorageError::PreviousIo => (
            StoreErrorKind::Io,
            "reading or writing the store failed earlier; check the disk and open the store again",
        ),
        StorageError::Corrupted(_) => return damaged().with_source(error),
        StorageError::ValueTooLarge(_) => (
            StoreErrorKind::Unsupported,
            "a record is larger than redb can hold; make it smaller",
        ),
        StorageError::DatabaseClosed => return closed(),
        _ => (
            StoreErrorKind::Other,
            "redb refused a call; its reason is the source of this error",
        ),
    };
    StoreError::new(kind, message).with_source(error)
}

pub(crate) fn from_transaction(error: TransactionError) -> StoreError {
    match error {
        TransactionError::Storage(error) => from_storage(error),
        error => other(error),
    }
}

pub(crate) fn from_table(error: TableError) -> StoreError {
    match error {
        TableError::Storage(error) => from_storage(error),
        error => StoreError::new(
            StoreErrorKind::NotAStore,
            "the redb file is one of another program; choose another path",
        )
        .with_source(error),
    }
}

/// A failed commit. redb writes pages and header together, so whether they are in the file is not known.
pub(crate) fn from_commit(error: CommitError) -> StoreError {
    StoreError::unknown_after(error)
}

/// A commit after which the file is not at its path any more.
pub(crate) fn lost(gone: StoreError) -> StoreError {
    let message = "the store's file was removed or replaced during a write, which may be lost; put it back, or open the store \
                   again to see";
    StoreError::new(StoreErrorKind::Unknown, message).with_source(gone)
}

/// A database that cannot be opened or made.
pub(crate) fn from_open(path: &Path, error: DatabaseError) -> StoreError {
    let (kind, what) = match error {
        DatabaseError::Storage(StorageError::Io(error)) => {
            return match error.kind() {
                ErrorKind::InvalidData => not_ours(path, "not a redb file").with_source(error),
                ErrorKind::UnexpectedEof => files::at(path, &damaged()).with_source(error),
                _ => io_error(path, error),
            };
        }
        DatabaseError::Storage(error @ StorageError::Corrupted(_)) => {
            return files::at(path, &damaged()).with_source(error);
        }
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => (
            StoreErrorKind::Locked,
            "is open already, in this process or another; close it there first",
        ),
        // Releases of redb that this crate never used.
        DatabaseError::UpgradeRequired(_) => (
            StoreErrorKind::NotAStore,
            "is a redb file of another program; choose another path",
        ),
        _ => (
            StoreErrorKind::Other,
            "was refused by redb; its reason is the source of this error",
        ),
    };
    StoreError::new(kind, format!("{} {what}", shown(path))).with_source(error)
}

/// A database that cannot be closed in order. What was committed is in its file all the same.
pub(crate) fn from_close(error: DatabaseError) -> StoreError {
    match error {
        DatabaseError::Storage(error) => from_storage(error),
        error => other(error),
    }
}

/// A file that cannot be compacted. What was committed is in it all the same.
pub(crate) fn from_compaction(error: CompactionError) -> StoreError {
    match error {
        CompactionError::Storage(error) => from_storage(error),
        error => {
            let message = "the store is being read or written; try again when that is over";
            StoreError::new(StoreErrorKind::Locked, message).with_source(error)
        }
    }
}

/// What redb cannot make sense of.
pub(crate) fn damaged() -> StoreError {
    StoreError::corrupt(
        "the store is damaged; restore it from a backup or pull it again into a new store",
    )
}

pub(crate) fn closed() -> StoreError {
    StoreError::new(
        StoreErrorKind::Closed,
        "the store was closed; open it again",
    )
}

fn other(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::new(
        StoreErrorKind::Other,
        "redb refused a call; its reason is the source of this error",
    )
    .with_source(error)
}
