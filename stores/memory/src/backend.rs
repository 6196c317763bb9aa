//! A sorted map in memory as a key-value engine.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Bound, Range};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use synctable_core::store::StoreError;
use synctable_kv::{Entry, KvBackend, KvBatch, KvSnapshot};

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
pub struct MemoryBackend(Arc<RwLock<Map>>);

impl MemoryBackend {
    /// An empty map.
    pub fn new() -> Self {
        Self::default()
    }
}

impl fmt::Debug for MemoryBackend {
    /// Contents stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBackend").finish_non_exhaustive()
    }
}

impl KvBackend for MemoryBackend {
    fn snapshot(&self) -> Result<Box<dyn KvSnapshot + '_>, StoreError> {
        let map = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Ok(Box::new(Snapshot(map)))
    }

    fn write(&self, batch: &KvBatch) -> Result<(), StoreError> {
        let mut map = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for (key, value) in batch.writes() {
            match value {
                Some(value) => map.insert(key.to_vec(), value.to_vec()),
                None => map.remove(key),
            };
        }
        Ok(())
    }
}

/// Holds writers off while it lives.
struct Snapshot<'a>(RwLockReadGuard<'a, Map>);

impl fmt::Debug for Snapshot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").finish_non_exhaustive()
    }
}

impl KvSnapshot for Snapshot<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.get(key).cloned())
    }

    fn scan(&self, keys: Range<&[u8]>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let bounds = (Bound::Included(keys.start), Bound::Excluded(keys.end));
        let entries = self.0.range::<[u8], _>(bounds).take(limit);
        Ok(entries
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }

    fn scan_back(&self, keys: Range<&[u8]>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let bounds = (Bound::Included(keys.start), Bound::Excluded(keys.end));
        let entries = self.0.range::<[u8], _>(bounds).rev().take(limit);
        Ok(entries
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }
}
