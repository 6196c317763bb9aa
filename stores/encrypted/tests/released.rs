//! Stores as earlier releases left them, in the files of their engines: they open for ever, and are brought forward in place.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod dump;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use synctable_encrypted::{Argon2Params, Sealed};
use synctable_kv::{Entry, Key, KvBackend, KvBatch};
use synctable_memory::MemoryBackend;
use synctable_redb::RedbStore;
use synctable_sqlite::SqliteKv;

const RAW: &str = "raw:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const WORDS: &str = "passphrase:Gr\u{fc}\u{df}e";
const RECORDS: usize = 300;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

fn engine(path: &Path) -> Arc<dyn KvBackend> {
    match path.extension().unwrap().to_str().unwrap() {
        "redb" => Arc::new(RedbStore::builder(path).backend().unwrap()),
        _ => Arc::new(SqliteKv::open(path).unwrap()),
    }
}

fn builder<B: KvBackend>(engine: B, secret: &str) -> synctable_encrypted::SealedBuilder<B> {
    Sealed::builder(engine)
        .secret(dump::secret(secret))
        .kdf(Argon2Params::LEAST)
}

/// Enough for a rotation to take several writes.
fn fill<B: KvBackend>(sealed: &Sealed<B>) {
    let mut batch = KvBatch::new(synctable_core::store::Durability::Immediate);
    batch.put(Key::Format.encode(), b"synctable kv 1".to_vec());
    for n in 0..RECORDS {
        let id = &format!("r{n}");
        let key = Key::Record { table: "todo", id };
        batch.put(key.encode(), n.to_string().into_bytes());
    }
    sealed.write(&batch).unwrap();
}

fn expected() -> Vec<Entry> {
    let engine = MemoryBackend::new();
    let sealed = builder(engine, RAW).create(true).open().unwrap();
    fill(&sealed);
    dump::everything(&sealed)
}

/// What each store of an engine is opened with.
const FILES: [(&str, &str); 2] = [("0.1.redb", RAW), ("0.1.sqlite", WORDS)];
/// A store whose rotation was cut off, as a dump.
const ROTATING: &str = "0.1-rotating.dump";

fn whole<B: KvBackend>(sealed: &Sealed<B>) {
    assert_eq!(dump::everything(sealed), expected());
    let report = sealed.verify(None).unwrap();
    assert!(report.is_sound(), "{report:?}");
}

#[test]
fn stores_of_0_1_open_and_go_on() {
    for (name, secret) in FILES {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::copy(fixture(name), &path).unwrap();
        for _ in 0..2 {
            let sealed = builder(engine(&path), secret).open().unwrap();
            whole(&sealed);
            sealed.rotate(&dump::secret(secret), |_| {}).unwrap();
            whole(&sealed);
            sealed.close().unwrap();
        }
    }
}

#[test]
fn a_rotation_that_0_1_began_is_finished() {
    let engine = dump::read(&fixture(ROTATING));
    let sealed = builder(engine.clone(), RAW).open().unwrap();
    assert!(sealed.is_rotating());
    whole(&sealed);
    drop(sealed);
    let sealed = builder(engine.clone(), RAW).open().unwrap();
    whole(&sealed);
    sealed.rotate(&dump::secret(RAW), |_| {}).unwrap();
    assert!(!sealed.is_rotating());
    whole(&builder(engine, RAW).open().unwrap());
}

/// Made the fixtures; a fixture is never made again.
#[test]
#[ignore = "writes fixtures"]
fn write_the_fixtures() {
    for (name, secret) in FILES {
        let path = fixture(name);
        assert!(!path.exists(), "a fixture stays as it is");
        let sealed = builder(engine(&path), secret).create(true).open().unwrap();
        fill(&sealed);
        sealed.close().unwrap();
    }
    let engine = MemoryBackend::new();
    let sealed = builder(engine.clone(), RAW).create(true).open().unwrap();
    fill(&sealed);
    let mut on_the_way = None;
    let progress = |_| {
        on_the_way.get_or_insert_with(|| dump::everything(&engine));
    };
    sealed.rotate(&dump::secret(RAW), progress).unwrap();
    dump::write(&fixture(ROTATING), &on_the_way.unwrap());
}
