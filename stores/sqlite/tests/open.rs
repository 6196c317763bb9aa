//! What is opened, what is made and what is refused.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::fs;
use std::path::Path;

use rusqlite::Connection;
use synctable_core::store::{LocalStore, LocalStoreExt, StoreError, StoreErrorKind, WriteBatch};
use synctable_core::{FieldType, Record, Schema, TableName, TableSchema};
use synctable_sqlite::SqliteStore;

fn table() -> TableName {
    TableName::new("todo").unwrap()
}

fn schema() -> Schema {
    Schema::new().with_table(
        table(),
        TableSchema::new().with_field("title", FieldType::String),
    )
}

fn record(text: &str) -> Record {
    Record::from_json(text).unwrap()
}

/// Opening must fail, leave the bytes alone, leave no other file behind and say so in one line.
fn refused(path: &Path) -> StoreError {
    let bytes = fs::read(path).ok();
    let folder = path.parent().unwrap();
    let list = || {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    let before = list();
    let error = SqliteStore::open(path).unwrap_err();
    assert_eq!(fs::read(path).ok(), bytes, "the file was changed");
    assert_eq!(list(), before, "files were made");
    let text = error.to_string();
    assert!(!text.contains(char::is_control), "{text}");
    assert!(
        text.contains(path.file_name().unwrap().to_str().unwrap()),
        "{text}"
    );
    error
}

/// A closed store file with a record in it.
async fn closed_store(path: &Path) {
    let store = SqliteStore::open(path).unwrap();
    store.define(&schema()).await.unwrap();
    let batch = WriteBatch::new().put(&table(), record(r#"{"id":"a","title":"Milk"}"#));
    store.commit(batch).await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test]
async fn records_survive_closing_and_dropping() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a ?#%é.db");
    closed_store(&path).await;
    let store = SqliteStore::open(&path).unwrap();
    let milk = record(r#"{"id":"a","title":"Milk"}"#);
    assert_eq!(
        store.get_one(&table(), milk.id()).await.unwrap(),
        Some(milk)
    );
    let bread = record(r#"{"id":"b","title":"Bread"}"#);
    store
        .commit(WriteBatch::new().put(&table(), bread.clone()))
        .await
        .unwrap();
    drop(store);
    let names: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(names.len(), 1, "a dropped store leaves one file: {names:?}");
    let store = SqliteStore::builder(&path).create(false).open().unwrap();
    assert_eq!(
        store.get_one(&table(), bread.id()).await.unwrap(),
        Some(bread)
    );
}

#[tokio::test]
async fn closed_stores_answer_closed() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("a.db")).unwrap();
    store.define(&schema()).await.unwrap();
    store.close().await.unwrap();
    store.close().await.unwrap();
    let closed = |result: Result<(), StoreError>| {
        assert_eq!(result.unwrap_err().kind(), StoreErrorKind::Closed);
    };
    closed(store.define(&schema()).await);
    closed(store.commit(WriteBatch::new()).await);
    closed(store.get(&table(), &[]).await.map(drop));
    closed(
        store
            .query(&table(), &synctable_core::query::Query::all())
            .await
            .map(drop),
    );
}

#[test]
fn missing_files_are_made_only_when_wanted_and_never_without_their_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let error = SqliteStore::builder(&path)
        .create(false)
        .open()
        .unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Io);
    assert!(!path.exists());
    let error = SqliteStore::open(folder.path().join("no/a.db")).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Io);
    assert!(error.to_string().contains("no folder"), "{error}");
    let error = SqliteStore::open(folder.path()).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::NotAStore);
}

#[tokio::test]
async fn foreign_files_are_refused_and_stay_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    for bytes in [
        &b""[..],
        b"x",
        b"not a store, but some longer text\n",
        &[0; 5000],
        b"SQLite format 3\0",
    ] {
        fs::write(&path, bytes).unwrap();
        assert_eq!(
            refused(&path).kind(),
            StoreErrorKind::NotAStore,
            "{bytes:?}"
        );
    }
    for mode in ["DELETE", "WAL"] {
        fs::remove_file(&path).unwrap();
        let other = Connection::open(&path).unwrap();
        other.pragma_update(None, "journal_mode", mode).unwrap();
        other.execute_batch("CREATE TABLE t(a)").unwrap();
        other.close().unwrap();
        assert_eq!(refused(&path).kind(), StoreErrorKind::NotAStore);
    }
}

#[tokio::test]
async fn truncated_and_newer_stores_are_refused_and_stay_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    closed_store(&path).await;
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
        let kind = refused(&path).kind();
        let cut_short = length >= 512 && kind == StoreErrorKind::Corrupt;
        let nothing_left =
            length < 512 && matches!(kind, StoreErrorKind::NotAStore | StoreErrorKind::Corrupt);
        assert!(cut_short || nothing_left, "{length} bytes: {kind:?}");
    }
    fs::write(&path, &whole).unwrap();
    let newer = Connection::open(&path).unwrap();
    newer.pragma_update(None, "user_version", 2).unwrap();
    // First while the change is only in the write-ahead log, then in the file.
    let error = SqliteStore::open(&path).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::FormatTooNew);
    newer.close().unwrap();
    assert_eq!(refused(&path).kind(), StoreErrorKind::FormatTooNew);
}

/// Whatever byte of a file is wrong: an error or an answer, never a panic, and the process goes on.
#[tokio::test]
async fn damaged_stores_end_in_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    closed_store(&path).await;
    let whole = fs::read(&path).unwrap();
    let mut refused = 0;
    // Headers of pages are dense in meaning, so all of their bytes; of the rest every 211th.
    let places = (0..whole.len()).filter(|at| at % 4096 < 12 || at % 211 == 0);
    for at in places {
        let mut bytes = whole.clone();
        bytes[at] ^= 0xff;
        fs::write(&path, &bytes).unwrap();
        let read = async {
            let store = SqliteStore::open(&path)?;
            let found = store
                .query_all(&table(), &synctable_core::query::Query::all())
                .await?;
            let batch = WriteBatch::new().put(&table(), record(r#"{"id":"b","title":"Bread"}"#));
            store.commit(batch).await?;
            store.close().await?;
            Ok::<_, StoreError>(found)
        };
        if let Err(error) = read.await {
            refused += 1;
            if let Err(error) = SqliteStore::open(&path) {
                let same = fs::read(&path).unwrap() == bytes;
                assert!(same, "{at}: refused ({error}), but changed");
            }
            let text = error.to_string();
            assert!(!text.contains(char::is_control), "{text}");
        }
        for side in ["x.db-wal", "x.db-shm"] {
            let _ = fs::remove_file(folder.path().join(side));
        }
    }
    assert!(refused > 30, "{refused} refused");
}
