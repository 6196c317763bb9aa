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

use proptest::prelude::{Just, Strategy as _, prop_oneof};
use serde_json::{Value, json};
use synctable::encrypted::{RawKey, Secret};
use synctable::query::Query;
use synctable::store::{
    Changes, LocalStore, LocalStoreExt, Page, Plan, Position, StoreCapabilities, StoreError,
    StoreErrorKind, WriteBatch,
};
use synctable::sync::{SyncContext, copy_store};
use synctable::testkit::engine::TestServer;
use synctable::testkit::{arb, async_trait, for_all};
use synctable::{
    Error, FieldType, MemoryStore, Missing, Record, RecordId, Schema, SqliteStore, StoreUrl,
    TableName, TableSchema,
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
        let mut rows = store.query_all(name, &Query::all()).await.unwrap();
        let turns = ["claim", "pusher"];
        rows.retain(|row| name.as_str() != "__meta" || !turns.contains(&row.id().as_str()));
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
        (
            sync.pending_count().await.unwrap(),
            sync.conflicts().await.unwrap().len()
        ),
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
    async fn commit(&self, batch: WriteBatch) -> Result<Position, StoreError> {
        self.step()?;
        self.store.commit(batch).await
    }
    async fn position(&self) -> Result<Position, StoreError> {
        self.store.position().await
    }
    async fn changes_since(&self, since: Position, limit: usize) -> Result<Changes, StoreError> {
        self.store.changes_since(since, limit).await
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
    let (mut cuts, mut left) = (0, u64::MAX);
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
        let mut rows = 0;
        copy_store(&*source, &*target, |done| rows = done)
            .await
            .unwrap();
        assert_eq!(contents(&*target).await, expected, "after {cuts} writes");
        // What is there already is not copied again.
        assert!(rows <= left, "{rows} rows after {cuts} writes");
        left = rows;
        cuts += 1;
    }
    assert!(cuts > 8, "{cuts} cuts");
    assert_eq!(left, 0, "the last cut leaves the end alone");
}

#[tokio::test]
async fn a_claim_of_an_earlier_release_is_not_copied() {
    let folder = tempfile::tempdir().unwrap();
    let source: Arc<dyn LocalStore> =
        Arc::new(SqliteStore::open(folder.path().join("a.db")).unwrap());
    let sync = SyncContext::builder(Arc::clone(&source))
        .open()
        .await
        .unwrap();
    let todos = sync.table::<Value>(TODO).unwrap();
    todos.insert(&json!({"id": "a"})).await.unwrap();
    let (meta, claim) = (TableName::system("__meta"), RecordId::system("claim"));
    let row = Record::new(claim.clone(), r#"{"value":"1","by":"x"}"#).unwrap();
    let batch = WriteBatch::new().put(&meta, row);
    source.commit(batch).await.unwrap();
    let target = MemoryStore::new();
    copy_store(&*source, &target, |_| ()).await.unwrap();
    assert!(target.get_one(&meta, &claim).await.unwrap().is_none());
}

#[tokio::test]
async fn a_copy_that_is_made_during_a_push_can_be_pushed_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let open = |name: &str| -> Arc<dyn LocalStore> {
        Arc::new(SqliteStore::open(folder.path().join(name)).unwrap())
    };
    let (source, target) = (open("a.db"), open("b.db"));
    let server = TestServer::new();
    let context = |store: &Arc<dyn LocalStore>| {
        SyncContext::builder(Arc::clone(store))
            .transport(server.clone())
            .open()
    };
    let sync = context(&source).await.unwrap();
    let todos = sync.table::<Value>(TODO).unwrap();
    todos.insert(&json!({"id": "a"})).await.unwrap();
    let (meta, lease) = (TableName::system("__meta"), RecordId::system("pusher"));
    let (from, to) = (Arc::clone(&source), Arc::clone(&target));
    let name = meta.clone();
    server.meanwhile(async move {
        let held = from.get_one(&name, &RecordId::system("pusher")).await;
        assert!(held.unwrap().is_some(), "a push holds the lease");
        copy_store(&*from, &*to, |_| ()).await.unwrap();
    });
    assert_eq!(sync.push().await.unwrap().pushed, 1);
    assert!(target.get_one(&meta, &lease).await.unwrap().is_none());
    // The copy knows that the answer is open, and finds out.
    let copy = context(&target).await.unwrap();
    assert_eq!(copy.pending_count().await.unwrap(), 1);
    copy.push().await.unwrap();
    assert_eq!(copy.pending_count().await.unwrap(), 0);
    assert_eq!(server.effects(&TableName::new(TODO).unwrap(), "a"), 1);
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
            ready(other.commit(batch)).unwrap();
        }
    })
    .await
    .unwrap_err();
    assert!(refused.to_string().contains("changed while"), "{refused}");
    copy_store(&*source, &target, |_| ()).await.unwrap();
    assert_eq!(contents(&target).await, contents(&*source).await);
}

