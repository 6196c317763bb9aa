//! A sled folder as a key-value engine.

use std::fmt;
use std::io;
use std::iter;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use synctable_core::query::Direction;
use synctable_core::store::{Durability, StoreError};
use synctable_kv::files::{self, PrivateCopy};
use synctable_kv::{
    Buffered, Bytes, KvBackend, KvBatch, KvEntries, KvEntry, KvRead, KvWrite, Promises,
    copy_entries, failing,
};

use crate::durable::Open;
use crate::error::{closed, damaged, from_sled, not_synced};
use crate::open::SledBuilder;

/// A [`KvBackend`] in one sled folder, made by [`SledBuilder::backend`](crate::SledBuilder::backend).
pub struct SledBackend {
    path: PathBuf,
    /// `None` once it is closed. sled has no snapshots: who reads holds writers off.
    open: RwLock<Option<Open>>,
    /// What it is read from, where it is open for reading only.
    copy: Option<PrivateCopy>,
    keep_earlier: bool,
    /// Whoever writes.
    turn: Mutex<()>,
}

impl SledBackend {
    pub(crate) fn new(path: PathBuf, open: Open, keep_earlier: bool) -> Self {
        Self {
            path,
            open: RwLock::new(Some(open)),
            copy: None,
            keep_earlier,
            turn: Mutex::default(),
        }
    }

    pub(crate) fn read_only(path: PathBuf, open: Open, copy: PrivateCopy) -> Self {
        Self {
            path,
            open: RwLock::new(Some(open)),
            copy: Some(copy),
            keep_earlier: false,
            turn: Mutex::default(),
        }
    }

    fn write(&self, batch: &KvBatch) -> Result<(), StoreError> {
        let mut writes = sled::Batch::default();
        for (key, value) in batch.writes() {
            match value {
                Some(value) => writes.insert(key, value),
                None => writes.remove(key),
            }
        }
        self.settle(batch.durability(), |open| {
            open.db.apply_batch(writes).map_err(io::Error::from)
        })
    }

    /// Does a write and hands it to the system, or to the disk.
    fn settle(
        &self,
        durability: Durability,
        write: impl FnOnce(&Open) -> io::Result<()>,
    ) -> Result<(), StoreError> {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        let open = open.as_mut().ok_or_else(closed)?;
        if open.failed {
            return Err(StoreError::unknown());
        }
        open.failed = true;
        caught(StoreError::unknown, || {
            let written = write(open).and_then(|()| match durability {
                Durability::Immediate => open.sync(),
                Durability::Eventual => Ok(open.flush()?),
            });
            written.map_err(StoreError::unknown_after)?;
            open.failed = false;
            Ok(())
        })
    }
}

impl fmt::Debug for SledBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SledBackend")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl KvBackend for SledBackend {
    fn snapshot(&self) -> Result<Box<dyn KvRead + '_>, StoreError> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        if open.is_none() {
            return Err(closed());
        }
        Ok(Box::new(Snapshot(open)))
    }

    fn begin_write(&self, durability: Durability) -> Result<Box<dyn KvWrite + '_>, StoreError> {
        if self.copy.is_some() {
            return Err(StoreError::read_only());
        }
        Buffered::begin(
            &self.turn,
            durability,
            || self.snapshot(),
            |batch| self.write(batch),
        )
    }

    fn sync(&self) -> Result<(), StoreError> {
        if self.copy.is_some() {
            return Ok(());
        }
        self.settle(Durability::Immediate, |_| Ok(()))
    }

    fn promises(&self) -> Promises {
        Promises::default()
            .with_persistent(true)
            .with_durable(true)
            .with_read_only(self.copy.is_some())
    }

    fn copy_to(&self, path: &Path) -> Result<Arc<dyn KvBackend>, StoreError> {
        let copy = SledBuilder::new(path).keep_earlier(false).backend()?;
        copy_entries(&*self.snapshot()?, &copy)?;
        Ok(Arc::new(copy))
    }

    fn keep_earlier(&self, format: u32) -> Result<(), StoreError> {
        files::keep_earlier(self.keep_earlier, &self.path, format, |draft| {
            self.copy_to(draft)?.close()
        })
    }

    fn close(&self) -> Result<(), StoreError> {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        match open.take() {
            Some(open) if open.failed => {
                open.abandon();
                Err(not_synced())
            }
            // Nobody opens the copy again.
            Some(open) if self.copy.is_some() => {
                let _ = caught(not_synced, || {
                    drop(open);
                    Ok(())
                });
                Ok(())
            }
            Some(mut open) => caught(not_synced, || {
                let synced = open.sync();
                // sled syncs once more, and panics if that fails.
                drop(open);
                synced.map_err(|error| not_synced().with_source(error))
            }),
            None => Ok(()),
        }
    }
}

impl Drop for SledBackend {
    fn drop(&mut self) {
        // Here nobody can be told; what was committed as durable is.
        let _ = self.close();
    }
}

/// sled panics at some failed calls of the system and at some of the damage that its files can have. That is an error
/// here, unless the program aborts at panics.
pub(crate) fn caught<T>(
    failure: impl FnOnce() -> StoreError,
    call: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| Err(failure()))
}

/// Holds writers off while it lives.
struct Snapshot<'a>(RwLockReadGuard<'a, Option<Open>>);

impl fmt::Debug for Snapshot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").finish_non_exhaustive()
    }
}

impl Snapshot<'_> {
    fn tree(&self) -> Result<&sled::Tree, StoreError> {
        self.0.as_ref().map(|open| &*open.db).ok_or_else(closed)
    }
}

impl KvRead for Snapshot<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes<'_>>, StoreError> {
        let tree = self.tree()?;
        caught(damaged, || {
            let value = tree.get(key).map_err(from_sled)?;
            Ok(value.map(Bytes::held))
        })
    }

    fn entries(&self, keys: Range<&[u8]>, direction: Direction) -> KvEntries<'_> {
        if keys.is_empty() {
            return Box::new(iter::empty());
        }
        let mut range = match self.tree() {
            Ok(tree) => tree.range(keys),
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

fn entry<'a>(entry: sled::Result<(sled::IVec, sled::IVec)>) -> Result<KvEntry<'a>, StoreError> {
    let (key, value) = entry.map_err(from_sled)?;
    Ok((Bytes::held(key), Bytes::held(value)))
}
