//! What lies beside a store, and who holds it: logs without their file, drafts of dead processes, another process that writes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use synctable_core::query::Query;
use synctable_core::store::{LocalStore, LocalStoreExt, StoreError, StoreErrorKind, WriteBatch};
use synctable_core::sync::SyncContext;
use synctable_core::{FieldType, Record, Schema, TableName, TableSchema};
use synctable_kv::KvStore;
use synctable_sqlite::{SqliteKv, SqliteStore};
use synctable_testkit::files::{FileStore, closed_store, contents, refused, todo};

struct Rows;

impl FileStore for Rows {
    fn open_at(path: &Path, create: bool) -> Result<Arc<dyn LocalStore>, StoreError> {
        let store = SqliteStore::builder(path).create(create);
        Ok(Arc::new(store.wait(Duration::ZERO).open()?))
    }
}

struct Kv;

impl FileStore for Kv {
    fn open_at(path: &Path, create: bool) -> Result<Arc<dyn LocalStore>, StoreError> {
        let backend = SqliteKv::builder(path).create(create).open()?;
        Ok(Arc::new(KvStore::open(backend)?))
    }
}

/// A log with a record in it, as a killed process leaves it beside its file.
async fn log_of<F: FileStore>(folder: &Path) -> Vec<u8> {
    let path = folder.join("before.db");
    closed_store::<F>(&path).await;
    let other = Connection::open(&path).unwrap();
    other
        .execute_batch("CREATE TABLE of_before (text); INSERT INTO of_before VALUES ('x')")
        .unwrap();
    let log = fs::read(folder.join("before.db-wal")).unwrap();
    assert!(!log.is_empty());
    log
}

async fn a_log_without_its_file_is_left_alone<F: FileStore>() {
    let folder = tempfile::tempdir().unwrap();
    let log = log_of::<F>(folder.path()).await;
    let place = folder.path().join("place");
    fs::create_dir(&place).unwrap();
    let path = place.join("a.db");
    for suffix in ["-wal", "-shm", "-journal"] {
        let beside = place.join(format!("a.db{suffix}"));
        for bytes in [&log[..], b""] {
            fs::write(&beside, bytes).unwrap();
            let error = refused::<F>(&path);
            assert_eq!(error.kind(), StoreErrorKind::NotAStore);
            let text = error.to_string();
            assert!(text.contains(&format!("a.db{suffix}'")), "{text}");
            let error = F::open_at(&path, false).unwrap_err();
            assert!(error.to_string().contains(suffix), "{error}");
        }
        fs::remove_file(beside).unwrap();
    }
    closed_store::<F>(&path).await;
}

#[tokio::test]
async fn a_new_store_is_not_made_beside_a_log() {
    a_log_without_its_file_is_left_alone::<Rows>().await;
}

#[tokio::test]
async fn a_new_engine_is_not_made_beside_a_log() {
    a_log_without_its_file_is_left_alone::<Kv>().await;
}

#[tokio::test]
async fn what_a_dead_maker_left_is_removed_by_the_next_opening() {
    async fn is_removed<F: FileStore>() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        closed_store::<F>(&path).await;
        for dead in ["a.db.new-77-0", "a.db.new-77-0-wal", "a.db.new-77-0.lock"] {
            fs::write(folder.path().join(dead), "half").unwrap();
        }
        F::open_at(&path, false).unwrap().close().await.unwrap();
        assert_eq!(contents(folder.path()).len(), 1);
    }
    is_removed::<Rows>().await;
    is_removed::<Kv>().await;
}

fn schema() -> Schema {
    let table = TableSchema::new().with_field("title", FieldType::String);
    Schema::new().with_table(todo(), table)
}

/// What another process sees change: a number that each commit of others raises, and the length of the log.
fn seen(other: &Connection, path: &Path) -> (i64, u64) {
    let version = other.pragma_query_value(None, "data_version", |row| row.get(0));
    let log = path.with_extension("db-wal").metadata().unwrap().len();
    (version.unwrap(), log)
}

