//! The store of the example passes the conformance kit: this is the whole test of a store of your own.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

#[path = "../examples/custom_store/engine.rs"]
mod fjall_engine;

use std::path::Path;
use std::sync::Arc;

use fjall_engine::Fjall;
use synctable::kv::KvStore;
use synctable::store::{LocalStore, StoreError};
use synctable_testkit::kv::check_engine;
use synctable_testkit::{FolderHarness, InFolder, async_trait, engine_tests, store_tests};

struct Mine;

#[async_trait]
impl FolderHarness for Mine {
    async fn open_in(folder: &Path) -> Result<Arc<dyn LocalStore>, StoreError> {
        Ok(Arc::new(KvStore::open(Fjall::open(
            &folder.join("store"),
        )?)?))
    }
}

store_tests!(InFolder<Mine>; base, changes, long_keys, model, concurrent, unordered, contexts, cancel, schema_change, persistent, kill, fault, power_cut);

#[test]
fn the_engine_keeps_its_contract() {
    let folder = tempfile::tempdir().unwrap();
    check_engine(&Fjall::open(&folder.path().join("store")).unwrap());
}

/// The sync engine over it.
mod engine {
    use super::{InFolder, Mine, engine_tests};

    engine_tests!(InFolder<Mine>);
}

/// The same store with its records sealed: nothing of the engine has to know of it.
mod sealed {
    use synctable::encrypted::{RawKey, Sealed};

    use super::{
        Arc, Fjall, FolderHarness, InFolder, KvStore, LocalStore, Path, StoreError, async_trait,
        store_tests,
    };

    struct Mine;

    #[async_trait]
    impl FolderHarness for Mine {
        async fn open_in(folder: &Path) -> Result<Arc<dyn LocalStore>, StoreError> {
            let engine = Fjall::open(&folder.join("store"))?;
            let key = RawKey::from_bytes([7; 32]);
            let sealed = Sealed::builder(engine).raw_key(key).create(true).open()?;
            Ok(Arc::new(KvStore::open(sealed)?))
        }
    }

    store_tests!(InFolder<Mine>; base, changes, long_keys, model, concurrent, unordered, contexts, cancel, schema_change, persistent, kill, fault, power_cut);
}
