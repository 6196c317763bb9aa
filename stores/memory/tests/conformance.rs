//! The memory store passes the conformance kit.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::sync::Arc;

use synctable_core::store::{LocalStore, StoreError};
use synctable_memory::MemoryStore;
use synctable_stories::store_tests;
use synctable_testkit::{Harness, async_trait};

#[derive(Default)]
struct Memory;

#[cfg_attr(not(synctable_single_threaded), async_trait)]
#[cfg_attr(synctable_single_threaded, async_trait(?Send))]
impl Harness for Memory {
    async fn open(&self) -> Result<Arc<dyn LocalStore>, StoreError> {
        Ok(Arc::new(MemoryStore::new()))
    }
}

store_tests!(Memory; base, changes, long_keys, model, concurrent, unordered, contexts, cancel, schema_change);
