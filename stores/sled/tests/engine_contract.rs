//! sled as a key-value engine: its contract, and what it cannot do.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use synctable_core::store::StoreErrorKind;
use synctable_kv::KvBackend;
use synctable_sled::SledStore;
use synctable_testkit::kv::check_engine;

#[test]
fn the_engine_keeps_its_contract() {
    let folder = tempfile::tempdir().unwrap();
    let engine = SledStore::builder(folder.path().join("a.sled"))
        .backend()
        .unwrap();
    check_engine(&engine);
    // Its log keeps what was removed for a while that it chooses.
    let error = engine.forget().unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unsupported);
    assert!(error.to_string().contains("copy the store"), "{error}");
}
