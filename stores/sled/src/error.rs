//! sled's errors as store errors.

use std::io::ErrorKind;

use synctable_core::store::{StoreError, StoreErrorKind};
use synctable_kv::files::{TOO_MANY_FILES, is_too_many_files};

/// A failed call that changes nothing.
pub(crate) fn from_sled(error: sled::Error) -> StoreError {
    let (kind, message) = match &error {
        sled::Error::Io(cause) if is_too_many_files(cause) => (StoreErrorKind::Io, TOO_MANY_FILES),
        sled::Error::Io(cause) => match cause.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => (
                StoreErrorKind::Full,
                "there is no room for the write; free some space and open the store again",
            ),
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => (
                StoreErrorKind::Permission,
                "the store may not be read and written; check the permissions of its folder",
            ),
            _ => (
                StoreErrorKind::Io,
                "reading or writing the store failed; check the disk and open the store again",
            ),
        },
        sled::Error::Corruption { .. } => return damaged().with_source(error),
        _ => (
            StoreErrorKind::Other,
            "sled refused a call; its reason is the source of this error",
        ),
    };
    StoreError::new(kind, message).with_source(error)
}

/// What sled cannot make sense of.
pub(crate) fn damaged() -> StoreError {
    StoreError::corrupt(
        "the store is damaged; restore it from a backup or pull it again into a new store",
    )
}

/// A store that could not be closed in order.
pub(crate) fn not_synced() -> StoreError {
    let message =
        "what was committed last as not yet durable may be lost if the power fails; check the disk";
    StoreError::new(StoreErrorKind::Io, message)
}

pub(crate) fn closed() -> StoreError {
    StoreError::new(
        StoreErrorKind::Closed,
        "the store was closed; open it again",
    )
}
