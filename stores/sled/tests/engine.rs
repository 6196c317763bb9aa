//! The sled store carries the sync engine: the engine suite of the conformance kit.
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
use synctable_stories::engine_tests;
use synctable_testkit::{FolderHarness, InFolder, async_trait};

struct Sled;

#[async_trait]
impl FolderHarness for Sled {
    async fn open_in(folder: &Path) -> Result<Arc<dyn LocalStore>, StoreError> {
        Ok(Arc::new(SledStore::open(folder.join("store.sled"))?))
    }
}

engine_tests!(InFolder<Sled>);
