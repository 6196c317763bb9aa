//! Revisions of rows, and files of release 0.1, which had none.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use synctable_core::query::Query;
use synctable_core::store::{LocalStore, LocalStoreExt, Revision, StoreErrorKind, WriteBatch};
use synctable_core::{FieldType, Record, RecordId, Schema, TableName, TableSchema};
use synctable_sqlite::SqliteStore;
use tempfile::TempDir;

fn table() -> TableName {
    TableName::new("todo").unwrap()
}

fn record(text: &str) -> Record {
    Record::from_json(text).unwrap()
}

fn schema() -> Schema {
    let declared = TableSchema::new()
        .with_field("title", FieldType::String)
        .with_field("rating", FieldType::Number);
    Schema::new()
        .with_table(table(), declared)
        .with_table(TableName::system("__operations"), TableSchema::new())
}

async fn put(store: &SqliteStore, text: &str) {
    let batch = WriteBatch::new().put(&table(), record(text));
    store.commit(batch).await.unwrap();
}

async fn read(store: &SqliteStore, id: &str) -> Record {
    let id = RecordId::new(id).unwrap();
    store.get_one(&table(), &id).await.unwrap().unwrap()
}

async fn revision(store: &SqliteStore, id: &str) -> Revision {
    read(store, id).await.revision().unwrap().clone()
}

/// A store with three records.
async fn filled() -> (TempDir, PathBuf, SqliteStore) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let store = SqliteStore::open(&path).unwrap();
    store.define(&schema()).await.unwrap();
    put(&store, r#"{"id":"a","title":"Milk","rating":1.0}"#).await;
    put(
        &store,
        r#"{"id":"b","version":"v1","title":"Tea","more":[1, 2]}"#,
    )
    .await;
    put(&store, r#"{"id":"c","title":null,"rating":"odd"}"#).await;
    (folder, path, store)
}

/// Makes the file one as release 0.1 wrote it.
fn turn_back(path: &Path) {
    let conn = Connection::open(path).unwrap();
    conn.execute_batch(
        "BEGIN; DROP TRIGGER \"tr_todo/__rev\"; ALTER TABLE todo DROP COLUMN __rev;
         ALTER TABLE __operations DROP COLUMN __rev;
         ALTER TABLE _synctable_catalogue_changes DROP COLUMN log;
         ALTER TABLE _synctable_catalogue_changes RENAME TO _synctable_generation; PRAGMA user_version = 1; COMMIT",
    )
    .unwrap();
    conn.close().unwrap();
}

#[tokio::test]
async fn what_another_program_changes_has_another_revision() {
    let (_folder, path, store) = filled().await;
    let foreign = Connection::open(&path).unwrap();
    let other = revision(&store, "b").await;
    for sql in [
        "UPDATE todo SET title = 'Beer' WHERE id = 'a'",
        "UPDATE todo SET title = 'Milk' WHERE id = 'a'",
        "DELETE FROM todo WHERE id = 'a'; INSERT INTO todo (id, deleted, title) VALUES ('a', 0, 'Milk')",
        "UPDATE todo SET title = 'Beer' WHERE id = 'a'",
        "REPLACE INTO todo (id, deleted, title) VALUES ('a', 0, 'Wine')",
        "UPDATE todo SET title = 'Beer' WHERE id = 'a'",
    ] {
        let seen = read(&store, "a").await;
        foreign.execute_batch(sql).unwrap();
        let now = revision(&store, "a").await;
        assert_ne!(seen.revision(), Some(&now), "{sql}");
        let batch = WriteBatch::new()
            .expect_as_read(&table(), &seen)
            .clear(&table());
        let error = store.commit(batch).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::CheckFailed, "{sql}");
    }
    assert_eq!(revision(&store, "b").await, other);
    let now = read(&store, "a").await;
    let batch = WriteBatch::new().expect_as_read(&table(), &now);
    store
        .commit(batch.delete(&table(), now.id()))
        .await
        .unwrap();
}

#[tokio::test]
async fn an_older_copy_that_is_put_back_gives_no_revision_again() {
    let (folder, path, store) = filled().await;
    store.close().await.unwrap();
    let copy = folder.path().join("copy.db");
    fs::copy(&path, &copy).unwrap();
    let mut seen = Vec::new();
    for _ in 0..3 {
        fs::copy(&copy, &path).unwrap();
        let store = SqliteStore::open(&path).unwrap();
        for _ in 0..3 {
            put(&store, r#"{"id":"a","title":"Beer"}"#).await;
            let now = revision(&store, "a").await;
            assert!(!seen.contains(&now));
            seen.push(now);
        }
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_file_of_the_first_release_is_brought_forward() {
    let (_folder, path, store) = filled().await;
    let before = store.query_all(&table(), &Query::all()).await.unwrap();
    store.close().await.unwrap();
    turn_back(&path);
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.schema().await.unwrap(), schema());
    let found = store.query_all(&table(), &Query::all()).await.unwrap();
    assert_eq!(found, before);
    // They have revisions, and checks that name them hold.
    for record in &found {
        assert_eq!(record.revision(), Some(&Revision::of_content(record)));
        let check = WriteBatch::new().expect_as_read(&table(), record);
        store.commit(check).await.unwrap();
    }
    put(&store, r#"{"id":"a","title":"Beer"}"#).await;
    let refused = WriteBatch::new().expect_as_read(&table(), &found[0]);
    let error = store.commit(refused).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::CheckFailed);
    store.close().await.unwrap();

    let conn = Connection::open(&path).unwrap();
    let format: u32 = conn
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    assert_eq!(format, 2);
    conn.execute("UPDATE todo SET title = 'Wine' WHERE id = 'a'", [])
        .unwrap();
    drop(conn);
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(read(&store, "a").await.member("title"), Some("Wine".into()));
}

#[tokio::test]
async fn bringing_a_file_forward_waits_for_its_turn_and_may_fail_whole() {
    let (_folder, path, store) = filled().await;
    store.close().await.unwrap();
    turn_back(&path);
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let wait = std::time::Duration::from_millis(20);
    let refused = SqliteStore::builder(&path).wait(wait).open().unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Locked, "{refused}");
    other.execute_batch("ROLLBACK").unwrap();
    drop(other);
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(read(&store, "a").await.member("title"), Some("Milk".into()));
}
