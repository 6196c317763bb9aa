//! The sled store passes the conformance kit.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::path::Path;
use std::sync::Arc;

use synctable_core::store::{LocalStore, StoreError};
use synctable_sled::SledStore;
use synctable_stories::store_tests;
use synctable_testkit::{FolderHarness, InFolder, async_trait};

struct Sled;

#[async_trait]
impl FolderHarness for Sled {
    async fn open_in(folder: &Path) -> Result<Arc<dyn LocalStore>, StoreError> {
        Ok(Arc::new(SledStore::open(folder.join("store.sled"))?))
    }
}

store_tests!(InFolder<Sled>; base, changes, long_keys, model, concurrent, unordered, contexts, cancel, schema_change, persistent, kill, fault, power_cut);
