//! A store of `Rc` and `RefCell`, as hosts with one thread have them, passes the kit and carries the engine.
#![cfg(synctable_single_threaded)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::rc::Rc;
use std::sync::Arc;

use synctable_core::store::{LocalStore, StoreError};
use synctable_kv::{Entry, Indexes, KvBackend, KvBatch, KvSnapshot, KvStore};
use synctable_testkit::{Harness, async_trait, engine_tests, store_tests};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// Moves to no other thread.
#[derive(Debug, Clone, Default)]
struct Local(Rc<RefCell<Rc<Map>>>);

#[derive(Debug)]
struct Seen(Rc<Map>);

impl KvBackend for Local {
    fn snapshot(&self) -> Result<Box<dyn KvSnapshot + '_>, StoreError> {
        Ok(Box::new(Seen(Rc::clone(&self.0.borrow()))))
    }

    fn write(&self, batch: &KvBatch) -> Result<(), StoreError> {
        let mut held = self.0.borrow_mut();
        // A snapshot that is read keeps its own.
        let map = Rc::make_mut(&mut held);
        for (key, value) in batch.writes() {
            match value {
                Some(value) => map.insert(key.to_vec(), value.to_vec()),
                None => map.remove(key),
            };
        }
        Ok(())
    }

    fn indexes(&self) -> Indexes {
        Indexes::Ordered
    }
}

impl KvSnapshot for Seen {
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
        let mut entries = self.scan(keys, usize::MAX)?;
        entries.reverse();
        entries.truncate(limit);
        Ok(entries)
    }
}

#[derive(Default)]
struct OneThread;

#[async_trait(?Send)]
impl Harness for OneThread {
    async fn open(&self) -> Result<Arc<dyn LocalStore>, StoreError> {
        Ok(Arc::new(KvStore::open(Local::default())?))
    }
}

mod store {
    use super::*;

    store_tests!(OneThread; base, changes, model, concurrent, cancel, schema_change);
}

mod engine {
    use super::*;

    engine_tests!(OneThread);
}