#[tokio::test]
async fn who_only_reads_writes_nothing_and_waits_for_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let context = async || {
        let store = Rows::open_at(&path, true).unwrap();
        let context = SyncContext::builder(store).schema(schema());
        context.account("ada").open().await.unwrap()
    };
    let first = context().await;
    let todos = first.table::<Record>("todo").unwrap();
    let milk = Record::from_json(r#"{"id":"a","title":"Milk"}"#).unwrap();
    todos.insert(&milk).await.unwrap();
    first.close().await.unwrap();
    let other = Connection::open(&path).unwrap();
    // In the log, so that there is one to be copied.
    let format = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
    let format = other
        .pragma_query_value(None, "user_version", format)
        .unwrap();
    other.pragma_update(None, "user_version", format).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let before = (seen(&other, &path), contents(folder.path()));
    let reading = context().await;
    let todos = reading.table::<Record>("todo").unwrap();
    assert!(todos.get("a").await.unwrap().is_some());
    assert_eq!(todos.query().await.unwrap().records.len(), 1);
    let unknown = reading.table::<Record>("unknown").unwrap();
    assert!(unknown.get("a").await.unwrap().is_none());
    assert!(unknown.query().await.unwrap().records.is_empty());
    assert_eq!(unknown.count(&Query::all()).await.unwrap(), 0);
    assert_eq!(reading.pending().await.unwrap().len(), 1);
    reading.inspect().await.unwrap();
    reading.close().await.unwrap();
    let mut after = (seen(&other, &path), contents(folder.path()));
    // The index of the log, which notes who reads.
    let index = folder.path().join("a.db-shm");
    let before = (before.0, {
        let mut files = before.1;
        files.remove(&index);
        files
    });
    after.1.remove(&index);
    assert!(before == after, "something was written");
    other.execute_batch("ROLLBACK").unwrap();
}

#[tokio::test]
async fn defining_waits_only_for_what_is_new() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    closed_store::<Rows>(&path).await;
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let store = Rows::open_at(&path, false).unwrap();
    store.define(&schema()).await.unwrap();
    store.define(&Schema::new()).await.unwrap();
    let retyped = TableSchema::new().with_field("title", FieldType::Integer);
    let retyped = Schema::new().with_table(todo(), retyped);
    let error = store.define(&retyped).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Schema);
    let table = TableName::new("new").unwrap();
    let new = Schema::new().with_table(table.clone(), TableSchema::new());
    let error = store.define(&new).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Locked);
    other.execute_batch("ROLLBACK").unwrap();
    store.define(&new).await.unwrap();
    let query = Query::all();
    assert!(store.query_all(&table, &query).await.unwrap().is_empty());
    assert_eq!(store.schema().await.unwrap().tables().count(), 2);
}

#[cfg(unix)]
#[tokio::test]
async fn a_path_with_two_slashes_is_a_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = format!("/{}/a.db", folder.path().display());
    closed_store::<Rows>(Path::new(&path)).await;
    Rows::open_at(&folder.path().join("a.db"), false).unwrap();
}

async fn nothing_is_committed_to_a_log_that_is_gone<F: FileStore>() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let record = |id: &str| Record::from_json(&format!(r#"{{"id":"{id}"}}"#)).unwrap();
    let put = |id: &str| WriteBatch::new().put(&todo(), record(id));
    for (removed, kept) in [("a", "b"), ("c", "d")] {
        let store = F::open_at(&path, true).unwrap();
        let schema = Schema::new().with_table(todo(), TableSchema::new());
        store.define(&schema).await.unwrap();
        store.commit(put(removed)).await.unwrap();
        let log = folder.path().join("a.db-wal");
        let aside = folder.path().join("aside");
        fs::rename(&log, &aside).unwrap();
        let error = store.commit(put("lost")).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Gone);
        assert!(error.to_string().contains("a.db-wal"), "{error}");
        fs::rename(&aside, &log).unwrap();
        store.commit(put(kept)).await.unwrap();
        fs::remove_file(&log).unwrap();
        let error = store.commit(put("lost")).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Gone);
        store.close().await.unwrap();
    }
    let store = F::open_at(&path, false).unwrap();
    let page = store.query(&todo(), &Query::all()).await.unwrap();
    let ids: Vec<&str> = page.records.iter().map(|row| row.id().as_str()).collect();
    assert_eq!(
        ids,
        ["a", "b", "c", "d"],
        "closing saves what is in a log that is gone"
    );
}

#[cfg(unix)]
#[tokio::test]
async fn nothing_is_committed_to_a_log_that_is_gone_from_rows() {
    nothing_is_committed_to_a_log_that_is_gone::<Rows>().await;
}

#[cfg(unix)]
#[tokio::test]
async fn nothing_is_committed_to_a_log_that_is_gone_from_bytes() {
    nothing_is_committed_to_a_log_that_is_gone::<Kv>().await;
}

/// SQLite names its files after the store, not after the link.
#[cfg(unix)]
#[tokio::test]
async fn the_log_of_a_store_behind_a_link_is_watched() {
    let folder = tempfile::tempdir().unwrap();
    let (path, link) = (folder.path().join("a.db"), folder.path().join("link.db"));
    closed_store::<Rows>(&path).await;
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let store = Rows::open_at(&link, false).unwrap();
    let row = Record::from_json(r#"{"id":"x"}"#).unwrap();
    let put = || WriteBatch::new().put(&todo(), row.clone());
    store.commit(put()).await.unwrap();
    fs::remove_file(folder.path().join("a.db-wal")).unwrap();
    let error = store.commit(put()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Gone);
}
