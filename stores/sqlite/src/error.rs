//! SQLite's errors as store errors.

use rusqlite::ErrorCode;
use synctable_core::store::{StoreError, StoreErrorKind};
use synctable_kv::files::{TOO_MANY_FILES, are_too_many_files_open};

const CLOSED: &str = "the store was closed; open it again";

/// A failed SQLite call as a store error.
pub(crate) fn from_sqlite(error: rusqlite::Error) -> StoreError {
    let (kind, message) = describe(&error);
    StoreError::new(kind, message).with_source(error)
}

/// The kind and message for a failed SQLite call.
pub(crate) fn describe(error: &rusqlite::Error) -> (StoreErrorKind, &'static str) {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => (
            StoreErrorKind::Full,
            "there is no room for the write; free some space and try again",
        ),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            StoreErrorKind::Locked,
            "another process keeps the store busy; try again when it is done",
        ),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => (
            StoreErrorKind::Permission,
            "the store may not be written; check the permissions of the file and its folder",
        ),
        Some(ErrorCode::CannotOpen | ErrorCode::SystemIoFailure) if are_too_many_files_open() => {
            (StoreErrorKind::Io, TOO_MANY_FILES)
        }
        Some(ErrorCode::CannotOpen) => (
            StoreErrorKind::Io,
            "the store cannot be opened; check that its folder exists and can be written",
        ),
        Some(ErrorCode::SystemIoFailure) => (
            StoreErrorKind::Io,
            "reading or writing the store failed; check the disk and open the store again",
        ),
        Some(ErrorCode::DatabaseCorrupt) => (
            StoreErrorKind::Corrupt,
            "the store is damaged; restore it from a backup or pull it again into a new store",
        ),
        Some(ErrorCode::NotADatabase) => (
            StoreErrorKind::NotAStore,
            "the file is not an SQLite store; choose another path",
        ),
        Some(ErrorCode::TooBig) => (
            StoreErrorKind::Unsupported,
            "a record or query is larger than SQLite can hold; make it smaller",
        ),
        // Reads that are stopped for another reason are tried again and never get this far.
        Some(ErrorCode::OperationInterrupted) => (StoreErrorKind::Closed, CLOSED),
        _ => (
            StoreErrorKind::Other,
            "SQLite refused a statement; its reason is the source of this error",
        ),
    }
}

/// Stored values that do not have the form this crate writes.
pub(crate) fn corrupt() -> StoreError {
    StoreError::corrupt(
        "a stored row does not have the form this store writes; restore the store from a backup",
    )
}

/// What every call after `close` answers.
pub(crate) fn closed() -> StoreError {
    StoreError::new(StoreErrorKind::Closed, CLOSED)
}

/// A write after which the file is not at its path any more.
pub(crate) fn lost(gone: StoreError) -> StoreError {
    StoreError::new(
        StoreErrorKind::Unknown,
        "the store's file was removed or replaced during a write, which may be lost; put it back, or open the store again to see",
    )
    .with_source(gone)
}

/// A write of which it is not known whether it is in the file.
pub(crate) fn unknown() -> StoreError {
    StoreError::new(
        StoreErrorKind::Unknown,
        "writing failed and it is not known what is on disk; open the store again to see",
    )
}

/// The system starts no more threads.
pub(crate) fn no_threads(error: std::io::Error) -> StoreError {
    let message = "the system gives no more threads; close something and try again";
    StoreError::new(StoreErrorKind::Other, message).with_source(error)
}
