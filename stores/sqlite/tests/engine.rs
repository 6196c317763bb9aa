//! The SQLite store carries the sync engine: the engine suite of the conformance kit.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::sync::Arc;

use synctable_core::store::{LocalStore, StoreError};
use synctable_sqlite::SqliteStore;
use synctable_stories::engine_tests;
use synctable_testkit::{Harness, async_trait, quick_folder};
use tempfile::TempDir;

struct Sqlite(TempDir);

impl Default for Sqlite {
    fn default() -> Self {
        Self(quick_folder())
    }
}

#[async_trait]
impl Harness for Sqlite {
    async fn open(&self) -> Result<Arc<dyn LocalStore>, StoreError> {
        Ok(Arc::new(SqliteStore::open(self.0.path().join("store.db"))?))
    }
}

engine_tests!(Sqlite);
