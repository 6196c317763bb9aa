//! The store of the example passes the conformance kit: this is the whole test of a store of your own.
#![allow(clippy::expect_used, reason = "tests fail by panicking")]

#[expect(dead_code, reason = "an example has a main function, too")]
#[path = "../examples/custom_store.rs"]
mod custom_store;

use std::sync::Arc;

use custom_store::LogFile;
use synctable::kv::KvStore;
use synctable::store::{LocalStore, StoreError};
use synctable_testkit::{Harness, async_trait, store_tests};

/// The place of one store.
struct Folder(tempfile::TempDir);

impl Default for Folder {
    fn default() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }
}

#[async_trait]
impl Harness for Folder {
    async fn open(&self) -> Result<Arc<dyn LocalStore>, StoreError> {
        let engine = LogFile::open(&self.0.path().join("store.log")).expect("the log opens");
        Ok(Arc::new(KvStore::open(engine)?))
    }
}

store_tests!(Folder; base, model, concurrent, persistent, cancel);
