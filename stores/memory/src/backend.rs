//! A sorted map in memory as a key-value engine.

use std::collections::BTreeMap;
use std::fmt;
use std::iter;
use std::ops::{Bound, Range};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use synctable_core::query::Direction;
use synctable_core::store::{Durability, StoreError};
use synctable_kv::{Buffered, Bytes, KvBackend, KvBatch, KvEntries, KvRead, KvWrite};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// A [`KvBackend`] in memory. Clones share one map, so a store over a clone sees what an earlier one left.
///
/// ```
/// use synctable_kv::KvStore;
/// use synctable_memory::MemoryBackend;
/// let backend = MemoryBackend::new();
/// let store = KvStore::open(backend.clone()).unwrap();
/// drop(store);
/// let same_records = KvStore::open(backend).unwrap();
/// ```
#[derive(Clone, Default)]
pub struct MemoryBackend(Arc<Shared>);

#[derive(Default)]
struct Shared {
    map: RwLock<Map>,
    /// Whoever writes.
    turn: Mutex<()>,
}

impl MemoryBackend {
    /// An empty map.
    pub fn new() -> Self {
        Self::default()
    }

    fn apply(&self, batch: &KvBatch) {
        let mut map = self.0.map.write().unwrap_or_else(PoisonError::into_inner);
        for (key, value) in batch.writes() {
            match value {
                Some(value) => map.insert(key.to_vec(), value.to_vec()),
                None => map.remove(key),
            };
        }
    }
}

impl fmt::Debug for MemoryBackend {
    /// Contents stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBackend").finish_non_exhaustive()
    }
}

impl KvBackend for MemoryBackend {
    fn snapshot(&self) -> Result<Box<dyn KvRead + '_>, StoreError> {
        let map = self.0.map.read().unwrap_or_else(PoisonError::into_inner);
        Ok(Box::new(Snapshot(map)))
    }

    fn begin_write(&self, durability: Durability) -> Result<Box<dyn KvWrite + '_>, StoreError> {
        Buffered::begin(
            &self.0.turn,
            durability,
            || self.snapshot(),
            |batch| {
                self.apply(batch);
                Ok(())
            },
        )
    }

    /// Nothing here lasts.
    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// It has no files, and what was removed is gone.
    fn forget(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Holds commits off while it lives.
struct Snapshot<'a>(RwLockReadGuard<'a, Map>);

impl fmt::Debug for Snapshot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").finish_non_exhaustive()
    }
}

impl KvRead for Snapshot<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes<'_>>, StoreError> {
        Ok(self.0.get(key).map(|value| value.as_slice().into()))
    }

    fn entries(&self, keys: Range<&[u8]>, direction: Direction) -> KvEntries<'_> {
        if keys.is_empty() {
            return Box::new(iter::empty());
        }
        let bounds = (Bound::Included(keys.start), Bound::Excluded(keys.end));
        let range = self.0.range::<[u8], _>(bounds);
        let entries =
            range.map(|(key, value)| Ok((key.as_slice().into(), value.as_slice().into())));
        match direction {
            Direction::Ascending => Box::new(entries),
            Direction::Descending => Box::new(entries.rev()),
        }
    }
}
