//! Every kind of store with files is backed up while the application writes, and what is restored knows what it is.
#![cfg(feature = "full")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};
use synctable::encrypted::RawKey;
use synctable::query::Query;
use synctable::store::{Durability, LocalStore, LocalStoreExt as _, StoreErrorKind, WriteBatch};
use synctable::sync::{Operation, OperationState, SyncContext};
use synctable::testkit::engine::TestServer;
use synctable::{
    Error, MemoryStore, Missing, Record, RecordId, Schema, StoreKey, StoreUrl, TableName,
    TableSchema,
};

const KINDS: [&str; 6] = [
    "sqlite",
    "redb",
    "sled",
    "encrypted+sqlite",
    "encrypted+redb",
    "encrypted+sled",
];

fn open(kind: &str, path: &Path, missing: Missing) -> Arc<dyn LocalStore> {
    let url: StoreUrl = format!("{kind}:{}", path.display()).parse().unwrap();
    let key = || StoreKey::Raw(RawKey::from_bytes([7; 32]));
    let key = url.is_encrypted().then(key);
    url.open(key, missing).unwrap().store
}

async fn context(store: &Arc<dyn LocalStore>, server: &TestServer) -> SyncContext {
    let todo = TableName::new("todo").unwrap();
    SyncContext::builder(Arc::clone(store))
        .transport(server.clone())
        .schema(Schema::new().with_table(todo, TableSchema::new()))
        .local_durability(Durability::Eventual)
        .open()
        .await
        .unwrap()
}

async fn store_id(store: &dyn LocalStore) -> String {
    let table = TableName::stored("__meta").unwrap();
    let id = RecordId::new("store").unwrap();
    let row = store.get_one(&table, &id).await.unwrap().unwrap();
    let value = row.member("value").unwrap();
    value.as_str().unwrap().to_owned()
}

/// Pairs of records that are inserted together: both are in a copy, or none is, and each with its operation.
async fn is_one_moment(store: &Arc<dyn LocalStore>) -> usize {
    let sync = context(store, &TestServer::new()).await;
    let todos = sync.table::<Record>("todo").unwrap();
    let records = todos.query().await.unwrap().records;
    let ids: BTreeSet<&str> = records.iter().map(|record| record.id().as_str()).collect();
    let pending = sync.pending().await.unwrap();
    let queued: BTreeSet<&str> = pending.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(ids, queued);
    let pairs = ids.len() / 2;
    let expected = (0..pairs).flat_map(|n| [format!("a{n:06}"), format!("b{n:06}")]);
    let expected: BTreeSet<String> = expected.collect();
    assert!(ids.iter().copied().eq(expected.iter().map(String::as_str)));
    assert!(sync.verify().await.unwrap().is_empty());
    sync.close().await.unwrap();
    pairs
}

