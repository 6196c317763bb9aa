//! What a key-value engine provides.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::ops::{Bound, Range};
use std::path::Path;
use std::sync::Arc;

use synctable_core::store::{Durability, StoreError, StoreErrorKind};
use synctable_core::threads::{MaybeSend, MaybeSync};

/// A key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// A sorted map of bytes with snapshots and atomic writes: two required methods here, two on [`KvSnapshot`].
///
/// All methods are synchronous and run on the thread of the caller. Keys sort by their bytes.
/// [`KvStore`](crate::KvStore) never writes from two threads at once and drops its snapshot before it writes.
/// The keys it uses are those of [`Key`](crate::Key); an engine may keep other data only outside of what
/// it shows here.
pub trait KvBackend: Debug + MaybeSend + MaybeSync + 'static {
    /// What is stored now: later writes do not show in it.
    ///
    /// An engine without snapshots returns a view that holds writers off until it is dropped.
    fn snapshot(&self) -> Result<Box<dyn KvSnapshot + '_>, StoreError>;

    /// Does all writes of `batch` or none.
    ///
    /// After `Ok` every later snapshot shows them, and they are durable as [`KvBatch::durability`] says. After an
    /// error nothing of the batch shows, now or after reopening, unless the kind is
    /// [`Unknown`](synctable_core::store::StoreErrorKind::Unknown): then the store takes no more writes.
    fn write(&self, batch: &KvBatch) -> Result<(), StoreError>;

    /// What indexes are good for here. Every engine that sorts keeps the default; a wrapper that hides the order does not.
    fn indexes(&self) -> Indexes {
        Indexes::Ordered
    }

    /// What the engine promises; nothing by default.
    fn promises(&self) -> Promises {
        Promises::default()
    }

    /// An error if the engine can tell that it does not hold all that was written to it. By default it cannot.
    fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Makes an engine of the same kind at `path`, where nothing is, that holds what is stored now, and opens it.
    /// [`copy_entries`](crate::copy_entries) does the copying. By default an engine has no files.
    fn copy_to(&self, path: &Path) -> Result<Arc<dyn KvBackend>, StoreError> {
        let _ = path;
        let message = "a store of this kind has no files to back up; copy it into another store";
        Err(StoreError::new(StoreErrorKind::Unsupported, message))
    }

    /// Makes everything durable and lets go of files. Called at most once, and no other method after it.
    fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[deny(clippy::missing_trait_methods)]
impl<B: KvBackend + ?Sized> KvBackend for Arc<B> {
    fn snapshot(&self) -> Result<Box<dyn KvSnapshot + '_>, StoreError> {
        (**self).snapshot()
    }
    fn write(&self, batch: &KvBatch) -> Result<(), StoreError> {
        (**self).write(batch)
    }
    fn indexes(&self) -> Indexes {
        (**self).indexes()
    }
    fn promises(&self) -> Promises {
        (**self).promises()
    }
    fn check(&self) -> Result<(), StoreError> {
        (**self).check()
    }

    fn copy_to(&self, path: &Path) -> Result<Arc<dyn KvBackend>, StoreError> {
        (**self).copy_to(path)
    }
    fn close(&self) -> Result<(), StoreError> {
        (**self).close()
    }
}

/// What an engine promises beyond the base contract. That several processes may open one store is not among it: whatever its engine can do,
/// [`KvStore`](crate::KvStore) keeps what it knows of the tables in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct Promises {
    /// Records survive closing and opening again.
    pub persistent: bool,
    /// An `Immediate` batch survives a power cut.
    pub durable: bool,
    /// It is open for reading only: every write fails with [`Unsupported`](StoreErrorKind::Unsupported).
    pub read_only: bool,
}

impl Promises {
    /// Sets `persistent`.
    #[must_use]
    pub fn with_persistent(mut self, yes: bool) -> Self {
        self.persistent = yes;
        self
    }

    /// Sets `durable`.
    #[must_use]
    pub fn with_durable(mut self, yes: bool) -> Self {
        self.durable = yes;
        self
    }

    /// Sets `read_only`.
    #[must_use]
    pub fn with_read_only(mut self, yes: bool) -> Self {
        self.read_only = yes;
        self
    }
}

/// Which use [`KvStore`](crate::KvStore) makes of declared indexes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Indexes {
    /// None: no entries are kept, and every query looks at the whole table.
    None,
    /// For queries that fix all fields of an index by equality.
    Equality,
    /// For equality, ranges and order.
    Ordered,
}

/// An unchanging view of a [`KvBackend`].
pub trait KvSnapshot: Debug {
    /// The value of `key`, if any.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// The first `limit` entries whose keys are in `keys` (the start is included, the end is not), in the order
    /// of their keys. Fewer than `limit` means that there are no more.
    fn scan(&self, keys: Range<&[u8]>, limit: usize) -> Result<Vec<Entry>, StoreError>;

    /// The last `limit` entries whose keys are in `keys`, the last one first. Fewer than `limit` means that there are no more.
    ///
    /// This default reads the whole range; an engine that can walk backwards should do so.
    fn scan_back(&self, keys: Range<&[u8]>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let mut found = self.scan(keys, usize::MAX)?;
        found.reverse();
        found.truncate(limit);
        Ok(found)
    }
}

/// Writes that a backend does all or not at all; no key occurs twice.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct KvBatch {
    writes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    durability: Durability,
}

impl KvBatch {
    /// An empty batch.
    pub fn new(durability: Durability) -> Self {
        Self {
            writes: BTreeMap::new(),
            durability,
        }
    }

    /// Sets `key` to `value`; an earlier write of the key is forgotten.
    pub fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.writes.insert(key, Some(value));
    }

    /// Removes `key`, which may be missing; an earlier write of the key is forgotten.
    pub fn delete(&mut self, key: Vec<u8>) {
        self.writes.insert(key, None);
    }

    /// The keys to write in their order, each with its new value, or `None` where it is to be removed.
    pub fn writes(&self) -> impl ExactSizeIterator<Item = (&[u8], Option<&[u8]>)> {
        self.writes
            .iter()
            .map(|(key, value)| (key.as_slice(), value.as_deref()))
    }

    /// When the batch has to be durable.
    pub fn durability(&self) -> Durability {
        self.durability
    }

    /// True without writes.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// Removes what earlier writes of this batch put in `keys`.
    pub(crate) fn delete_written(&mut self, keys: Range<&[u8]>) {
        let bounds = (Bound::Included(keys.start), Bound::Excluded(keys.end));
        for (_, value) in self.writes.range_mut::<[u8], _>(bounds) {
            *value = None;
        }
    }
}

impl Debug for KvBatch {
    /// Shows the size only: contents stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KvBatch")
            .field("writes", &self.writes.len())
            .field("durability", &self.durability)
            .finish()
    }
}
