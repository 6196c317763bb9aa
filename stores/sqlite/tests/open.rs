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

use rusqlite::Connection;
use synctable_core::store::{LocalStore, StoreError, StoreErrorKind};
use synctable_sqlite::SqliteStore;
use synctable_testkit::file_tests;
use synctable_testkit::files::{FileStore, assert_one_line, closed_store, refused, used};

struct Sqlite;

impl FileStore for Sqlite {
    fn open_at(path: &Path, create: bool) -> Result<Arc<dyn LocalStore>, StoreError> {
        Ok(Arc::new(SqliteStore::builder(path).create(create).open()?))
    }
}

file_tests!(Sqlite);

#[cfg(unix)]
#[tokio::test]
async fn lost_files_take_no_writes() {
    synctable_testkit::files::lost_files_take_no_writes::<Sqlite>().await;
}

#[test]
fn databases_of_others_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    for mode in ["DELETE", "WAL"] {
        let _ = fs::remove_file(&path);
        let other = Connection::open(&path).unwrap();
        other.pragma_update(None, "journal_mode", mode).unwrap();
        other.execute_batch("CREATE TABLE t(a)").unwrap();
        other.close().unwrap();
        assert_eq!(refused::<Sqlite>(&path).kind(), StoreErrorKind::NotAStore);
    }
}

#[tokio::test]
async fn truncated_and_newer_stores_are_refused_and_stay_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    closed_store::<Sqlite>(&path).await;
    let whole = fs::read(&path).unwrap();
    for length in [
        1,
        40,
        99,
        100,
        511,
        512,
        4095,
        4096,
        whole.len() - 4096,
        whole.len() - 1,
    ] {
        fs::write(&path, &whole[..length]).unwrap();
        let kind = refused::<Sqlite>(&path).kind();
        let cut_short = length >= 512 && kind == StoreErrorKind::Corrupt;
        let nothing_left =
            length < 512 && matches!(kind, StoreErrorKind::NotAStore | StoreErrorKind::Corrupt);
        assert!(cut_short || nothing_left, "{length} bytes: {kind:?}");
    }
    fs::write(&path, &whole).unwrap();
    let newer = Connection::open(&path).unwrap();
    newer.pragma_update(None, "user_version", 9999).unwrap();
    // First while the change is only in the write-ahead log, then in the file.
    let error = SqliteStore::open(&path).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::FormatTooNew);
    newer.close().unwrap();
    assert_eq!(
        refused::<Sqlite>(&path).kind(),
        StoreErrorKind::FormatTooNew
    );
}

/// Whatever byte of a file is wrong: an error or an answer, never a panic, and the process goes on.
#[tokio::test]
async fn damaged_stores_end_in_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    closed_store::<Sqlite>(&path).await;
    let whole = fs::read(&path).unwrap();
    let mut refused = 0;
    // Headers of pages are dense in meaning, so all of their bytes; of the rest every 211th.
    let places = (0..whole.len()).filter(|at| at % 4096 < 12 || at % 211 == 0);
    for at in places {
        let mut bytes = whole.clone();
        bytes[at] ^= 0xff;
        fs::write(&path, &bytes).unwrap();
        let outcome = async { used(&SqliteStore::open(&path)?).await };
        if let Err(error) = outcome.await {
            refused += 1;
            if let Err(error) = SqliteStore::open(&path) {
                let same = fs::read(&path).unwrap() == bytes;
                assert!(same, "{at}: refused ({error}), but changed");
            }
            assert_one_line(&error);
        }
        for side in ["x.db-wal", "x.db-shm"] {
            let _ = fs::remove_file(folder.path().join(side));
        }
    }
    assert!(refused > 30, "{refused} refused");
}
