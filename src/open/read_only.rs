//! Opening a store for reading only: nothing in its folder is written.

use std::sync::Arc;

#[cfg(not(all(
    feature = "sqlite",
    feature = "redb",
    feature = "sled",
    feature = "encrypted"
)))]
use super::feature_off;
use super::{OpenedStore, StoreKey, StoreKind, StoreUrl, refuse_key};
use crate::store::{LocalStore, StoreError, StoreErrorKind};

#[cfg(feature = "encrypted")]
use super::{key_needed, no_mark};
#[cfg(feature = "encrypted")]
use crate::Threads;
#[cfg(feature = "encrypted")]
use crate::encrypted::{Anchor, Sealed};
#[cfg(feature = "encrypted")]
use crate::kv::{KvBackend, KvStore, Offloaded};

impl StoreUrl {
    /// Opens a store that is there for reading only: nothing in its folder is written, not even by a format upgrade. Reads show what
    /// [`open`](Self::open) would show, and stores of earlier releases are read as they are.
    ///
    /// It works where the medium may not be written, where the disk is full, and for a backup copy. SQLite stores are also read beside processes
    /// that write; the other engines refuse what another process has open, as [`Locked`](StoreErrorKind::Locked). Where the engine would have to
    /// write before it reads (after a crash; sled always), it reads a private copy in the folder for temporary files, or in memory where
    /// the system lends that as a folder.
    ///
    /// [`commit`](LocalStore::commit), and a [`define`](LocalStore::define) of something new, fails with
    /// [`Unsupported`](StoreErrorKind::Unsupported), and [`StoreCapabilities::read_only`](crate::store::StoreCapabilities::read_only) is set. A
    /// [`SyncContext`](crate::sync::SyncContext) over it reads, and writes nothing when it is opened.
    ///
    /// # Errors
    /// As those of [`open_store`](crate::open_store), and [`Unsupported`](StoreErrorKind::Unsupported) for a store in memory.
    pub fn open_read_only(&self, key: Option<StoreKey>) -> Result<OpenedStore, StoreError> {
        if self.encrypted {
            return self.sealed_read_only(key);
        }
        refuse_key(key)?;
        Ok(OpenedStore {
            store: self.plain_read_only()?,
            #[cfg(feature = "encrypted")]
            sealed: None,
        })
    }

    /// As [`open_read_only`](Self::open_read_only), for an encrypted store that is known to have come as far as `known`.
    ///
    /// # Errors
    /// As those of [`open_at_least`](Self::open_at_least).
    #[cfg(feature = "encrypted")]
    pub fn open_read_only_at_least(
        &self,
        key: Option<StoreKey>,
        known: Anchor,
    ) -> Result<OpenedStore, StoreError> {
        if self.encrypted {
            return self.sealed_read_only_at_least(key, known);
        }
        Err(no_mark())
    }

    #[cfg(feature = "encrypted")]
    fn sealed_read_only(&self, key: Option<StoreKey>) -> Result<OpenedStore, StoreError> {
        self.sealed_read_only_at_least(key, Anchor::default())
    }

    #[cfg(not(feature = "encrypted"))]
    #[expect(clippy::unused_self, reason = "as with the feature")]
    fn sealed_read_only(&self, _: Option<StoreKey>) -> Result<OpenedStore, StoreError> {
        Err(feature_off("encrypted"))
    }

    #[cfg(feature = "encrypted")]
    fn sealed_read_only_at_least(
        &self,
        key: Option<StoreKey>,
        known: Anchor,
    ) -> Result<OpenedStore, StoreError> {
        let key = key.ok_or_else(key_needed)?;
        let engine = self.engine_read_only()?;
        if known == Anchor::default() {
            self.check_holds_something(&engine)?;
        }
        let sealed = Sealed::builder(engine).secret(key).at_least(known).open()?;
        Ok(OpenedStore {
            store: Arc::new(Offloaded::new(
                KvStore::open(sealed.clone())?,
                Arc::new(Threads::new()),
            )),
            sealed: Some(sealed),
        })
    }

    fn plain_read_only(&self) -> Result<Arc<dyn LocalStore>, StoreError> {
        match self.kind {
            #[cfg(feature = "sqlite")]
            StoreKind::Sqlite => Ok(Arc::new(crate::SqliteStore::open_read_only(&self.path)?)),
            #[cfg(feature = "redb")]
            StoreKind::Redb => Ok(Arc::new(crate::RedbStore::open_read_only(&self.path)?)),
            #[cfg(feature = "sled")]
            StoreKind::Sled => Ok(Arc::new(crate::SledStore::open_read_only(&self.path)?)),
            StoreKind::Memory => Err(in_memory()),
            #[cfg(not(all(feature = "sqlite", feature = "redb", feature = "sled")))]
            kind => Err(feature_off(kind.as_str())),
        }
    }

    /// The engine under an encrypted store.
    #[cfg(feature = "encrypted")]
    fn engine_read_only(&self) -> Result<Arc<dyn KvBackend>, StoreError> {
        match self.kind {
            #[cfg(feature = "sqlite")]
            StoreKind::Sqlite => Ok(Arc::new(crate::SqliteKv::open_read_only(&self.path)?)),
            #[cfg(feature = "redb")]
            StoreKind::Redb => Ok(Arc::new(
                crate::RedbStore::builder(&self.path).backend_read_only()?,
            )),
            #[cfg(feature = "sled")]
            StoreKind::Sled => Ok(Arc::new(
                crate::SledStore::builder(&self.path).backend_read_only()?,
            )),
            StoreKind::Memory => Err(in_memory()),
            #[cfg(not(all(feature = "sqlite", feature = "redb", feature = "sled")))]
            kind => Err(feature_off(kind.as_str())),
        }
    }
}

fn in_memory() -> StoreError {
    let message = "a store in memory holds nothing when it is opened, so there is nothing to read";
    StoreError::new(StoreErrorKind::Unsupported, message)
}
