//! Opening and making redb files: what is not ours is refused before redb writes to it.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use redb::{Builder, Database, DatabaseError};
use synctable_core::store::StoreError;
use synctable_kv::files::{self, PrivateCopy, io_error, not_ours};
use synctable_kv::{KvBackend, KvStore, OpenFile};

use crate::backend::{Look, Open, RedbBackend, TABLE, caught};
use crate::error::{damaged, from_commit, from_open, from_table, from_transaction};
use crate::store::RedbStore;

/// The name of the file in a private copy.
const COPY: &str = "store";

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
#[expect(
    clippy::struct_excessive_bools,
    reason = "settings that do not depend on each other"
)]
pub struct RedbBuilder {
    path: PathBuf,
    create: bool,
    cache: usize,
    inline: bool,
    keep_earlier: bool,
    check: bool,
}

impl RedbBuilder {
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            create: true,
            cache: 16 << 20,
            inline: false,
            keep_earlier: true,
            check: false,
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

    /// Whether opening reads the whole file and compares every page with its checksum. Default false: then damage is
    /// noticed when it is read, and only where it cannot be taken for data.
    #[must_use]
    pub fn check(mut self, check: bool) -> Self {
        self.check = check;
        self
    }

    /// Whether calls of the store run on the thread that polls them, and not on threads of the store's own. Default false: the engine blocks.
    #[must_use]
    pub fn inline(mut self, inline: bool) -> Self {
        self.inline = inline;
        self
    }

    /// Whether a copy of a store of an earlier format is [kept](synctable_kv::files::keep_earlier) before it is brought forward, at `NAME.format-1`. Default true.
    #[must_use]
    pub fn keep_earlier(mut self, keep: bool) -> Self {
        self.keep_earlier = keep;
        self
    }

    /// Opens the store.
    pub fn open(self) -> Result<RedbStore, StoreError> {
        let inline = self.inline;
        let path = self.absolute()?;
        if let Some(look) = self.look(&path)? {
            KvStore::open(look).map_err(|error| files::at(&path, &error))?;
        }
        let backend = self.open_at(path.clone())?;
        let store = KvStore::open(backend).map_err(|error| files::at(&path, &error))?;
        Ok(RedbStore::new(store, inline))
    }

    /// Opens the file as a key-value engine, to build a store on it.
    pub fn backend(self) -> Result<RedbBackend, StoreError> {
        let path = self.absolute()?;
        self.look(&path)?;
        self.open_at(path)
    }

    /// Opens the store for reading only: see [`RedbStore::open_read_only`].
    pub fn open_read_only(self) -> Result<RedbStore, StoreError> {
        let inline = self.inline;
        let path = self.absolute()?;
        let store = KvStore::open(self.backend_read_only()?);
        let store = store.map_err(|error| files::at(&path, &error))?;
        Ok(RedbStore::new(store, inline))
    }

    /// Opens the file as a key-value engine that takes no writes: nothing in its folder is written.
    pub fn backend_read_only(self) -> Result<RedbBackend, StoreError> {
        let path = self.absolute()?;
        if !files::exists(&path)? {
            return Err(files::missing(&path));
        }
        let look = self.look_at(&path)?;
        let file = OpenFile::at(&path)?;
        if let Some(Look(db)) = look {
            return Ok(RedbBackend::read_only(path, file, Open::ReadOnly(db), None));
        }
        let copy = PrivateCopy::make(&path, |folder| copy_locked(&path, &folder.join(COPY)))?;
        let db = opening(&path, || {
            let db = self.redb().open(copy.path().join(COPY));
            let db = Open::Repaired(db.map_err(|error| from_open(&path, error))?);
            db.snapshot().map_err(|error| files::at(&path, &error))?;
            Ok(db)
        })?;
        Ok(RedbBackend::read_only(path, file, db, Some(copy)))
    }

    fn absolute(&self) -> Result<PathBuf, StoreError> {
        std::path::absolute(&self.path).map_err(|error| io_error(&self.path, error))
    }

    fn redb(&self) -> Builder {
        let mut redb = Database::builder();
        redb.set_cache_size(self.cache)
            .set_check_integrity_on_open(self.check);
        redb
    }

    /// Makes the file where it is missing and wanted, and opens it for reading, which does not change it.
    /// `None` if it was not closed: then redb has to repair it first.
    fn look(&self, path: &Path) -> Result<Option<Look>, StoreError> {
        if files::exists(path)? {
            files::remove_dead_drafts(path);
        } else {
            if !self.create {
                return Err(files::missing(path));
            }
            files::make(path, |draft| build(&self.redb(), draft, path))?;
        }
        self.look_at(path)
    }

    /// Opens a file that is there for reading, which does not change it; `None` if it was not closed.
    fn look_at(&self, path: &Path) -> Result<Option<Look>, StoreError> {
        let length = fs::metadata(path)
            .map_err(|error| io_error(path, error))?
            .len();
        if length == 0 {
            return Err(not_ours(path, "an empty file, not a store"));
        }
        files::warn_if_exposed(path);
        opening(path, || match self.redb().open_read_only(path) {
            Ok(db) => {
                let look = Look(db);
                look.snapshot().map_err(|error| files::at(path, &error))?;
                Ok(Some(look))
            }
            Err(DatabaseError::RepairAborted) => Ok(None),
            Err(error) => Err(from_open(path, error)),
        })
    }

    fn open_at(self, path: PathBuf) -> Result<RedbBackend, StoreError> {
        let db = opening(&path, || {
            let db = self.redb().open(&path);
            db.map_err(|error| from_open(&path, error))
        })?;
        let file = OpenFile::at(&path)?;
        Ok(RedbBackend::new(path, file, db, self.keep_earlier))
    }
}

/// Copies a file that is not closed in order, while no process can open it.
fn copy_locked(path: &Path, target: &Path) -> Result<(), StoreError> {
    let mut source = File::open(path).map_err(|error| io_error(path, error))?;
    match source.try_lock_shared() {
        // Where files cannot be locked, redb cannot, either.
        Ok(()) | Err(TryLockError::Error(_)) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(from_open(path, DatabaseError::DatabaseAlreadyOpen));
        }
    }
    let copied = files::copy_open_file(&mut source, path, target);
    // By name: a process that this one is just starting has the file open, too.
    let _ = source.unlock();
    copied
}

fn opening<T>(path: &Path, call: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    caught(|| files::at(path, &damaged()), call)
}

/// Makes a database with an empty table at `draft`.
fn build(redb: &Builder, draft: &Path, path: &Path) -> Result<(), StoreError> {
    let db = redb.create(draft).map_err(|error| from_open(path, error))?;
    let write = db.begin_write().map_err(from_transaction)?;
    write.open_table(TABLE).map_err(from_table)?;
    write.commit().map_err(from_commit)?;
    db.close().map_err(|error| from_open(path, error))
}
