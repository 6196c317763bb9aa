//! Stores as earlier releases left them, in the files of their engines: they open for ever, and are brought forward in place.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod dump;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use synctable_core::store::{Durability, StoreErrorKind};
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
    let mut batch = KvBatch::new(Durability::Immediate);
    batch.put(Key::Format.encode(), b"synctable kv 1".to_vec());
    for n in 0..RECORDS {
        let id = &format!("r{n}");
        let key = Key::Record { table: "todo", id };
        batch.put(key.encode(), n.to_string().into_bytes());
    }
    batch.write_to(sealed).unwrap();
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

type Contents = BTreeMap<Vec<u8>, Vec<u8>>;

fn contents(engine: &MemoryBackend) -> Contents {
    dump::everything(engine).into_iter().collect()
}

fn engine_of(contents: &Contents) -> MemoryBackend {
    let engine = MemoryBackend::new();
    let mut batch = KvBatch::new(Durability::Immediate);
    for (key, value) in contents {
        batch.put(key.clone(), value.clone());
    }
    batch.write_to(&engine).unwrap();
    engine
}

fn refused(contents: &Contents) -> bool {
    let opened = builder(engine_of(contents), RAW).open();
    opened.is_err_and(|error| error.kind() == StoreErrorKind::Tampered)
}

const HEADER: &[u8] = &[0];
const MANIFEST: &[u8] = &[0, 1];

#[test]
fn only_a_whole_store_of_0_1_is_brought_forward() {
    for name in [ROTATING, "../vectors/store-v1.dump"] {
        let first = contents(&dump::read(&fixture(name)));
        let places: Vec<_> = first.keys().filter(|it| it.len() > 2).collect();
        for place in places.iter().step_by(7) {
            let mut less = first.clone();
            let value = less.remove(*place).unwrap();
            assert!(refused(&less), "an entry is gone");
            less.insert([place.as_slice(), &[0]].concat(), value.clone());
            assert!(refused(&less), "it is elsewhere");
            less = first.clone();
            let other = less[places[usize::from(*place == places[0])]].clone();
            less.insert((*place).clone(), other);
            assert!(refused(&less), "another one is in its place");
        }
    }
}

#[test]
fn a_header_of_0_1_is_refused_once_the_store_was_brought_forward() {
    let first = contents(&dump::read(&fixture("../vectors/store-v1.dump")));
    let engine = engine_of(&first);
    let sealed = builder(engine.clone(), RAW).open().unwrap();
    let known = sealed.anchor().unwrap();
    let forward = contents(&engine);
    assert_eq!(forward[HEADER][17], 2);
    let mut mixed = forward.clone();
    mixed.insert(HEADER.to_vec(), first[HEADER].clone());
    assert!(refused(&mixed), "the header of 0.1 alone");
    let mut renamed = forward.clone();
    renamed.get_mut(HEADER).unwrap()[17] = 1;
    assert!(builder(engine_of(&renamed), RAW).open().is_err());
    let mut mixed = forward.clone();
    mixed.insert(MANIFEST.to_vec(), first[MANIFEST].clone());
    assert!(refused(&mixed), "the manifest of 0.1 alone");
    // Both of 0.1, beside entries that were written since.
    dump::fill(&sealed, 5);
    let mut mixed = contents(&engine);
    for place in [HEADER, MANIFEST] {
        mixed.insert(place.to_vec(), first[place].clone());
    }
    assert!(refused(&mixed));
    // The whole store of that time holds together; who knows how far it came sees it.
    builder(engine_of(&first), RAW).open().unwrap();
    let old = builder(engine_of(&first), RAW).at_least(known).open();
    assert_eq!(old.unwrap_err().kind(), StoreErrorKind::Tampered);
    // 0.1 refuses what it does not know.
    assert!(forward[HEADER].starts_with(b"synctable sealed \x02"));
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
