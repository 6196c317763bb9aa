//! The redb store carries the sync engine: the engine suite of the conformance kit.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::path::Path;
use std::sync::Arc;

use synctable_core::store::{LocalStore, StoreError};
use synctable_redb::RedbStore;
use synctable_stories::engine_tests;
use synctable_testkit::{FolderHarness, InFolder, async_trait};

struct Redb;

#[async_trait]
impl FolderHarness for Redb {
    async fn open_in(folder: &Path) -> Result<Arc<dyn LocalStore>, StoreError> {
        Ok(Arc::new(RedbStore::open(folder.join("store.redb"))?))
    }
}

engine_tests!(InFolder<Redb>);
