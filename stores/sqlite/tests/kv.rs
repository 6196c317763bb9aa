//! Keys and values in an SQLite file: the conformance kit, and what is opened and refused.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;
use synctable_core::store::{Durability, LocalStore, StoreError, StoreErrorKind};
use synctable_kv::{KvBackend, KvBatch, KvReadExt, KvStore};
use synctable_sqlite::{SqliteKv, SqliteStore};
use synctable_stories::store_tests;
use synctable_testkit::files::{FileStore, assert_one_line, closed_store, refused, used};
use synctable_testkit::{FolderHarness, InFolder, async_trait, file_tests};

struct Kv;

#[async_trait]
impl FolderHarness for Kv {
    async fn open_in(folder: &Path) -> Result<Arc<dyn LocalStore>, StoreError> {
        let backend = SqliteKv::open(folder.join("store.db"))?;
        Ok(Arc::new(KvStore::open(backend)?))
    }
}

store_tests!(InFolder<Kv>; base, changes, long_keys, model, concurrent, unordered, contexts, cancel, schema_change, persistent, kill, fault, power_cut);

/// The sync engine over it.
mod engine {
    use super::{InFolder, Kv};

    synctable_stories::engine_tests!(InFolder<Kv>);
}

impl FileStore for Kv {
    fn open_at(path: &Path, create: bool) -> Result<Arc<dyn LocalStore>, StoreError> {
        let backend = SqliteKv::builder(path).create(create).open()?;
        Ok(Arc::new(KvStore::open(backend)?))
    }
}

file_tests!(Kv);

#[cfg(unix)]
#[tokio::test]
async fn lost_files_take_no_writes() {
    synctable_testkit::files::lost_files_take_no_writes::<Kv>().await;
}

/// The other kind of file.
struct Rows;

impl FileStore for Rows {
    fn open_at(path: &Path, create: bool) -> Result<Arc<dyn LocalStore>, StoreError> {
        Ok(Arc::new(SqliteStore::builder(path).create(create).open()?))
    }
}

fn put(backend: &SqliteKv, durability: Durability, key: &[u8], value: &[u8]) {
    let mut batch = KvBatch::new(durability);
    batch.put(key.to_vec(), value.to_vec());
    batch.write_to(backend).unwrap();
}

#[test]
fn the_two_kinds_of_files_refuse_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    drop(SqliteStore::open(&path).unwrap());
    assert_eq!(refused::<Kv>(&path).kind(), StoreErrorKind::NotAStore);
    fs::remove_file(&path).unwrap();
    SqliteKv::open(&path).unwrap().close().unwrap();
    assert_eq!(refused::<Rows>(&path).kind(), StoreErrorKind::NotAStore);
}

#[test]
fn short_and_newer_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    SqliteKv::open(&path).unwrap().close().unwrap();
    let whole = fs::read(&path).unwrap();
    for length in [512, 4096, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        assert_eq!(refused::<Kv>(&path).kind(), StoreErrorKind::Corrupt);
    }
    fs::write(&path, &whole).unwrap();
    let newer = Connection::open(&path).unwrap();
    newer.pragma_update(None, "user_version", 9999).unwrap();
    newer.close().unwrap();
    assert_eq!(refused::<Kv>(&path).kind(), StoreErrorKind::FormatTooNew);
}

#[test]
fn a_second_opener_is_refused_at_any_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let first = SqliteKv::open(&path).unwrap();
    // Before the first write, after it, and when the write-ahead log is there.
    for value in 0..3 {
        let error = SqliteKv::open(&path).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Locked, "{error}");
        put(&first, Durability::Immediate, b"k", &[value]);
    }
    drop(first);
    let second = SqliteKv::open(&path).unwrap();
    let value = second.snapshot().unwrap().copy_of(b"k").unwrap();
    assert_eq!(value, Some(vec![2]));
}

/// A second snapshot of one thread must not wait for the first.
#[test]
fn snapshots_do_not_wait_for_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let backend = SqliteKv::open(folder.path().join("a.db")).unwrap();
    put(&backend, Durability::Eventual, b"k", b"v");
    let (a, b) = (backend.snapshot().unwrap(), backend.snapshot().unwrap());
    assert_eq!(a.get(b"k").unwrap(), b.get(b"k").unwrap());
    let back = a.scan_back(b"a"..b"z", 1).unwrap();
    assert_eq!(back, b.scan(b"a"..b"z", 1).unwrap());
}

#[test]
fn what_is_deleted_or_replaced_is_not_left_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let backend = SqliteKv::open(&path).unwrap();
    let secret = b"a word that nobody is to read";
    put(&backend, Durability::Immediate, b"deleted", secret);
    put(&backend, Durability::Immediate, b"replaced", secret);
    let mut batch = KvBatch::new(Durability::Immediate);
    batch.delete(b"deleted".to_vec());
    batch.put(b"replaced".to_vec(), b"short".to_vec());
    batch.write_to(&backend).unwrap();
    backend.close().unwrap();
    let names: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(names.len(), 1, "a closed file lies alone: {names:?}");
    let bytes = fs::read(&path).unwrap();
    let found = bytes.windows(secret.len()).any(|part| part == secret);
    assert!(!found, "the word is still there");
}

