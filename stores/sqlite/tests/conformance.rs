//! The SQLite store passes the conformance kit.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::path::Path;
use std::sync::Arc;

use synctable_core::store::{LocalStore, StoreError};
use synctable_sqlite::SqliteStore;
use synctable_stories::store_tests;
use synctable_testkit::{FolderHarness, InFolder, async_trait};

struct Sqlite;

#[async_trait]
impl FolderHarness for Sqlite {
    async fn open_in(folder: &Path) -> Result<Arc<dyn LocalStore>, StoreError> {
        Ok(Arc::new(SqliteStore::open(folder.join("store.db"))?))
    }
}

store_tests!(InFolder<Sqlite>; base, changes, long_keys, model, concurrent, unordered, contexts, cancel, schema_change, persistent, kill, fault, power_cut, processes);

/// The same with every commit on the writing thread and one connection for all reads.
mod without_inline_commits {
    use super::*;

    struct Threaded;

    #[async_trait]
    impl FolderHarness for Threaded {
        async fn open_in(folder: &Path) -> Result<Arc<dyn LocalStore>, StoreError> {
            let builder = SqliteStore::builder(folder.join("store.db"));
            Ok(Arc::new(builder.inline_commits(false).readers(1).open()?))
        }
    }

    store_tests!(InFolder<Threaded>; base, changes, long_keys, model, concurrent, unordered, contexts, cancel, schema_change, persistent, kill, fault, power_cut, processes);
}
