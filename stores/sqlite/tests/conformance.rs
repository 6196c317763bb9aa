//! The SQLite store passes the conformance kit.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::sync::Arc;

use synctable_core::store::{LocalStore, StoreError};
use synctable_sqlite::SqliteStore;
use synctable_testkit::{Harness, async_trait, store_tests};
use tempfile::TempDir;

struct Sqlite(TempDir);

impl Default for Sqlite {
    fn default() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
}

#[async_trait]
impl Harness for Sqlite {
    async fn open(&self) -> Result<Arc<dyn LocalStore>, StoreError> {
        Ok(Arc::new(SqliteStore::open(self.0.path().join("store.db"))?))
    }
}

store_tests!(Sqlite; base, model, concurrent, persistent, cancel);

/// The same with every commit on the writing thread and one connection for all reads.
mod without_inline_commits {
    use super::*;

    #[derive(Default)]
    struct Threaded(Sqlite);

    #[async_trait]
    impl Harness for Threaded {
        async fn open(&self) -> Result<Arc<dyn LocalStore>, StoreError> {
            let builder = SqliteStore::builder(self.0.0.path().join("store.db"));
            Ok(Arc::new(builder.inline_commits(false).readers(1).open()?))
        }
    }

    store_tests!(Threaded; base, model, concurrent, persistent, cancel);
}
