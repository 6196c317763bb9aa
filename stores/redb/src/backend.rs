//! A redb file as a key-value engine.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use redb::{Database, ReadOnlyTable, ReadableDatabase, TableDefinition};
use synctable_core::store::{StoreCapabilities, StoreError};
use synctable_kv::{Entry, KvBackend, KvBatch, KvSnapshot};

use crate::error::{closed, from_close, from_commit, from_storage, from_table, from_transaction};

/// All entries.
pub(crate) const TABLE: TableDefinition<&[u8], &[u8]> = TableDefinition::new("synctable");

/// A [`KvBackend`] in one redb file, made by [`RedbBuilder::backend`](crate::RedbBuilder::backend).
///
/// Every batch is durable before `write` returns, whatever its [`Durability`](synctable_core::store::Durability) asks
/// for: redb keeps the pages of a commit without durability in memory, so they would not survive the end of the process.
pub struct RedbBackend {
    path: PathBuf,
    /// `None` once it is closed.
    db: RwLock<Option<Database>>,
}

impl RedbBackend {
    pub(crate) fn new(path: PathBuf, db: Database) -> Self {
        Self {
            path,
            db: RwLock::new(Some(db)),
        }
    }

    fn db(&self) -> RwLockReadGuard<'_, Option<Database>> {
        self.db.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for RedbBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbBackend")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl KvBackend for RedbBackend {
    fn snapshot(&self) -> Result<Box<dyn KvSnapshot + '_>, StoreError> {
        let db = self.db();
        let read = db.as_ref().ok_or_else(closed)?.begin_read();
        let table = read
            .map_err(from_transaction)?
            .open_table(TABLE)
            .map_err(from_table)?;
        Ok(Box::new(Snapshot(table)))
    }

    fn write(&self, batch: &KvBatch) -> Result<(), StoreError> {
        let db = self.db();
        let write = db.as_ref().ok_or_else(closed)?.begin_write();
        let write = write.map_err(from_transaction)?;
        {
            let mut table = write.open_table(TABLE).map_err(from_table)?;
            for (key, value) in batch.writes() {
                match value {
                    Some(value) => table.insert(key, value),
                    None => table.remove(key),
                }
                .map_err(from_storage)?;
            }
        }
        write.commit().map_err(from_commit)
    }

    fn capabilities(&self) -> StoreCapabilities {
        StoreCapabilities::default()
            .with_persistent(true)
            .with_durable(true)
    }

    fn close(&self) -> Result<(), StoreError> {
        let mut db = self.db.write().unwrap_or_else(PoisonError::into_inner);
        match db.take() {
            Some(db) => db.close().map_err(from_close),
            None => Ok(()),
        }
    }
}

struct Snapshot(ReadOnlyTable<&'static [u8], &'static [u8]>);

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").finish_non_exhaustive()
    }
}

impl KvSnapshot for Snapshot {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.0.get(key).map_err(from_storage)?;
        Ok(value.map(|value| value.value().to_vec()))
    }

    fn scan(&self, keys: Range<&[u8]>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let entries = self.0.range::<&[u8]>(keys).map_err(from_storage)?;
        entries
            .take(limit)
            .map(|entry| {
                let (key, value) = entry.map_err(from_storage)?;
                Ok((key.value().to_vec(), value.value().to_vec()))
            })
            .collect()
    }
}
