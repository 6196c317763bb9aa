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
use std::sync::{Arc, Mutex};

use synctable_core::query::Direction;
use synctable_core::store::{Durability, LocalStore, StoreError};
use synctable_kv::{
    Buffered, Bytes, Indexes, KvBackend, KvBatch, KvEntries, KvRead, KvStore, KvWrite,
};
use synctable_stories::{engine_tests, store_tests};
use synctable_testkit::{Harness, async_trait};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// Moves to no other thread.
#[derive(Debug, Default)]
struct Local {
    map: Rc<RefCell<Rc<Map>>>,
    turn: Mutex<()>,
}

#[derive(Debug)]
struct Seen(Rc<Map>);

impl KvBackend for Local {
    fn snapshot(&self) -> Result<Box<dyn KvRead + '_>, StoreError> {
        Ok(Box::new(Seen(Rc::clone(&self.map.borrow()))))
    }

    fn begin_write(&self, durability: Durability) -> Result<Box<dyn KvWrite + '_>, StoreError> {
        let apply = |batch: &KvBatch| {
            let mut held = self.map.borrow_mut();
            // A snapshot that is read keeps its own.
            let map = Rc::make_mut(&mut held);
            for (key, value) in batch.writes() {
                match value {
                    Some(value) => map.insert(key.to_vec(), value.to_vec()),
                    None => map.remove(key),
                };
            }
            Ok(())
        };
        Buffered::begin(&self.turn, durability, || self.snapshot(), apply)
    }

    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn indexes(&self) -> Indexes {
        Indexes::Ordered
    }
}

impl KvRead for Seen {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes<'_>>, StoreError> {
        Ok(self.0.get(key).map(|value| value.as_slice().into()))
    }

    fn entries(&self, keys: Range<&[u8]>, direction: Direction) -> KvEntries<'_> {
        if keys.is_empty() {
            return Box::new(std::iter::empty());
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

    store_tests!(OneThread; base, changes, long_keys, model, concurrent, unordered, contexts, cancel, schema_change);
}

mod engine {
    use super::*;

    engine_tests!(OneThread);
}
