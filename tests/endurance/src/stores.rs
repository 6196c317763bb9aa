//! The stores that are run.

use std::path::Path;
use std::sync::Arc;

use synctable_core::store::{LocalStore, StoreError};
use synctable_encrypted::{RawKey, Sealed};
use synctable_kv::{KvBackend, KvStore};
use synctable_memory::{MemoryBackend, MemoryStore};
use synctable_redb::RedbStore;
use synctable_sled::SledStore;
use synctable_sqlite::{SqliteKv, SqliteStore};
use synctable_testkit::report::Report;
use synctable_testkit::{FolderHarness, Harness, InFolder, Lab, async_trait, child_process};

/// A store by its name.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&mut Report, &str, &dyn Fn() -> Lab),
    /// What a process does that this one started.
    pub(crate) child: fn(),
}

fn entry<H: Harness>(name: &'static str) -> Entry {
    Entry {
        name,
        run: |report, name, lab| report.run::<H>(name, lab),
        child: child_process::<H>,
    }
}

/// Every store.
pub(crate) fn stores() -> Vec<Entry> {
    vec![
        entry::<InFolder<Sqlite>>("sqlite"),
        entry::<InFolder<Redb>>("redb"),
        entry::<InFolder<Sled>>("sled"),
        entry::<Memory>("memory"),
        entry::<InFolder<SealedSqlite>>("sealed-sqlite"),
        entry::<InFolder<SealedRedb>>("sealed-redb"),
        entry::<InFolder<SealedSled>>("sealed-sled"),
        entry::<SealedMemory>("sealed-memory"),
    ]
}

/// A sealed store over an engine. The key is not what these runs test.
fn sealed(engine: impl KvBackend) -> Result<Arc<dyn LocalStore>, StoreError> {
    let key = RawKey::from_bytes([0x5a; 32]);
    let backend = Sealed::builder(engine).raw_key(key).create(true).open()?;
    Ok(Arc::new(KvStore::open(backend)?))
}

struct Sqlite;

#[async_trait]
impl FolderHarness for Sqlite {
    async fn open_in(folder: &Path) -> Result<Arc<dyn LocalStore>, StoreError> {
        Ok(Arc::new(SqliteStore::open(folder.join("store.db"))?))
    }
}

struct Redb;

#[async_trait]
impl FolderHarness for Redb {
    async fn open_in(folder: &Path) -> Result<Arc<dyn LocalStore>, StoreError> {
        Ok(Arc::new(RedbStore::open(folder.join("store.redb"))?))
    }
}

struct Sled;

#[async_trait]
impl FolderHarness for Sled {
    async fn open_in(folder: &Path) -> Result<Arc<dyn LocalStore>, StoreError> {
        Ok(Arc::new(SledStore::open(folder.join("store.sled"))?))
    }
}

#[derive(Default)]
struct Memory;

#[async_trait]
impl Harness for Memory {
    async fn open(&self) -> Result<Arc<dyn LocalStore>, StoreError> {
        Ok(Arc::new(MemoryStore::new()))
    }
}

struct SealedSqlite;

#[async_trait]
impl FolderHarness for SealedSqlite {
    async fn open_in(folder: &Path) -> Result<Arc<dyn LocalStore>, StoreError> {
        sealed(SqliteKv::open(folder.join("store.db"))?)
    }
}

struct SealedRedb;

#[async_trait]
impl FolderHarness for SealedRedb {
    async fn open_in(folder: &Path) -> Result<Arc<dyn LocalStore>, StoreError> {
        sealed(RedbStore::builder(folder.join("store.redb")).backend()?)
    }
}

struct SealedSled;

#[async_trait]
impl FolderHarness for SealedSled {
    async fn open_in(folder: &Path) -> Result<Arc<dyn LocalStore>, StoreError> {
        sealed(SledStore::builder(folder.join("store.sled")).backend()?)
    }
}

#[derive(Default)]
struct SealedMemory;

#[async_trait]
impl Harness for SealedMemory {
    async fn open(&self) -> Result<Arc<dyn LocalStore>, StoreError> {
        sealed(MemoryBackend::new())
    }
}
