//! Rows that were stored before a default was declared.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use serde_json::{Value, json};
use synctable_core::query::Query;
use synctable_core::store::{
    Changes, LocalStore, Page, Position, StoreCapabilities, StoreError, StoreErrorKind, WriteBatch,
};
use synctable_core::{Declarations, Record, RecordId, Schema, TableName};
use synctable_memory::MemoryStore;
use synctable_server::TableServer;

use crate::common::*;
use crate::declared::{DIALECTS, SCHEMA, TOOLKIT, ids, serving, stores};

const FREE: &str = r#"{"tables": {"memos": {"softDelete": true}}}"#;

#[tokio::test]
async fn they_read_as_filled_and_keep_their_place() {
    let (stores, _folder) = stores();
    for store in stores {
        let free = serving(&store, FREE).await;
        for body in [
            r#"{"id":"c","title":"x"}"#,
            r#"{"id":"a","rating":7,"complete":true}"#,
            r#"{"id":"b","rating":null}"#,
            r#"{"id":"t"}"#,
        ] {
            post(&free, "/tables/memos", body).await.expect(201);
        }
        delete(&free, "/tables/memos/t").await.expect(204);
        let all = "/tables/memos?__includedeleted=true&$orderby=updatedAt";
        let before = get(&free, all).await.json();
        let server = serving(&store, SCHEMA).await;
        let after = get(&server, all).await.json();
        let rows = |page: &Value| page["items"].as_array().unwrap().clone();
        for (old, new) in rows(&before).iter().zip(rows(&after)) {
            for (name, value) in old.as_object().unwrap() {
                assert_eq!(&new[name], value, "{name} of {}", old["id"]);
            }
            assert!(new.get("complete").is_some() && new.get("mood").is_some());
        }
        assert_eq!(rows(&before).len(), rows(&after).len());
        for dialect in DIALECTS {
            let found = ids(
                &server,
                dialect,
                "$orderby=id&$filter=complete%20eq%20false",
            )
            .await;
            assert_eq!(found, "bc");
            let found = ids(&server, dialect, "$filter=rating%20lt%205").await;
            assert_eq!(found, "c");
            assert_eq!(ids(&server, dialect, "$orderby=rating,id").await, "bca");
        }
        // Nothing new for who has seen them all.
        let last = rows(&after).last().unwrap()["updatedAt"]
            .as_str()
            .unwrap()
            .to_owned();
        let since = format!("$filter=updatedAt%20gt%20cast({last},Edm.DateTimeOffset)");
        assert_eq!(ids(&server, TOOLKIT, &since).await, "");
    }
}

#[tokio::test]
async fn a_new_default_is_for_what_lacks_one() {
    let store: Arc<dyn LocalStore> = Arc::new(MemoryStore::new());
    let with = |default: &str| {
        format!(
            r#"{{"tables": {{"memos": {{"fields": {{"n": {{"type": "integer"{default}}}}}}}}}}}"#
        )
    };
    let insert = async |server: &TableServer, id: &str| {
        let body = format!(r#"{{"id":"{id}"}}"#);
        post(server, "/tables/memos", &body).await.expect(201);
    };
    insert(&serving(&store, &with(r#", "default": 1"#)).await, "a").await;
    insert(&serving(&store, &with("")).await, "b").await;
    insert(&serving(&store, &with(r#", "default": 2"#)).await, "c").await;
    let server = serving(&store, &with(r#", "default": 3"#)).await;
    insert(&server, "d").await;
    let page = get(&server, "/tables/memos?$orderby=id&$select=n")
        .await
        .json();
    assert_eq!(
        page["items"],
        json!([{"n": 1}, {"n": 2}, {"n": 2}, {"n": 3}])
    );
}

/// A store that ends after some commits, as if the process had been killed.
#[derive(Debug)]
struct Dying {
    inner: Arc<dyn LocalStore>,
    left: AtomicUsize,
}

#[async_trait]
impl LocalStore for Dying {
    async fn define(&self, schema: &Schema) -> Result<(), StoreError> {
        self.inner.define(schema).await
    }
    async fn schema(&self) -> Result<Schema, StoreError> {
        self.inner.schema().await
    }
    async fn get(
        &self,
        table: &TableName,
        ids: &[RecordId],
    ) -> Result<Vec<Option<Record>>, StoreError> {
        self.inner.get(table, ids).await
    }
    async fn query(&self, table: &TableName, query: &Query) -> Result<Page, StoreError> {
        self.inner.query(table, query).await
    }
    async fn commit(&self, batch: WriteBatch) -> Result<Position, StoreError> {
        let next = |left: usize| left.checked_sub(1);
        if self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, next)
            .is_err()
        {
            return Err(StoreError::new(StoreErrorKind::Io, "the process is gone"));
        }
        self.inner.commit(batch).await
    }
    async fn position(&self) -> Result<Position, StoreError> {
        self.inner.position().await
    }
    async fn changes_since(&self, since: Position, limit: usize) -> Result<Changes, StoreError> {
        self.inner.changes_since(since, limit).await
    }
    fn capabilities(&self) -> StoreCapabilities {
        self.inner.capabilities()
    }
}

#[tokio::test]
async fn a_fill_that_is_cut_off_goes_on() {
    const ROWS: usize = 1_203;
    let memory: Arc<dyn LocalStore> = Arc::new(MemoryStore::new());
    let free = serving(&memory, FREE).await;
    for number in 0..ROWS {
        let body = format!(r#"{{"id":"r{number:04}"}}"#);
        post(&free, "/tables/memos", &body).await.expect(201);
    }
    let unfilled = async || {
        let page = Query::all().filter(synctable_core::query::field("rating").eq(0));
        ROWS - usize::try_from(memory.count(&table("memos"), &page).await.unwrap()).unwrap()
    };
    let mut seen = vec![unfilled().await];
    for commits in 0..4 {
        let store = Arc::new(Dying {
            inner: Arc::clone(&memory),
            left: AtomicUsize::new(commits),
        });
        let server = TableServer::builder(store).schema(Declarations::from_json(SCHEMA).unwrap());
        let opened = server.build().await;
        seen.push(unfilled().await);
        if opened.is_ok() {
            break;
        }
    }
    // One portion, then two more, in the openings that got so far.
    assert_eq!(seen, [1203, 1203, 703, 0]);
    let server = serving(&memory, SCHEMA).await;
    let page = get(
        &server,
        "/tables/memos?$top=0&$count=true&$filter=rating%20eq%200",
    )
    .await;
    assert_eq!(page.json()["count"], ROWS);
}

#[tokio::test]
async fn a_fill_that_meets_another_writer_takes_the_newer_row() {
    let store = TestStore::new(true, 0);
    let shared: Arc<dyn LocalStore> = Arc::<TestStore>::clone(&store);
    let free = serving(&shared, FREE).await;
    post(&free, "/tables/memos", r#"{"id":"a","title":"old"}"#)
        .await
        .expect(201);
    let row = store
        .get(&table("memos"), &[RecordId::new("a").unwrap()])
        .await
        .unwrap();
    let system = row[0].as_ref().unwrap().system().clone();
    let newer = Record::new(RecordId::new("a").unwrap(), r#"{"title":"new"}"#).unwrap();
    let rival = WriteBatch::new().put(&table("memos"), newer.with_system(system));
    store.rivals.lock().unwrap().push_back(rival);
    let server = serving(&shared, SCHEMA).await;
    let row = get(&server, "/tables/memos/a").await.json();
    assert_eq!((&row["title"], &row["rating"]), (&json!("new"), &json!(0)));
}
