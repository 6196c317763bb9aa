//! A key-value store over an engine that outlives it passes the conformance kit, opening again included.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::sync::Arc;

use synctable_core::store::{LocalStore, StoreCapabilities, StoreError};
use synctable_kv::{KvBackend, KvBatch, KvSnapshot, KvStore};
use synctable_memory::MemoryBackend;
use synctable_testkit::{Harness, async_trait, store_tests};

/// Memory that the harness keeps while the store is closed.
#[derive(Debug, Clone, Default)]
struct Kept(MemoryBackend);

impl KvBackend for Kept {
    fn snapshot(&self) -> Result<Box<dyn KvSnapshot + '_>, StoreError> {
        self.0.snapshot()
    }
    fn write(&self, batch: &KvBatch) -> Result<(), StoreError> {
        self.0.write(batch)
    }
    fn capabilities(&self) -> StoreCapabilities {
        self.0.capabilities().with_persistent(true)
    }
}

#[derive(Default)]
struct Reopened(Kept);

#[async_trait]
impl Harness for Reopened {
    async fn open(&self) -> Result<Arc<dyn LocalStore>, StoreError> {
        Ok(Arc::new(KvStore::open(self.0.clone())?))
    }
}

store_tests!(Reopened; base, model, concurrent, persistent, cancel);
