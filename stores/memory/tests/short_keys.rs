//! A store over an engine with the keys of LMDB passes the whole kit; engines that break their contract do not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod short;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use short::{Flaw, Short};
use synctable_core::query::Direction;
use synctable_core::store::{
    Durability, LocalStore, LocalStoreExt, StoreError, StoreErrorKind, WriteBatch,
};
use synctable_core::{Record, Schema, TableName, TableSchema};
use synctable_kv::{
    Buffered, Bytes, KvBackend, KvBatch, KvEntries, KvRead, KvReadExt as _, KvStore, KvWrite,
    Limits,
};
use synctable_memory::MemoryBackend;
use synctable_stories::store_tests;
use synctable_testkit::kv::check_engine;
use synctable_testkit::{Harness, async_trait, long_keys, run};

#[derive(Default)]
struct Lmdb;

#[cfg_attr(not(synctable_single_threaded), async_trait)]
#[cfg_attr(synctable_single_threaded, async_trait(?Send))]
impl Harness for Lmdb {
    async fn open(&self) -> Result<Arc<dyn LocalStore>, StoreError> {
        Ok(Arc::new(KvStore::open(Short::new(Flaw::Nothing))?))
    }
}

#[derive(Default)]
struct Hashing;

#[cfg_attr(not(synctable_single_threaded), async_trait)]
#[cfg_attr(synctable_single_threaded, async_trait(?Send))]
impl Harness for Hashing {
    async fn open(&self) -> Result<Arc<dyn LocalStore>, StoreError> {
        Ok(Arc::new(KvStore::open(Short::new(Flaw::Hashes))?))
    }
}

mod kit {
    use super::*;

    store_tests!(Lmdb; base, changes, long_keys, model, concurrent, unordered, contexts, cancel, schema_change);
}

#[test]
fn engines_keep_their_contract() {
    check_engine(&Short::new(Flaw::Nothing));
    check_engine(&MemoryBackend::new());
}

/// What it takes to find `flaw`: the sentence of the failure.
fn found(check: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(check)).expect_err("the bug is found");
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => (*panic.downcast::<&str>().expect("a text")).to_owned(),
    }
}

#[test]
fn broken_engines_are_found() {
    for (flaw, part) in [
        (Flaw::SkipsAtPages, "KvRead::entries"),
        (Flaw::TakesAll, "Limits::longest_key"),
        (Flaw::NoUndo, "dropped"),
        (Flaw::TakesTheEnd, "a range holds its start and not its end"),
    ] {
        let sentence = found(|| check_engine(&Short::new(flaw)));
        assert!(sentence.contains(part), "{flaw:?}: {sentence}");
    }
}

/// It begins as many transactions at once as are asked for.
#[derive(Debug, Default)]
struct NobodyWaits {
    map: MemoryBackend,
    turns: Mutex<()>,
}

impl KvBackend for NobodyWaits {
    fn snapshot(&self) -> Result<Box<dyn KvRead + '_>, StoreError> {
        self.map.snapshot()
    }
    fn begin_write(&self, durability: Durability) -> Result<Box<dyn KvWrite + '_>, StoreError> {
        let turn = Box::leak(Box::new(Mutex::new(())));
        let apply = |batch: &KvBatch| {
            let _one = self.turns.lock();
            batch.write_to(&self.map)
        };
        Buffered::begin(turn, durability, || self.snapshot(), apply)
    }
    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[test]
#[cfg(not(synctable_single_threaded))]
fn a_transaction_that_holds_nobody_off_is_found() {
    let sentence = found(|| check_engine(&NobodyWaits::default()));
    assert!(sentence.contains("KvBackend::begin_write"), "{sentence}");
}

/// What it calls a snapshot takes the lock anew for each read.
#[derive(Debug, Default)]
struct LooksAnew(MemoryBackend);

struct Anew<'a>(&'a MemoryBackend);

impl KvRead for Anew<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes<'_>>, StoreError> {
        Ok(self.0.snapshot()?.copy_of(key)?.map(Bytes::from))
    }
    fn entries(&self, keys: Range<&[u8]>, direction: Direction) -> KvEntries<'_> {
        let snapshot = self.0.snapshot().unwrap();
        let found = match direction {
            Direction::Ascending => snapshot.scan(keys, usize::MAX),
            Direction::Descending => snapshot.scan_back(keys, usize::MAX),
        };
        let entries = found.unwrap().into_iter();
        Box::new(entries.map(|(key, value)| Ok((key.into(), value.into()))))
    }
}

impl KvBackend for LooksAnew {
    fn snapshot(&self) -> Result<Box<dyn KvRead + '_>, StoreError> {
        Ok(Box::new(Anew(&self.0)))
    }
    fn begin_write(&self, durability: Durability) -> Result<Box<dyn KvWrite + '_>, StoreError> {
        self.0.begin_write(durability)
    }
    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[test]
#[cfg(not(synctable_single_threaded))]
fn a_snapshot_that_is_none_is_found() {
    let sentence = found(|| check_engine(&LooksAnew::default()));
    assert!(sentence.contains("KvBackend::snapshot"), "{sentence}");
}

/// Hashing what is too long keeps records apart, and loses their order.
#[test]
fn a_layer_that_hashes_long_keys_is_found() {
    let sentence = found(|| {
        run(async { long_keys::many_long_ids_are_paged_through(&Hashing).await });
    });
    assert!(sentence.contains("LocalStore::query"), "{sentence}");
}

#[tokio::test]
async fn a_record_that_is_too_long_is_refused_before_anything_is_written() {
    let store = KvStore::open(Short::new(Flaw::Nothing)).unwrap();
    let todo = TableName::new("todo").unwrap();
    store
        .define(&Schema::new().with_table(todo.clone(), TableSchema::new()))
        .await
        .unwrap();
    let long = format!(r#"{{"id":"b","text":"{}"}}"#, "x".repeat(8 << 20));
    let batch = WriteBatch::new()
        .put(&todo, Record::from_json(r#"{"id":"a"}"#).unwrap())
        .put(&todo, Record::from_json(&long).unwrap());
    let error = store.commit(batch).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unsupported);
    assert!(error.to_string().contains("make it shorter"), "{error}");
    let a = "a".parse().unwrap();
    assert_eq!(store.get_one(&todo, &a).await.unwrap(), None);
    let small = WriteBatch::new().put(&todo, Record::from_json(r#"{"id":"a"}"#).unwrap());
    store.commit(small).await.unwrap();
}

/// An engine with too short keys for any store.
#[derive(Debug, Default)]
struct Tiny(MemoryBackend);

impl KvBackend for Tiny {
    fn snapshot(&self) -> Result<Box<dyn KvRead + '_>, StoreError> {
        self.0.snapshot()
    }
    fn begin_write(&self, durability: Durability) -> Result<Box<dyn KvWrite + '_>, StoreError> {
        self.0.begin_write(durability)
    }
    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }
    fn limits(&self) -> Limits {
        Limits::default().with_longest_key(Limits::LEAST_KEY - 1)
    }
}

#[test]
fn an_engine_with_tiny_keys_is_refused() {
    let error = KvStore::open(Tiny::default()).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unsupported);
}
