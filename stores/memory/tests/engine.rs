//! The memory store carries the sync engine: the engine suite of the conformance kit.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::sync::Arc;

use synctable_core::store::{LocalStore, StoreError};
use synctable_memory::MemoryStore;
use synctable_stories::engine_tests;
use synctable_testkit::engine::faults::each_call_fails_in_every_way;
use synctable_testkit::{Harness, async_trait, run};

#[derive(Default)]
struct Memory;

#[cfg_attr(not(synctable_single_threaded), async_trait)]
#[cfg_attr(synctable_single_threaded, async_trait(?Send))]
impl Harness for Memory {
    async fn open(&self) -> Result<Arc<dyn LocalStore>, StoreError> {
        Ok(Arc::new(MemoryStore::new()))
    }
}

engine_tests!(Memory);

#[test]
fn a_call_that_fails_once_in_any_way_disturbs_nothing() {
    run(each_call_fails_in_every_way(&Memory, false));
}

#[test]
fn a_store_that_fails_in_any_way_is_whole_when_opened_again() {
    run(each_call_fails_in_every_way(&Memory, true));
}
