//! The store of the example passes the conformance kit: this is the whole test of a store of your own.
#[expect(dead_code, reason = "an example has a main function, too")]
#[path = "../examples/custom_store.rs"]
mod custom_store;

use std::io;
use std::path::Path;
use std::sync::Arc;

use custom_store::LogFile;
use synctable::kv::KvStore;
use synctable::store::{LocalStore, StoreError, StoreErrorKind};
use synctable_testkit::{FolderHarness, InFolder, async_trait, store_tests};

struct Mine;

#[async_trait]
impl FolderHarness for Mine {
    async fn open_in(folder: &Path) -> Result<Arc<dyn LocalStore>, StoreError> {
        let engine = LogFile::open(&folder.join("store.log")).map_err(|error| {
            let kind = match error.kind() {
                io::ErrorKind::WouldBlock => StoreErrorKind::Locked,
                _ => StoreErrorKind::Io,
            };
            StoreError::new(kind, "the log does not open").with_source(error)
        })?;
        Ok(Arc::new(KvStore::open(engine)?))
    }
}

store_tests!(InFolder<Mine>; base, model, concurrent, cancel, persistent, kill, fault, power_cut);
