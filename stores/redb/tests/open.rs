//! What is opened, what is made and what is refused.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use redb::{Database, TableDefinition};
use synctable_core::Record;
use synctable_core::store::{LocalStore, StoreError, StoreErrorKind};
use synctable_redb::RedbStore;
use synctable_testkit::file_tests;
use synctable_testkit::files::{FileStore, assert_one_line, closed_store, refused};

struct Redb;

impl FileStore for Redb {
    fn open_at(path: &Path, create: bool) -> Result<Arc<dyn LocalStore>, StoreError> {
        Ok(Arc::new(RedbStore::builder(path).create(create).open()?))
    }
}

file_tests!(Redb);

#[cfg(unix)]
#[tokio::test]
async fn lost_files_take_no_writes() {
    synctable_testkit::files::lost_files_take_no_writes::<Redb>().await;
}

#[test]
fn databases_of_others_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.redb");
    let other = Database::create(&path).unwrap();
    drop(other);
    assert_eq!(refused::<Redb>(&path).kind(), StoreErrorKind::NotAStore);
    let other = Database::open(&path).unwrap();
    let write = other.begin_write().unwrap();
    let numbers: TableDefinition<u64, u64> = TableDefinition::new("synctable");
    write.open_table(numbers).unwrap();
    write.commit().unwrap();
    drop(other);
    assert_eq!(refused::<Redb>(&path).kind(), StoreErrorKind::NotAStore);
}

#[tokio::test]
async fn a_newer_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.redb");
    closed_store::<Redb>(&path).await;
    let entries: TableDefinition<&[u8], &[u8]> = TableDefinition::new("synctable");
    let newer = Database::open(&path).unwrap();
    let write = newer.begin_write().unwrap();
    let format = synctable_kv::Key::Format.encode();
    write
        .open_table(entries)
        .unwrap()
        .insert(&*format, &b"synctable kv 9999"[..])
        .unwrap();
    write.commit().unwrap();
    drop(newer);
    assert_eq!(refused::<Redb>(&path).kind(), StoreErrorKind::FormatTooNew);
}

#[tokio::test]
async fn truncated_stores_are_refused_and_stay_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.redb");
    closed_store::<Redb>(&path).await;
    let whole = fs::read(&path).unwrap();
    for length in [
        1,
        8,
        9,
        319,
        320,
        512,
        4095,
        4096,
        whole.len() / 2,
        whole.len() - 4096,
        whole.len() - 1,
    ] {
        fs::write(&path, &whole[..length]).unwrap();
        let kind = refused::<Redb>(&path).kind();
        let cut_short = length >= 9 && kind == StoreErrorKind::Corrupt;
        let nothing_left = length < 320 && kind == StoreErrorKind::NotAStore;
        assert!(cut_short || nothing_left, "{length} bytes: {kind:?}");
    }
}

/// Opens the store, reads all of it, writes and closes.
async fn used(path: &Path, check: bool) -> Result<Vec<Record>, StoreError> {
    let store = RedbStore::builder(path).check(check).open()?;
    synctable_testkit::files::used(&store).await
}

/// Whatever byte of a file is wrong: an error or an answer, and the process goes on.
#[tokio::test]
async fn damaged_stores_end_in_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.redb");
    closed_store::<Redb>(&path).await;
    let whole = fs::read(&path).unwrap();
    let mut refused = 0;
    // Headers are dense in meaning; of the rest some.
    let places = (0..whole.len()).filter(|at| *at < 320 || at % 4096 < 32 || at % 211 == 0);
    for at in places.filter(|at| whole[*at] != 0) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0xff;
        fs::write(&path, &bytes).unwrap();
        if let Err(error) = RedbStore::open(&path) {
            let same = fs::read(&path).unwrap() == bytes;
            assert!(same, "{at}: refused ({error}), but changed");
        }
        fs::write(&path, &bytes).unwrap();
        if let Err(error) = used(&path, false).await {
            refused += 1;
            assert_one_line(&error);
        }
    }
    assert!(refused > 30, "{refused} refused");
}

#[tokio::test]
async fn damage_that_looks_like_data_is_found_by_a_check() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.redb");
    closed_store::<Redb>(&path).await;
    let whole = fs::read(&path).unwrap();
    for found in [b"Milk", b"Silk"] {
        let mut bytes = whole.clone();
        let places = (0..whole.len() - 4).filter(|at| whole[*at..].starts_with(b"Milk"));
        places.for_each(|at| bytes[at..at + 4].copy_from_slice(found));
        fs::write(&path, &bytes).unwrap();
        let checked = used(&path, true).await;
        if found == b"Milk" {
            assert_eq!(checked.unwrap().len(), 1);
        } else {
            assert_eq!(checked.unwrap_err().kind(), StoreErrorKind::Corrupt);
            assert_eq!(used(&path, false).await.unwrap().len(), 1);
        }
    }
}
