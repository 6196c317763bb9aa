//! A redb file as a key-value engine.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use redb::{Database, ReadOnlyDatabase, ReadableDatabase, TableDefinition};
use synctable_core::store::{Durability, StoreError};
use synctable_kv::files::{self, PrivateCopy};
use synctable_kv::{KvBackend, KvRead, KvWrite, OpenFile, Promises, copy_entries};

use crate::error::{closed, damaged, from_close, from_compaction, from_transaction};
use crate::forget;
use crate::open::RedbBuilder;
use crate::transaction::{Snapshot, Transaction};

/// All entries.
pub(crate) const TABLE: TableDefinition<&[u8], &[u8]> = TableDefinition::new("synctable");

/// A [`KvBackend`] in one redb file, made by [`RedbBuilder::backend`](crate::RedbBuilder::backend).
///
/// Every commit is durable when it returns, whatever its [`Durability`](synctable_core::store::Durability) asks
/// for: redb keeps the pages of a commit without durability in memory, so they would not survive the end of the process.
pub struct RedbBackend {
    path: PathBuf,
    file: OpenFile,
    /// `None` once it is closed.
    db: RwLock<Option<Open>>,
    keep_earlier: bool,
    /// What it is read from, where that is not its own file.
    _copy: Option<PrivateCopy>,
}

/// A database, and what may be done with it.
pub(crate) enum Open {
    Whole(Database),
    /// It is closed in order, so that it can be read as it is.
    ReadOnly(ReadOnlyDatabase),
    /// A private copy of one that was not, repaired.
    Repaired(Database),
}

impl Open {
    pub(crate) fn snapshot(&self) -> Result<Box<dyn KvRead>, StoreError> {
        match self {
            Self::Whole(db) | Self::Repaired(db) => snapshot(db),
            Self::ReadOnly(db) => snapshot(db),
        }
    }
}

impl RedbBackend {
    pub(crate) fn new(path: PathBuf, file: OpenFile, db: Database, keep_earlier: bool) -> Self {
        Self {
            path,
            file,
            db: RwLock::new(Some(Open::Whole(db))),
            keep_earlier,
            _copy: None,
        }
    }

    pub(crate) fn read_only(
        path: PathBuf,
        file: OpenFile,
        db: Open,
        copy: Option<PrivateCopy>,
    ) -> Self {
        Self {
            path,
            file,
            db: RwLock::new(Some(db)),
            keep_earlier: false,
            _copy: copy,
        }
    }

    fn db(&self) -> RwLockReadGuard<'_, Option<Open>> {
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
    fn snapshot(&self) -> Result<Box<dyn KvRead + '_>, StoreError> {
        self.db().as_ref().ok_or_else(closed)?.snapshot()
    }

    fn begin_write(&self, _: Durability) -> Result<Box<dyn KvWrite + '_>, StoreError> {
        let write = {
            let db = self.db();
            let Open::Whole(db) = db.as_ref().ok_or_else(closed)? else {
                return Err(StoreError::read_only());
            };
            caught(damaged, || db.begin_write().map_err(from_transaction))?
        };
        Ok(Box::new(Transaction::new(write, &self.file)))
    }

    /// Every commit is durable.
    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// All is written anew, the room that it leaves is overwritten, and the file is compacted: for a while it takes twice as much.
    fn forget(&self) -> Result<(), StoreError> {
        let mut db = self.db.write().unwrap_or_else(PoisonError::into_inner);
        let Open::Whole(db) = db.as_mut().ok_or_else(closed)? else {
            return Err(StoreError::read_only());
        };
        caught(StoreError::unknown, || {
            forget::rebuild(db)?;
            forget::fill(db, &self.path)?;
            forget::remove_filler(db)?;
            db.compact().map_err(from_compaction)?;
            Ok(())
        })
    }

    fn promises(&self) -> Promises {
        let is_whole = matches!(*self.db(), None | Some(Open::Whole(_)));
        Promises::default()
            .with_persistent(true)
            .with_durable(true)
            .with_read_only(!is_whole)
    }

    fn copy_to(&self, path: &Path) -> Result<Arc<dyn KvBackend>, StoreError> {
        let copy = RedbBuilder::new(path).keep_earlier(false).backend()?;
        copy_entries(&*self.snapshot()?, &copy)?;
        Ok(Arc::new(copy))
    }

    fn keep_earlier(&self, format: u32) -> Result<(), StoreError> {
        files::keep_earlier(self.keep_earlier, &self.path, format, |draft| {
            self.copy_to(draft)?.close()
        })
    }

    fn close(&self) -> Result<(), StoreError> {
        let mut db = self.db.write().unwrap_or_else(PoisonError::into_inner);
        match db.take() {
            Some(Open::Whole(db)) => caught(damaged, || db.close().map_err(from_close)),
            Some(Open::ReadOnly(db)) => caught(damaged, || {
                drop(db);
                Ok(())
            }),
            // Nobody opens the copy again.
            Some(Open::Repaired(db)) => caught(damaged, || {
                let _ = db.close();
                Ok(())
            }),
            None => Ok(()),
        }
    }
}

impl Drop for RedbBackend {
    fn drop(&mut self) {
        // Here nobody can be told, and what was committed is in the file.
        let _ = self.close();
    }
}

/// What a store file holds, before it is opened for writing.
pub(crate) struct Look(pub(crate) ReadOnlyDatabase);

impl fmt::Debug for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Look").finish_non_exhaustive()
    }
}

impl KvBackend for Look {
    fn snapshot(&self) -> Result<Box<dyn KvRead + '_>, StoreError> {
        snapshot(&self.0)
    }

    fn begin_write(&self, _: Durability) -> Result<Box<dyn KvWrite + '_>, StoreError> {
        Err(StoreError::read_only())
    }

    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// redb panics at some of the damage that a file can have, such as a page of no known type. That is an error here,
/// unless the program aborts at panics; redb's own state stays whole, as its transactions end when they are dropped.
pub(crate) fn caught<T>(
    failure: impl FnOnce() -> StoreError,
    call: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| Err(failure()))
}

fn snapshot(db: &impl ReadableDatabase) -> Result<Box<dyn KvRead>, StoreError> {
    caught(damaged, || {
        let read = db.begin_read().map_err(from_transaction)?;
        Ok(Box::new(Snapshot::new(&read)?) as Box<dyn KvRead>)
    })
}
