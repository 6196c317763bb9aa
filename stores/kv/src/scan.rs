//! The records of a table in the order of their ids.

use std::ops::Range;

use synctable_core::query::Direction;
use synctable_core::store::StoreError;
use synctable_core::{Record, RecordId, TableName};

use crate::key::Key;
use crate::read::{KvEntries, KvRead};
use crate::value;

/// All entries in a range of keys, by rising keys.
pub(crate) fn entries<'a>(
    read: &'a (impl KvRead + ?Sized),
    keys: &Range<Vec<u8>>,
) -> KvEntries<'a> {
    read.entries(&keys.start..&keys.end, Direction::Ascending)
}

/// The records whose keys are in `keys`, a range within `table`, by ascending id.
pub(crate) fn records<'a>(
    read: &'a (impl KvRead + ?Sized),
    table: &'a TableName,
    keys: &Range<Vec<u8>>,
) -> impl Iterator<Item = Result<Record, StoreError>> + 'a {
    entries(read, keys).map(move |entry| {
        let (key, value) = entry?;
        match Key::decode(&key) {
            Some(Key::Record { id, .. }) => value::decode(table, RecordId::system(id), &value),
            _ => Err(StoreError::corrupt(format!(
                "table {table}: a key is damaged"
            ))),
        }
    })
}
