//! A store with the dangers that ours lack passes the conformance kit and carries the engine: see [`FarStore`].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::sync::Arc;

use synctable_core::store::{LocalStore, StoreError};
use synctable_memory::MemoryStore;
use synctable_stories::{engine_tests, store_tests};
use synctable_testkit::{FarStore, Harness, async_trait};

#[derive(Default)]
struct Far;

#[cfg_attr(not(synctable_single_threaded), async_trait)]
#[cfg_attr(synctable_single_threaded, async_trait(?Send))]
impl Harness for Far {
    async fn open(&self) -> Result<Arc<dyn LocalStore>, StoreError> {
        Ok(Arc::new(FarStore::new(MemoryStore::new())))
    }
}

store_tests!(Far; base, changes, long_keys, model, concurrent, unordered, contexts, cancel, schema_change);
engine_tests!(Far);
