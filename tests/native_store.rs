//! The store of the example, which implements `LocalStore` itself, passes the conformance kit.
#[path = "../examples/native_store/store.rs"]
mod journal;

use std::path::Path;
use std::sync::Arc;

use journal::Journal;
use synctable::store::{LocalStore, StoreError};
use synctable_stories::{engine_tests, store_tests};
use synctable_testkit::{FolderHarness, InFolder, async_trait};

struct Mine;

#[async_trait]
impl FolderHarness for Mine {
    async fn open_in(folder: &Path) -> Result<Arc<dyn LocalStore>, StoreError> {
        Ok(Arc::new(Journal::open(&folder.join("app.journal"))?))
    }
}

store_tests!(InFolder<Mine>; base, changes, long_keys, model, concurrent, unordered, contexts, cancel, schema_change, persistent, kill, fault, power_cut);

/// The sync engine over it.
mod engine {
    use super::{InFolder, Mine, engine_tests};

    engine_tests!(InFolder<Mine>);
}
