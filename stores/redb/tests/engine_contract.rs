//! redb as a key-value engine: its contract, and what it forgets.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::fs;

use synctable_core::store::{Durability, StoreErrorKind};
use synctable_kv::{KvBackend, KvBatch};
use synctable_redb::RedbStore;
use synctable_testkit::kv::check_engine;

#[test]
fn the_engine_keeps_its_contract() {
    let folder = tempfile::tempdir().unwrap();
    let engine = RedbStore::builder(folder.path().join("a.redb"))
        .backend()
        .unwrap();
    check_engine(&engine);
}

const SECRET: &[u8] = b"what nobody may find again";

fn holds_secret(path: &std::path::Path) -> bool {
    let bytes = fs::read(path).unwrap();
    bytes.windows(SECRET.len()).any(|window| window == SECRET)
}

#[test]
fn what_is_forgotten_leaves_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.redb");
    let engine = RedbStore::builder(&path).backend().unwrap();
    for round in 0..50_u32 {
        let mut batch = KvBatch::new(Durability::Immediate);
        for n in 0..40_u32 {
            let key = (round * 40 + n).wrapping_mul(2_654_435_761).to_be_bytes();
            // Secrets lie beside what stays.
            let value = if n % 3 == 0 {
                &b"what may be known"[..]
            } else {
                SECRET
            };
            batch.put(key.to_vec(), [value, &[7; 300]].concat());
        }
        batch.write_to(&engine).unwrap();
    }
    assert!(holds_secret(&path));
    let mut write = engine.begin_write(Durability::Immediate).unwrap();
    for n in (0..2000_u32).filter(|n| n % 40 % 3 != 0) {
        let key = n.wrapping_mul(2_654_435_761).to_be_bytes();
        write.delete(&key).unwrap();
    }
    write.put(b"kept", b"1").unwrap();
    write.commit().unwrap();
    {
        let _reader = engine.snapshot().unwrap();
        let error = engine.forget().unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Locked, "{error}");
    }
    engine.forget().unwrap();
    assert!(!holds_secret(&path), "in the open file");
    let snapshot = engine.snapshot().unwrap();
    assert_eq!(&*snapshot.get(b"kept").unwrap().unwrap(), b"1");
    drop(snapshot);
    engine.close().unwrap();
    assert!(!holds_secret(&path));
}
