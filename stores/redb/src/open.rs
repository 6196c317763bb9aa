//! Opening and making redb files: what is not ours is refused before redb writes to it.

use std::fs;
use std::path::{Path, PathBuf};

use redb::{Builder, Database, DatabaseError, ReadOnlyDatabase, ReadableDatabase};
use synctable_core::store::StoreError;
use synctable_kv::KvStore;
use synctable_kv::files::{self, io_error, not_ours};

use crate::backend::{self, RedbBackend};
use crate::error::{from_commit, from_open, from_table, from_transaction};
use crate::store::RedbStore;

/// How to open a store; made by [`RedbStore::builder`].
///
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("app.redb");
/// use synctable_redb::RedbStore;
/// assert!(RedbStore::builder(&path).create(false).open().is_err());
/// let store = RedbStore::builder(&path).cache(64 << 20).open().unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct RedbBuilder {
    path: PathBuf,
    create: bool,
    cache: usize,
}

impl RedbBuilder {
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            create: true,
            cache: 16 << 20,
        }
    }

    /// Whether a missing file is made (the default) or an error.
    #[must_use]
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// How many bytes of the file are kept in memory at most. Default 16 MiB.
    #[must_use]
    pub fn cache(mut self, bytes: usize) -> Self {
        self.cache = bytes;
        self
    }

    /// Opens the store.
    pub fn open(self) -> Result<RedbStore, StoreError> {
        let path = self.path.clone();
        let store = KvStore::open(self.backend()?).map_err(|error| files::at(&path, &error))?;
        Ok(RedbStore::new(store))
    }

    /// Opens the file as a key-value engine, to build a store on it.
    pub fn backend(self) -> Result<RedbBackend, StoreError> {
        let path = std::path::absolute(&self.path).map_err(|error| io_error(&self.path, error))?;
        let mut redb = Database::builder();
        redb.set_cache_size(self.cache);
        if !files::exists(&path)? {
            if !self.create {
                return Err(files::missing(&path));
            }
            files::make(&path, |draft| build(&redb, draft, &path))?;
        }
        check(&redb, &path)?;
        let db = redb.open(&path).map_err(|error| from_open(&path, error))?;
        Ok(RedbBackend::new(path, db))
    }
}

/// Makes a database with an empty table at `draft`.
fn build(redb: &Builder, draft: &Path, path: &Path) -> Result<(), StoreError> {
    let db = redb.create(draft).map_err(|error| from_open(path, error))?;
    let write = db.begin_write().map_err(from_transaction)?;
    write.open_table(backend::TABLE).map_err(from_table)?;
    write.commit().map_err(from_commit)?;
    db.close().map_err(|error| from_open(path, error))
}

/// Judges the file without changing it. One that was not closed is judged by what redb makes of it later.
fn check(redb: &Builder, path: &Path) -> Result<(), StoreError> {
    let length = fs::metadata(path)
        .map_err(|error| io_error(path, error))?
        .len();
    if length == 0 {
        return Err(not_ours(path, "an empty file, not a store"));
    }
    let db: ReadOnlyDatabase = match redb.open_read_only(path) {
        Ok(db) => db,
        Err(DatabaseError::RepairAborted) => return Ok(()),
        Err(error) => return Err(from_open(path, error)),
    };
    let read = db.begin_read().map_err(from_transaction)?;
    read.open_table(backend::TABLE).map_err(from_table)?;
    Ok(())
}