#[tokio::test]
async fn a_source_that_changes_between_two_attempts_is_noticed() {
    let source = device().await;
    let changed = Record::from_json(r#"{"id":"0000","n":77}"#).unwrap();
    let table = TableName::new(TODO).unwrap();
    let target = begun(&source).await;
    source
        .commit(WriteBatch::new().put(&table, changed))
        .await
        .unwrap();
    let refused = copy_store(&*source, &*target, |_| ()).await.unwrap_err();
    assert!(refused.to_string().contains("changed while"), "{refused}");
    copy_store(&*source, &*target, |_| ()).await.unwrap();
    assert_eq!(contents(&*target).await, contents(&*source).await);
}

#[tokio::test]
async fn the_beginning_of_a_copy_is_not_mixed_with_another_store() {
    let (source, other) = (device().await, device().await);
    let target = begun(&source).await;
    let refused = copy_store(&*other, &*target, |_| ()).await.unwrap_err();
    assert!(refused.to_string().contains("another store"), "{refused}");
    // Nor is it a source itself.
    let refused = copy_store(&*target, &MemoryStore::new(), |_| ()).await;
    assert!(
        refused.unwrap_err().to_string().contains("cut off"),
        "{target:?}"
    );
    copy_store(&*source, &*target, |_| ()).await.unwrap();
    assert_eq!(contents(&*target).await, contents(&*source).await);

    // Stores that were never devices have no identity: what is too much in the copy tells.
    let plain = |name: &'static str| async move {
        let store: Arc<dyn LocalStore> = Arc::new(MemoryStore::new());
        let table = TableName::new(name).unwrap();
        let schema = Schema::new().with_table(table.clone(), TableSchema::new());
        store.define(&schema).await.unwrap();
        for n in 0..600 {
            let row = Record::from_json(&format!(r#"{{"id":"{n:03}"}}"#)).unwrap();
            let batch = WriteBatch::new().put(&table, row);
            store.commit(batch).await.unwrap();
        }
        store
    };
    let (one, two) = (plain("one").await, plain("two").await);
    let target = begun(&one).await;
    copy_store(&*two, &*target, |_| ()).await.unwrap_err();
    copy_store(&*two, &*target, |_| ()).await.unwrap();
    let one = TableName::new("one").unwrap();
    assert_eq!(target.count(&one, &Query::all()).await.unwrap(), 0);
}

/// A target that has the first records of a copy, but not all.
async fn begun(source: &Arc<dyn LocalStore>) -> Arc<dyn LocalStore> {
    let target: Arc<dyn LocalStore> = Arc::new(MemoryStore::new());
    loop {
        let stopping = Stopping {
            store: Arc::clone(&target),
            left: AtomicUsize::new(3),
        };
        let cut = copy_store(&**source, &stopping, |_| ()).await.unwrap_err();
        assert!(cut.to_string().contains("the disk is gone"), "{cut}");
        let schema = target.schema().await.unwrap();
        for (table, _) in schema.tables().filter(|(table, _)| !table.is_system()) {
            if target.count(table, &Query::all()).await.unwrap() > 0 {
                return target;
            }
        }
    }
}

/// What a random device does to its records, by their place in the table.
#[derive(Debug, Clone)]
enum Change {
    Update(usize),
    Replace(usize),
    Delete(usize),
    Insert,
}

#[tokio::test]
async fn random_stores_are_equal_after_a_copy_there_and_back() {
    let change = prop_oneof![
        (0..9usize).prop_map(Change::Update),
        (0..9usize).prop_map(Change::Replace),
        (0..9usize).prop_map(Change::Delete),
        Just(Change::Insert),
    ];
    let changes = proptest::collection::vec(change, 0..12);
    let cases = (arb::schema(), changes).prop_flat_map(|(schema, changes)| {
        let records = arb::records(&schema, 9);
        (Just(schema), records, Just(changes))
    });
    for_all(60, cases, async |(schema, records, changes)| {
        let source: Arc<dyn LocalStore> = Arc::new(MemoryStore::new());
        let table = TableName::new(TODO).unwrap();
        let schema = Schema::new().with_table(table.clone(), schema);
        source.define(&schema).await.unwrap();
        let pulled = records.iter().cloned();
        let batch = pulled.fold(WriteBatch::new(), |batch, row| batch.put(&table, row));
        source.commit(batch).await.unwrap();
        let sync = SyncContext::builder(Arc::clone(&source))
            .open()
            .await
            .unwrap();
        let todos = sync.table::<Record>(TODO).unwrap();
        for change in changes {
            // Some fail: their record is gone or was never there, or holds what may not be written.
            let _ = match change {
                Change::Insert => todos
                    .insert(&Record::from_json(r#"{"id":"new"}"#).unwrap())
                    .await
                    .map(drop),
                Change::Update(at) | Change::Replace(at) | Change::Delete(at)
                    if at >= records.len() =>
                {
                    Ok(())
                }
                Change::Update(at) => todos
                    .update(records[at].id(), &json!({"free": at}))
                    .await
                    .map(drop),
                Change::Replace(at) => {
                    let row = Record::new(records[at].id().clone(), r#"{"free":null}"#).unwrap();
                    todos.replace(&row).await.map(drop)
                }
                Change::Delete(at) => todos.delete(records[at].id()).await,
            };
        }
        let expected = contents(&*source).await;
        let folder = tempfile::tempdir().unwrap();
        let between = SqliteStore::open(folder.path().join("between.db")).unwrap();
        let copied = copy_store(&*source, &between, |_| ())
            .await
            .map_err(|error| error.to_string())?;
        let back = MemoryStore::new();
        let again = copy_store(&between, &back, |_| ())
            .await
            .map_err(|error| error.to_string())?;
        if copied != again || copied.operations != sync.pending_count().await.unwrap() {
            return Err(format!(
                "{copied:?} and {again:?} of {} operations",
                sync.pending_count().await.unwrap()
            ));
        }
        for (place, found) in [
            ("between", contents(&between).await),
            ("back", contents(&back).await),
        ] {
            if found != expected {
                return Err(format!("{place}: {found:#?}\ninstead of {expected:#?}"));
            }
        }
        Ok(())
    })
    .await;
}

/// Ends a future that needs no waiting.
fn ready<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}
