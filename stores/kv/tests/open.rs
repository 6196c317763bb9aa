//! What a key-value store makes of what it finds, and of a write whose outcome is not known.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use synctable_core::query::Query;
use synctable_core::store::{Durability, LocalStore, StoreError, StoreErrorKind, WriteBatch};
use synctable_core::{Record, Schema, TableName, TableSchema};
use synctable_kv::{Buffered, Key, KvBackend, KvBatch, KvRead, KvReadExt, KvStore, KvWrite};
use synctable_memory::MemoryBackend;

fn todo() -> TableName {
    TableName::new("todo").unwrap()
}

fn schema() -> Schema {
    Schema::new().with_table(todo(), TableSchema::new())
}

/// A backend that holds one entry.
fn holding(key: Vec<u8>, value: &[u8]) -> MemoryBackend {
    let backend = MemoryBackend::new();
    let mut batch = KvBatch::new(Durability::Immediate);
    batch.put(key, value.to_vec());
    batch.write_to(&backend).unwrap();
    backend
}

fn open_error(backend: MemoryBackend) -> StoreErrorKind {
    KvStore::open(backend).unwrap_err().kind()
}

#[test]
fn foreign_database_is_refused() {
    assert_eq!(
        open_error(holding(vec![7], b"x")),
        StoreErrorKind::NotAStore
    );
    assert_eq!(open_error(holding(vec![], b"x")), StoreErrorKind::NotAStore);
    assert_eq!(
        open_error(holding(Key::Format.encode(), b"x")),
        StoreErrorKind::NotAStore
    );
    assert_eq!(
        open_error(holding(Key::Format.encode(), b"synctable kv x")),
        StoreErrorKind::NotAStore
    );
}

#[test]
fn a_store_without_its_format_is_damaged() {
    let entry = Key::Record {
        table: "todo",
        id: "a",
    };
    let error = open_error(holding(entry.encode(), b"{}"));
    assert_eq!(error, StoreErrorKind::Corrupt);
}

#[test]
fn a_sealed_store_needs_its_key() {
    let backend = holding(Key::Format.encode(), b"synctable sealed \x01\xff");
    assert_eq!(open_error(backend), StoreErrorKind::KeyNeeded);
}

#[test]
fn newer_format_is_refused() {
    let backend = holding(Key::Format.encode(), b"synctable kv 9999");
    assert_eq!(open_error(backend), StoreErrorKind::FormatTooNew);
}

#[tokio::test]
async fn damaged_entries_are_errors() {
    let backend = MemoryBackend::new();
    let store = KvStore::open(backend.clone()).unwrap();
    store.define(&schema()).await.unwrap();
    let mut batch = KvBatch::new(Durability::Immediate);
    batch.put(
        Key::Record {
            table: "todo",
            id: "a",
        }
        .encode(),
        vec![0],
    );
    batch.write_to(&backend).unwrap();
    let id = "a".parse().unwrap();
    let error = store.get(&todo(), &[id]).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    assert!(store.query(&todo(), &Query::all()).await.is_err());

    let mut batch = KvBatch::new(Durability::Immediate);
    batch.put(Key::Table("todo").encode(), b"{".to_vec());
    batch.write_to(&backend).unwrap();
    assert_eq!(open_error(backend), StoreErrorKind::Corrupt);
}

#[test]
fn opening_writes_nothing() {
    let backend = MemoryBackend::new();
    KvStore::open(backend.clone()).unwrap();
    assert!(
        backend
            .snapshot()
            .unwrap()
            .scan(&[]..&[9], 1)
            .unwrap()
            .is_empty()
    );
}

/// Reports that the outcome of a write is not known, once `fails` is set.
#[derive(Debug, Default)]
struct Uncertain {
    memory: MemoryBackend,
    fails: Arc<AtomicBool>,
    turn: Mutex<()>,
}

impl KvBackend for Uncertain {
    fn snapshot(&self) -> Result<Box<dyn KvRead + '_>, StoreError> {
        self.memory.snapshot()
    }
    fn begin_write(&self, durability: Durability) -> Result<Box<dyn KvWrite + '_>, StoreError> {
        let apply = |batch: &KvBatch| {
            if self.fails.swap(false, Ordering::Relaxed) {
                return Err(StoreError::new(StoreErrorKind::Unknown, "the sync failed"));
            }
            batch.write_to(&self.memory)
        };
        Buffered::begin(&self.turn, durability, || self.snapshot(), apply)
    }
    fn sync(&self) -> Result<(), StoreError> {
        self.memory.sync()
    }
}

#[tokio::test]
async fn unknown_outcome_stops_writes_but_not_reads() {
    let backend = Uncertain::default();
    let fails = Arc::clone(&backend.fails);
    let store = KvStore::open(backend).unwrap();
    store.define(&schema()).await.unwrap();
    let put = || WriteBatch::new().put(&todo(), Record::from_json(r#"{"id":"a"}"#).unwrap());
    fails.store(true, Ordering::Relaxed);
    for _ in 0..2 {
        let error = store.commit(put()).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unknown);
    }
    let another = Schema::new().with_table(TableName::new("other").unwrap(), TableSchema::new());
    assert_eq!(
        store.define(&another).await.unwrap_err().kind(),
        StoreErrorKind::Unknown
    );
    assert_eq!(store.count(&todo(), &Query::all()).await.unwrap(), 0);
}

/// It counts how often a copy of an earlier store would be made.
#[derive(Debug, Clone, Default)]
struct Keeping {
    engine: MemoryBackend,
    kept: Arc<AtomicUsize>,
}

impl KvBackend for Keeping {
    fn snapshot(&self) -> Result<Box<dyn KvRead + '_>, StoreError> {
        self.engine.snapshot()
    }

    fn begin_write(&self, durability: Durability) -> Result<Box<dyn KvWrite + '_>, StoreError> {
        self.engine.begin_write(durability)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.engine.sync()
    }

    fn keep_earlier(&self, format: u32) -> Result<(), StoreError> {
        assert_eq!(format, 1);
        self.kept.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

#[tokio::test]
async fn an_earlier_store_is_copied_for_a_write_that_is_done_alone() {
    let engine = Keeping::default();
    let row = Record::from_json(r#"{"id":"a"}"#).unwrap();
    {
        let store = KvStore::open(engine.clone()).unwrap();
        store.define(&schema()).await.unwrap();
        let put = WriteBatch::new().put(&todo(), row.clone());
        store.commit(put).await.unwrap();
    }
    let mut batch = KvBatch::new(Durability::Immediate);
    batch.put(Key::Format.encode(), b"synctable kv 1".to_vec());
    batch.write_to(&engine).unwrap();
    let store = KvStore::open(engine.clone()).unwrap();
    let kept = || engine.kept.load(Ordering::Relaxed);
    for _ in 0..3 {
        let crossing = WriteBatch::new().expect_absent(&todo(), row.id());
        let refused = store.commit(crossing.put(&todo(), row.clone())).await;
        assert_eq!(refused.unwrap_err().kind(), StoreErrorKind::CheckFailed);
    }
    assert_eq!(kept(), 0);
    for _ in 0..3 {
        let put = WriteBatch::new().put(&todo(), row.clone());
        store.commit(put).await.unwrap();
    }
    assert_eq!(kept(), 1);
}
