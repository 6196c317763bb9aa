//! What reads a redb file and what writes to it.

use std::fmt;
use std::iter;
use std::ops::Range;

use redb::{
    AccessGuard, ReadOnlyTable, ReadTransaction, ReadableTable, StorageError, Table,
    WriteTransaction,
};
use synctable_core::query::Direction;
use synctable_core::store::StoreError;
use synctable_kv::{Bytes, Entry, KvEntries, KvEntry, KvRead, KvWrite, OpenFile, failing, pages};

use crate::backend::{TABLE, caught};
use crate::error::{damaged, from_commit, from_storage, from_table, lost};

type Slice = &'static [u8];

pub(crate) struct Snapshot(ReadOnlyTable<Slice, Slice>);

impl Snapshot {
    pub(crate) fn new(read: &ReadTransaction) -> Result<Self, StoreError> {
        Ok(Self(read.open_table(TABLE).map_err(from_table)?))
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").finish_non_exhaustive()
    }
}

impl KvRead for Snapshot {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes<'_>>, StoreError> {
        caught(damaged, || {
            let value = self.0.get(key).map_err(from_storage)?;
            Ok(value.map(lent))
        })
    }

    fn entries(&self, keys: Range<&[u8]>, direction: Direction) -> KvEntries<'_> {
        if keys.is_empty() {
            return Box::new(iter::empty());
        }
        let range = caught(damaged, || {
            self.0.range::<&[u8]>(keys).map_err(from_storage)
        });
        let mut range = match range {
            Ok(range) => range,
            Err(error) => return failing(error),
        };
        Box::new(iter::from_fn(move || {
            caught(damaged, || {
                let next = match direction {
                    Direction::Ascending => range.next(),
                    Direction::Descending => range.next_back(),
                };
                next.map(entry).transpose()
            })
            .transpose()
        }))
    }
}

type Found = (AccessGuard<'static, Slice>, AccessGuard<'static, Slice>);

fn entry<'a>(entry: Result<Found, StorageError>) -> Result<KvEntry<'a>, StoreError> {
    let (key, value) = entry.map_err(from_storage)?;
    Ok((lent(key), lent(value)))
}

/// Bytes in a page of the file, which stays while they are held.
fn lent<'a>(guard: AccessGuard<'static, Slice>) -> Bytes<'a> {
    Bytes::held(Lent(guard))
}

struct Lent(AccessGuard<'static, Slice>);

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        self.0.value()
    }
}

/// redb's own transaction: one at a time. Its table is opened for each call, as what is open borrows from it; redb keeps its root at hand.
pub(crate) struct Transaction<'a> {
    write: WriteTransaction,
    file: &'a OpenFile,
}

impl<'a> Transaction<'a> {
    pub(crate) fn new(write: WriteTransaction, file: &'a OpenFile) -> Self {
        Self { write, file }
    }

    fn with<T>(
        &self,
        call: impl FnOnce(&mut Table<'_, Slice, Slice>) -> Result<T, StorageError>,
    ) -> Result<T, StoreError> {
        caught(damaged, || {
            let mut table = self.write.open_table(TABLE).map_err(from_table)?;
            call(&mut table).map_err(from_storage)
        })
    }
}

impl fmt::Debug for Transaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").finish_non_exhaustive()
    }
}

impl KvRead for Transaction<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes<'_>>, StoreError> {
        self.with(|table| Ok(table.get(key)?.map(|value| value.value().to_vec().into())))
    }

    fn entries(&self, keys: Range<&[u8]>, direction: Direction) -> KvEntries<'_> {
        pages(keys, direction, move |keys, limit| {
            self.with(|table| {
                let range = table.range::<&[u8]>(keys)?;
                match direction {
                    Direction::Ascending => range.take(limit).map(copied).collect(),
                    Direction::Descending => range.rev().take(limit).map(copied).collect(),
                }
            })
        })
    }
}

fn copied<'g>(
    entry: Result<(AccessGuard<'g, Slice>, AccessGuard<'g, Slice>), StorageError>,
) -> Result<Entry, StorageError> {
    let (key, value) = entry?;
    Ok((key.value().to_vec(), value.value().to_vec()))
}

impl KvWrite for Transaction<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.with(|table| table.insert(key, value).map(drop))
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), StoreError> {
        self.with(|table| table.remove(key).map(drop))
    }

    fn delete_range(&mut self, keys: Range<&[u8]>) -> Result<(), StoreError> {
        if keys.is_empty() {
            return Ok(());
        }
        self.with(|table| table.retain_in::<&[u8], _>(keys, |_, _| false))
    }

    fn commit(self: Box<Self>) -> Result<(), StoreError> {
        let Self { write, file } = *self;
        file.check()?;
        caught(StoreError::unknown, || write.commit().map_err(from_commit))?;
        file.check().map_err(lost)
    }
}
