//! The redb store passes the conformance kit.
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
use synctable_stories::store_tests;
use synctable_testkit::{FolderHarness, InFolder, async_trait};

struct Redb;

#[async_trait]
impl FolderHarness for Redb {
    async fn open_in(folder: &Path) -> Result<Arc<dyn LocalStore>, StoreError> {
        Ok(Arc::new(RedbStore::open(folder.join("store.redb"))?))
    }
}

store_tests!(InFolder<Redb>; base, changes, long_keys, model, concurrent, unordered, contexts, cancel, schema_change, persistent, kill, fault, power_cut);