async fn insert_pairs(sync: &SyncContext, first: usize, count: usize) {
    let todos = sync.table::<Value>("todo").unwrap();
    let mut batch = sync.transaction();
    for n in first..first + count {
        for side in ["a", "b"] {
            let record = json!({"id": format!("{side}{n:06}"), "text": "x".repeat(200)});
            batch.insert(&todos, &record).unwrap();
        }
    }
    batch.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_backup_is_one_moment_of_a_store_that_is_written_all_the_while() {
    for kind in KINDS {
        for size in [10, 200, 1500] {
            let folder = tempfile::tempdir().unwrap();
            let store = open(kind, &folder.path().join("store"), Missing::Make);
            let sync = context(&store, &TestServer::new()).await;
            insert_pairs(&sync, 0, size).await;
            let (stop, written) = (
                Arc::new(AtomicBool::new(false)),
                Arc::new(AtomicUsize::new(size)),
            );
            let writer = {
                let (sync, stop, written) = (sync.clone(), Arc::clone(&stop), Arc::clone(&written));
                tokio::spawn(async move {
                    while !stop.load(Ordering::SeqCst) {
                        let next = written.load(Ordering::SeqCst);
                        insert_pairs(&sync, next, 1).await;
                        written.store(next + 1, Ordering::SeqCst);
                    }
                })
            };
            let mut moments = Vec::new();
            for number in 0..2 {
                while written.load(Ordering::SeqCst) < size + 3 * (number + 1) {
                    tokio::task::yield_now().await;
                }
                let before = written.load(Ordering::SeqCst);
                let path = folder.path().join(format!("backup-{number}"));
                sync.backup(&path).await.unwrap();
                let after = written.load(Ordering::SeqCst) + 1;
                moments.push((path, before, after));
            }
            stop.store(true, Ordering::SeqCst);
            writer.await.unwrap();
            sync.close().await.unwrap();
            for (path, before, after) in moments {
                let pairs = is_one_moment(&open(kind, &path, Missing::Refuse)).await;
                assert!(
                    (before..=after).contains(&pairs),
                    "{kind}: {before} {pairs} {after}"
                );
            }
            assert!(
                is_one_moment(&open(kind, &folder.path().join("store"), Missing::Refuse)).await
                    > size
            );
            let left = std::fs::read_dir(folder.path()).unwrap();
            let names = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let drafts = names.filter(|name| name.contains(".new-")).count();
            assert_eq!(drafts, 0, "{kind}");
        }
    }
}

fn states(operations: &[Operation]) -> Vec<(OperationState, bool)> {
    let state = |operation: &Operation| (operation.state, operation.key.is_some());
    operations.iter().map(state).collect()
}

#[tokio::test]
async fn what_is_restored_is_a_device_of_its_own() {
    for kind in KINDS {
        let folder = tempfile::tempdir().unwrap();
        let server = TestServer::new();
        let todo = TableName::new("todo").unwrap();
        for id in ["kept", "edited"] {
            let row = json!({"id": id, "n": 1}).to_string();
            server.put(&todo, &Record::from_json(&row).unwrap());
        }
        let store = open(kind, &folder.path().join("store"), Missing::Make);
        let device = context(&store, &server).await;
        let todos = device.table::<Value>("todo").unwrap();
        todos.pull(Query::all(), "all").await.unwrap();
        todos.insert(&json!({"id": "new", "n": 1})).await.unwrap();
        todos.update("edited", &json!({"n": 2})).await.unwrap();
        let path = folder.path().join("backup");
        device.backup(&path).await.unwrap();
        // It goes on: both are pushed, and one is edited behind the backup.
        assert_eq!(device.push().await.unwrap().pushed, 2);
        let pending = [(OperationState::Attempted, true); 2];

        let copies = [folder.path().join("first"), folder.path().join("second")];
        for copy in &copies {
            // One backup is restored twice.
            let backup = open(kind, &path, Missing::Refuse);
            synctable::sync::backup_store(&*backup, copy).await.unwrap();
            backup.close().await.unwrap();
        }
        let mut names = vec![store_id(&*store).await];
        for (number, copy) in copies.iter().enumerate() {
            let restored = open(kind, copy, Missing::Refuse);
            let sync = context(&restored, &server).await;
            names.push(store_id(&*restored).await);
            assert_eq!(states(&sync.pending().await.unwrap()), pending, "{kind}");
            let todos = sync.table::<Value>("todo").unwrap();
            if number == 1 {
                // What is edited here goes behind what was pushed there.
                todos.update("new", &json!({"more": true})).await.unwrap();
            }
            let report = sync.push().await.unwrap();
            assert_eq!(
                (report.conflicts, report.rejected),
                (0, 0),
                "{kind}: {report:?}"
            );
            // The edit waited behind what had been pushed.
            sync.push().await.unwrap();
            assert_eq!(sync.pending_count().await.unwrap(), 0, "{kind}");
            todos.pull(Query::all(), "all").await.unwrap();
            assert!(sync.verify().await.unwrap().is_empty());
            // Opened again it is the same device.
            drop(sync);
            context(&restored, &server).await;
            assert_eq!(Some(&store_id(&*restored).await), names.last());
            restored.close().await.unwrap();
        }
        for id in ["new", "edited"] {
            assert!(server.effects(&todo, id) > 0, "{kind}: {id}");
        }
        assert_eq!(server.live(&todo).len(), 3);
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 3, "{kind}");
        device.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_dropped_backup_is_whole_or_absent() {
    let folder = tempfile::tempdir().unwrap();
    for kind in KINDS {
        let store = open(kind, &folder.path().join(kind), Missing::Make);
        let sync = context(&store, &TestServer::new()).await;
        insert_pairs(&sync, 0, 500).await;
        let path = folder.path().join(format!("{kind}.backup"));
        let backup = sync.backup(&path);
        // Polled once and dropped.
        tokio::select! {
            biased;
            done = backup => done.unwrap(),
            () = std::future::ready(()) => {}
        }
        if path.exists() {
            assert_eq!(
                is_one_moment(&open(kind, &path, Missing::Refuse)).await,
                500
            );
        }
        sync.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_store_without_files_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn LocalStore> = Arc::new(MemoryStore::new());
    let sync = context(&store, &TestServer::new()).await;
    let Err(Error::Store(error)) = sync.backup(folder.path().join("x")).await else {
        panic!("a store in memory has no files");
    };
    assert_eq!(error.kind(), StoreErrorKind::Unsupported);
    let mark = WriteBatch::new();
    let taken = open("sqlite", &folder.path().join("x"), Missing::Make);
    let error = taken.backup(folder.path(), mark).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::NotAStore);
}
