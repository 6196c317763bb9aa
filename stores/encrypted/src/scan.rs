//! Reading many physical entries.

use std::ops::Range;

use synctable_core::query::Direction;
use synctable_core::store::StoreError;
use synctable_kv::KvRead;

/// All that an engine can hold.
pub(crate) const EVERYTHING: Range<&[u8]> = &[]..&[u8::MAX; 64];

/// Hands on each key with its value, in the order of the keys.
pub(crate) fn each(
    read: &(impl KvRead + ?Sized),
    keys: Range<&[u8]>,
    mut take: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    for entry in read.entries(keys, Direction::Ascending) {
        let (key, value) = entry?;
        take(&key, &value)?;
    }
    Ok(())
}
