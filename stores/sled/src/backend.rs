//! A sled folder as a key-value engine.

use std::fmt;
use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use synctable_core::store::{Durability, StoreError};
use synctable_kv::files::PrivateCopy;
use synctable_kv::{Entry, KvBackend, KvBatch, KvSnapshot, Promises, copy_entries};

use crate::durable::Open;
use crate::error::{closed, damaged, from_sled, not_synced, uncertain};
use crate::open::SledBuilder;

/// A [`KvBackend`] in one sled folder, made by [`SledBuilder::backend`](crate::SledBuilder::backend).
pub struct SledBackend {
    path: PathBuf,
    /// `None` once it is closed. sled has no snapshots: who reads holds writers off.
    open: RwLock<Option<Open>>,
    /// What it is read from, where it is open for reading only.
    copy: Option<PrivateCopy>,
}

impl SledBackend {
    pub(crate) fn new(path: PathBuf, open: Open) -> Self {
        Self {
            path,
            open: RwLock::new(Some(open)),
            copy: None,
        }
    }

    pub(crate) fn read_only(path: PathBuf, open: Open, copy: PrivateCopy) -> Self {
        Self {
            path,
            open: RwLock::new(Some(open)),
            copy: Some(copy),
        }
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
    fn snapshot(&self) -> Result<Box<dyn KvSnapshot + '_>, StoreError> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        if open.is_none() {
            return Err(closed());
        }
        Ok(Box::new(Snapshot(open)))
    }

    fn write(&self, batch: &KvBatch) -> Result<(), StoreError> {
        if self.copy.is_some() {
            return Err(StoreError::read_only());
        }
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        let open = open.as_mut().ok_or_else(closed)?;
        if open.failed {
            return Err(uncertain());
        }
        let mut writes = sled::Batch::default();
        for (key, value) in batch.writes() {
            match value {
                Some(value) => writes.insert(key, value),
                None => writes.remove(key),
            }
        }
        open.failed = true;
        caught(uncertain, || {
            let written = open.db.apply_batch(writes).map_err(io::Error::from);
            let written = written.and_then(|()| match batch.durability() {
                Durability::Immediate => open.sync(),
                Durability::Eventual => Ok(open.flush()?),
            });
            written.map_err(|error| uncertain().with_source(error))?;
            open.failed = false;
            Ok(())
        })
    }

    fn promises(&self) -> Promises {
        Promises::default()
            .with_persistent(true)
            .with_durable(true)
            .with_read_only(self.copy.is_some())
    }

    fn copy_to(&self, path: &Path) -> Result<Arc<dyn KvBackend>, StoreError> {
        let copy = SledBuilder::new(path).backend()?;
        copy_entries(&*self.snapshot()?, &copy)?;
        Ok(Arc::new(copy))
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

impl KvSnapshot for Snapshot<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let tree = self.tree()?;
        caught(damaged, || {
            let value = tree.get(key).map_err(from_sled)?;
            Ok(value.map(|value| value.to_vec()))
        })
    }

    fn scan(&self, keys: Range<&[u8]>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let tree = self.tree()?;
        caught(damaged, || {
            tree.range(keys).take(limit).map(owned).collect()
        })
    }

    fn scan_back(&self, keys: Range<&[u8]>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let tree = self.tree()?;
        caught(damaged, || {
            tree.range(keys).rev().take(limit).map(owned).collect()
        })
    }
}

fn owned(entry: sled::Result<(sled::IVec, sled::IVec)>) -> Result<Entry, StoreError> {
    let (key, value) = entry.map_err(from_sled)?;
    Ok((key.to_vec(), value.to_vec()))
}
