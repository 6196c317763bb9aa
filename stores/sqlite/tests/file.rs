//! The file as others see it: SQLite tools, other handles, other processes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::time::Duration;

use rusqlite::Connection;
use synctable_core::store::{LocalStore, LocalStoreExt, StoreErrorKind, WriteBatch};
use synctable_core::{FieldType, Record, Schema, TableName, TableSchema};
use synctable_sqlite::SqliteStore;

fn table(name: &str) -> TableName {
    TableName::new(name).unwrap()
}

fn record(text: &str) -> Record {
    Record::from_json(text).unwrap()
}

fn declare(name: &str, schema: TableSchema) -> Schema {
    Schema::new().with_table(table(name), schema)
}

fn column(conn: &Connection, sql: &str) -> Vec<String> {
    let mut statement = conn.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

#[tokio::test]
async fn any_sqlite_tool_reads_the_tables() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let store = SqliteStore::open(&path).unwrap();
    let words = ["G", "PG"].map(str::to_owned).to_vec();
    let movies = TableSchema::new()
        .with_field("title", FieldType::String)
        .with_field("year", FieldType::Integer)
        .with_field("score", FieldType::Number)
        .with_field("winner", FieldType::Boolean)
        .with_field("released", FieldType::Date)
        .with_field("rating", FieldType::Enum(words))
        .with_index(["year"])
        .with_index(["rating", "title"]);
    store.define(&declare("movies", movies)).await.unwrap();
    store
        .define(&declare("sqlite_stat1", TableSchema::new()))
        .await
        .unwrap();
    let jaws = record(
        r#"{"id":"a","version":"v1","updatedAt":"1970-01-01T00:00:00.001Z","title":"Jaws","year":1975,"score":8.1,"winner":true,"released":"1970-01-03","rating":"PG"}"#,
    );
    let batch = WriteBatch::new()
        .put(&table("movies"), jaws)
        .put(&table("sqlite_stat1"), record(r#"{"id":"b","free":[1]}"#));
    store.commit(batch).await.unwrap();
    store.close().await.unwrap();

    let conn = Connection::open(&path).unwrap();
    let row = "SELECT concat_ws('|', id, version, createdAt, updatedAt, deleted, title, year, score, winner, \
               released, rating, __json) FROM movies";
    assert_eq!(column(&conn, row), ["a|v1|10000|0|Jaws|1975|8.1|1|2|1"]);
    assert_eq!(
        column(&conn, "SELECT __json FROM _sqlite_stat1"),
        [r#"{"free":[1]}"#]
    );
    assert_eq!(
        column(
            &conn,
            "SELECT name FROM sqlite_schema WHERE name LIKE 'ix%' ORDER BY name"
        ),
        [
            "ix_movies/__odd",
            "ix_movies/rating/title",
            "ix_movies/year"
        ]
    );
    assert_eq!(
        column(&conn, "SELECT name FROM _synctable_catalogue ORDER BY name"),
        ["movies", "sqlite_stat1"]
    );
    assert_eq!(column(&conn, "PRAGMA integrity_check"), ["ok"]);
    assert_eq!(column(&conn, "PRAGMA journal_mode"), ["wal"]);
}

/// Two handles, as two processes would have them.
#[tokio::test]
async fn handles_see_what_the_other_declares_and_writes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let (one, two) = (
        SqliteStore::open(&path).unwrap(),
        SqliteStore::open(&path).unwrap(),
    );
    let todo = table("todo");
    let title = TableSchema::new().with_field("title", FieldType::String);
    one.define(&declare("todo", title.clone())).await.unwrap();
    let milk = record(r#"{"id":"a","title":"Milk","due":"2026-01-31"}"#);
    two.commit(WriteBatch::new().put(&todo, milk.clone()))
        .await
        .unwrap();
    assert_eq!(
        one.get_one(&todo, milk.id()).await.unwrap(),
        Some(milk.clone())
    );
    // `two` does not know the new column until it looks.
    let due = title.with_field("due", FieldType::Date);
    one.define(&declare("todo", due)).await.unwrap();
    let bread = record(r#"{"id":"b","title":"Bread","due":"2026-02-01"}"#);
    one.commit(WriteBatch::new().put(&todo, bread.clone()))
        .await
        .unwrap();
    assert_eq!(
        two.get_one(&todo, bread.id()).await.unwrap(),
        Some(bread.clone())
    );
    let check = WriteBatch::new()
        .expect_same(&todo, milk)
        .expect_same(&todo, bread.clone());
    two.commit(check.delete(&todo, bread.id())).await.unwrap();
    assert_eq!(one.get_one(&todo, bread.id()).await.unwrap(), None);
    let check = WriteBatch::new().expect_same(&todo, bread.clone());
    let error = one.commit(check).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::CheckFailed);
    assert_eq!(error.failed_check(), Some((&todo, bread.id())));
    two.close().await.unwrap();
    one.commit(WriteBatch::new().put(&todo, bread))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_store_that_another_process_keeps_busy_is_locked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let store = SqliteStore::builder(&path)
        .wait(Duration::ZERO)
        .open()
        .unwrap();
    let todo = table("todo");
    store
        .define(&declare("todo", TableSchema::new()))
        .await
        .unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let milk = record(r#"{"id":"a"}"#);
    let batch = WriteBatch::new().put(&todo, milk.clone());
    let error = store.commit(batch.clone()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Locked);
    assert_eq!(store.get_one(&todo, milk.id()).await.unwrap(), None);
    other.execute_batch("COMMIT").unwrap();
    store.commit(batch).await.unwrap();
    assert_eq!(store.get_one(&todo, milk.id()).await.unwrap(), Some(milk));
}

/// Without a runtime, polled by hand.
#[test]
fn no_runtime_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("a.db")).unwrap();
    let todo = table("todo");
    block_on(store.define(&declare("todo", TableSchema::new()))).unwrap();
    let records: Vec<Record> = (0..30_000)
        .map(|n| record(&format!(r#"{{"id":"{n}","n":{n}}}"#)))
        .collect();
    let batch = records.iter().fold(WriteBatch::new(), |batch, record| {
        batch.put(&todo, record.clone())
    });
    block_on(store.commit(batch)).unwrap();
    // Long enough to leave the caller's thread.
    let ids: Vec<_> = records.iter().map(|record| record.id().clone()).collect();
    let found = block_on(store.get(&todo, &ids)).unwrap();
    assert!(found.into_iter().flatten().eq(records));
}

/// The smallest executor there is.
fn block_on<F: Future>(future: F) -> F::Output {
    use std::sync::Arc;
    use std::task::{Context, Poll, Wake};
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut context = Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