/// Whatever byte of a file is wrong: an error or an answer, never a panic, and the process goes on.
#[tokio::test]
async fn damaged_files_end_in_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    closed_store::<Kv>(&path).await;
    let whole = fs::read(&path).unwrap();
    let mut refused = 0;
    let places = (0..whole.len()).filter(|at| whole[*at] != 0);
    for at in places {
        let mut bytes = whole.clone();
        bytes[at] ^= 0xff;
        fs::write(&path, &bytes).unwrap();
        let outcome = async { used(&KvStore::open(SqliteKv::open(&path)?)?).await };
        if let Err(error) = outcome.await {
            refused += 1;
            assert_one_line(&error);
        }
        let _ = fs::remove_file(folder.path().join("a.db-wal"));
    }
    assert!(refused > 30, "{refused} refused");
}

#[test]
fn the_engine_keeps_its_contract() {
    let folder = tempfile::tempdir().unwrap();
    let engine = SqliteKv::open(folder.path().join("a.db")).unwrap();
    synctable_testkit::kv::check_engine(&engine);
}

/// After a sync the log holds nothing that the file does not.
#[test]
fn what_is_synced_is_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let engine = SqliteKv::open(&path).unwrap();
    put(&engine, Durability::Eventual, b"k", b"in the file now");
    engine.sync().unwrap();
    let bytes = fs::read(&path).unwrap();
    assert!(bytes.windows(15).any(|window| window == b"in the file now"));
}

#[test]
fn what_is_forgotten_leaves_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let engine = SqliteKv::open(&path).unwrap();
    for n in 0..500_u32 {
        let key = n.wrapping_mul(2_654_435_761).to_be_bytes();
        put(
            &engine,
            Durability::Eventual,
            &key,
            &[&b"nobody finds this"[..], &[7; 300]].concat(),
        );
    }
    let mut write = engine.begin_write(Durability::Eventual).unwrap();
    write.delete_range(&[]..&[255; 5]).unwrap();
    write.commit().unwrap();
    let found = || {
        let files = fs::read_dir(folder.path()).unwrap();
        let mut files = files.map(|file| fs::read(file.unwrap().path()).unwrap());
        files.any(|bytes| {
            bytes
                .windows(17)
                .any(|window| window == b"nobody finds this")
        })
    };
    assert!(found(), "in the log");
    engine.forget().unwrap();
    assert!(!found());
}

/// Cut behind the new copy of the file and before that has left the log, or ahead of both, nothing is lost, and the next call finishes.
#[test]
fn a_cut_forgetting_is_done_again() {
    let folder = tempfile::tempdir().unwrap();
    let made = folder.path().join("made.db");
    let engine = SqliteKv::open(&made).unwrap();
    for n in 0..500_u32 {
        let secret = [&b"nobody finds this"[..], &[7; 300]].concat();
        put(&engine, Durability::Eventual, &n.to_be_bytes(), &secret);
    }
    put(&engine, Durability::Eventual, b"kept", b"1");
    let mut write = engine.begin_write(Durability::Immediate).unwrap();
    write.delete_range(&[]..&[1]).unwrap();
    write.commit().unwrap();
    engine.close().unwrap();
    let log = |path: &Path| PathBuf::from(format!("{}-wal", path.display()));
    for copied in [false, true] {
        // As the end of the process leaves it: the file and its log, as they lie there.
        let cut = folder.path().join(format!("cut-{copied}.db"));
        let conn = Connection::open(&made).unwrap();
        conn.execute_batch("PRAGMA wal_autocheckpoint = 0; BEGIN IMMEDIATE; COMMIT")
            .unwrap();
        if copied {
            conn.execute_batch("VACUUM").unwrap();
            assert!(fs::metadata(log(&made)).unwrap().len() > 0, "in the log");
        }
        fs::copy(&made, &cut).unwrap();
        if copied {
            fs::copy(log(&made), log(&cut)).unwrap();
        }
        let engine = SqliteKv::open(&cut).unwrap();
        let kept = |engine: &SqliteKv| {
            let all = engine.snapshot().unwrap().scan(&[]..&[255], 9).unwrap();
            assert_eq!(all, [(b"kept".to_vec(), b"1".to_vec())]);
        };
        kept(&engine);
        engine.forget().unwrap();
        kept(&engine);
        for path in [&cut, &log(&cut)] {
            let bytes = fs::read(path).unwrap_or_default();
            let found = bytes
                .windows(17)
                .any(|window| window == b"nobody finds this");
            assert!(!found, "{}", path.display());
        }
    }
}
