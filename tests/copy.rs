//! Any store is copied to any other, plain or sealed, whatever cuts it off.
#![cfg(feature = "full")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use synctable::encrypted::{RawKey, Secret};
use synctable::query::Query;
use synctable::store::{
    LocalStore, LocalStoreExt, Page, Plan, StoreCapabilities, StoreError, StoreErrorKind,
    WriteBatch,
};
use synctable::sync::{SyncContext, copy_store};
use synctable::testkit::async_trait;
use synctable::testkit::engine::TestServer;
use synctable::{
    Error, FieldType, MemoryStore, Missing, Record, RecordId, Schema, StoreUrl, TableName,
    TableSchema,
};

const TODO: &str = "todo";

/// A device with records, a parked conflict, queued operations of every kind, and a position.
async fn device() -> Arc<dyn LocalStore> {
    let store: Arc<dyn LocalStore> = Arc::new(MemoryStore::new());
    let server = TestServer::new();
    let table = TableName::new(TODO).unwrap();
    for n in 0..1_200 {
        let row = format!(r#"{{"id":"{n:04}","n":{n},"text":"é\u0000 {n}","more":1.50}}"#);
        server.put(&table, &Record::from_json(&row).unwrap());
    }
    let declared = TableSchema::new()
        .with_field("n", FieldType::Integer)
        .with_index(["n"]);
    let sync = SyncContext::builder(Arc::clone(&store))
        .transport(server.clone())
        .schema(Schema::new().with_table(table.clone(), declared))
        .open()
        .await
        .unwrap();
    let todos = sync.table::<Value>(TODO).unwrap();
    todos.pull(Query::all(), "all").await.unwrap();
    todos.update("0001", &json!({"n": -1})).await.unwrap();
    server.put(
        &table,
        &Record::from_json(r#"{"id":"0001","n":-2}"#).unwrap(),
    );
    assert_eq!(sync.push().await.unwrap().conflicts, 1);
    todos.update("0002", &json!({"n": -3})).await.unwrap();
    todos.delete("0003").await.unwrap();
    todos.insert(&json!({"id": "new", "n": 5})).await.unwrap();
    sync.set_setting("remote", "http://localhost:1")
        .await
        .unwrap();
    store
}

/// Everything in a store but its marks of turns.
async fn contents(store: &dyn LocalStore) -> (Schema, Vec<(TableName, Vec<Record>)>) {
    let schema = store.schema().await.unwrap();
    let mut tables = Vec::new();
    let mut kept = Schema::new();
    for (name, declared) in schema.tables() {
        if name.as_str() == "__copy" {
            assert_eq!(store.count(name, &Query::all()).await.unwrap(), 0);
            continue;
        }
        kept = kept.with_table(name.clone(), declared.clone());
        let rows = store.query_all(name, &Query::all()).await.unwrap();
        tables.push((name.clone(), rows));
    }
    (kept, tables)
}

#[tokio::test]
async fn stores_of_every_kind_are_copied_to_each_other() {
    let source = device().await;
    let expected = contents(&*source).await;
    let folder = tempfile::tempdir().unwrap();
    let mut from = source;
    let urls = [
        "sqlite",
        "encrypted+redb",
        "sled",
        "encrypted+sqlite",
        "redb",
        "encrypted+sled",
    ];
    for scheme in urls {
        let path = folder.path().join(scheme);
        let url: StoreUrl = format!("{scheme}:{}", path.display()).parse().unwrap();
        let key = || {
            url.is_encrypted()
                .then(|| Secret::Raw(RawKey::from_bytes([7; 32])))
        };
        let to = url.open(key(), Missing::Make).unwrap().store;
        let mut rows = 0;
        let report = copy_store(&*from, &*to, |done| rows = done).await.unwrap();
        assert_eq!(
            (report.tables, report.records, report.operations),
            (1, 1_200, 4)
        );
        assert!(rows > 1_200);
        assert_eq!(contents(&*to).await, expected, "{scheme}");
        to.close().await.unwrap();
        from.close().await.unwrap();
        drop(to);
        from = url.open(key(), Missing::Refuse).unwrap().store;
    }
    // The last copy is a device like the first one.
    let sync = SyncContext::builder(from).open().await.unwrap();
    assert_eq!(sync.verify().await.unwrap(), []);
    assert_eq!(
        (sync.pending_count(), sync.conflicts().await.unwrap().len()),
        (4, 1)
    );
}

/// Takes a number of commits, then fails.
#[derive(Debug)]
struct Stopping {
    store: Arc<dyn LocalStore>,
    left: AtomicUsize,
}

#[async_trait]
impl LocalStore for Stopping {
    async fn define(&self, schema: &Schema) -> Result<(), StoreError> {
        self.step()?;
        self.store.define(schema).await
    }
    async fn schema(&self) -> Result<Schema, StoreError> {
        self.store.schema().await
    }
    async fn get(
        &self,
        table: &TableName,
        ids: &[RecordId],
    ) -> Result<Vec<Option<Record>>, StoreError> {
        self.store.get(table, ids).await
    }
    async fn query(&self, table: &TableName, query: &Query) -> Result<Page, StoreError> {
        self.store.query(table, query).await
    }
    async fn commit(&self, batch: WriteBatch) -> Result<(), StoreError> {
        self.step()?;
        self.store.commit(batch).await
    }
    fn capabilities(&self) -> StoreCapabilities {
        self.store.capabilities()
    }
    async fn explain(&self, table: &TableName, query: &Query) -> Result<Plan, StoreError> {
        self.store.explain(table, query).await
    }
}

impl Stopping {
    fn step(&self) -> Result<(), StoreError> {
        let left = self.left.load(Ordering::SeqCst);
        if left == 0 {
            return Err(StoreError::new(StoreErrorKind::Io, "the disk is gone"));
        }
        self.left.store(left - 1, Ordering::SeqCst);
        Ok(())
    }
}

#[tokio::test]
async fn a_copy_that_was_cut_off_goes_on() {
    let source = device().await;
    let expected = contents(&*source).await;
    let mut cuts = 0;
    loop {
        let target: Arc<dyn LocalStore> = Arc::new(MemoryStore::new());
        let stopping = Stopping {
            store: Arc::clone(&target),
            left: AtomicUsize::new(cuts),
        };
        let cut = copy_store(&*source, &stopping, |_| ()).await;
        if cut.is_ok() {
            break;
        }
        if target
            .schema()
            .await
            .unwrap()
            .tables()
            .any(|(name, _)| name.as_str() == TODO)
        {
            let opened = SyncContext::builder(Arc::clone(&target)).open().await;
            assert!(
                matches!(opened, Err(Error::Store(_))),
                "after {cuts} writes it is no device"
            );
        }
        copy_store(&*source, &*target, |_| ()).await.unwrap();
        assert_eq!(contents(&*target).await, expected, "after {cuts} writes");
        cuts += 1;
    }
    assert!(cuts > 8, "{cuts} cuts");
}

#[tokio::test]
async fn what_is_there_is_never_overwritten() {
    let (source, target) = (device().await, device().await);
    let before = contents(&*target).await;
    let refused = copy_store(&*source, &*target, |_| ()).await.unwrap_err();
    assert!(refused.to_string().contains("holds records"), "{refused}");
    assert_eq!(contents(&*target).await, before);
}

#[tokio::test]
async fn a_source_that_changes_is_noticed() {
    let source = device().await;
    let table = TableName::new(TODO).unwrap();
    let target = MemoryStore::new();
    let row = Record::from_json(r#"{"id":"0000","n":77}"#).unwrap();
    let (other, changed) = (Arc::clone(&source), WriteBatch::new().put(&table, row));
    let mut change = Some(changed);
    let refused = copy_store(&*source, &target, |done| {
        if done > 1_000
            && let Some(batch) = change.take()
        {
            futures_executor(other.commit(batch)).unwrap();
        }
    })
    .await
    .unwrap_err();
    assert!(refused.to_string().contains("changed while"), "{refused}");
    copy_store(&*source, &target, |_| ()).await.unwrap();
    assert_eq!(contents(&target).await, contents(&*source).await);
}

/// Ends a future that needs no waiting.
fn futures_executor<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}
