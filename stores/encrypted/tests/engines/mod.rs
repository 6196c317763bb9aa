//! Sealed stores over the engines of ours, for the kit.
#![allow(dead_code, reason = "not every test uses all of them")]

use std::path::Path;
use std::sync::Arc;

use synctable_core::store::{LocalStore, StoreError};
use synctable_encrypted::{RawKey, Sealed, SealedBuilder};
use synctable_kv::{KvBackend, KvStore};
use synctable_memory::MemoryBackend;
use synctable_redb::RedbStore;
use synctable_sled::SledStore;
use synctable_sqlite::SqliteKv;
use synctable_testkit::files::FileStore;
use synctable_testkit::{FolderHarness, Harness, async_trait};

pub(crate) fn key() -> RawKey {
    RawKey::from_bytes([0x5a; 32])
}

pub(crate) fn builder<B: KvBackend>(backend: B) -> SealedBuilder<B> {
    Sealed::builder(backend).raw_key(key()).create(true)
}

fn store<B: KvBackend>(builder: SealedBuilder<B>) -> Result<Arc<dyn LocalStore>, StoreError> {
    Ok(Arc::new(KvStore::open(builder.open()?)?))
}

#[derive(Default)]
pub(crate) struct Memory;

#[async_trait]
impl Harness for Memory {
    async fn open(&self) -> Result<Arc<dyn LocalStore>, StoreError> {
        store(builder(MemoryBackend::new()))
    }
}

#[derive(Default)]
pub(crate) struct MemoryWithIndexes;

#[async_trait]
impl Harness for MemoryWithIndexes {
    async fn open(&self) -> Result<Arc<dyn LocalStore>, StoreError> {
        store(builder(MemoryBackend::new()).equality_indexes(true))
    }
}

pub(crate) struct Redb;

impl FileStore for Redb {
    fn open_at(path: &Path, create: bool) -> Result<Arc<dyn LocalStore>, StoreError> {
        store(builder(RedbStore::builder(path).create(create).backend()?))
    }
}

#[async_trait]
impl FolderHarness for Redb {
    async fn open_in(folder: &Path) -> Result<Arc<dyn LocalStore>, StoreError> {
        Self::open_at(&folder.join("store.redb"), true)
    }
}

pub(crate) struct Sqlite;

impl FileStore for Sqlite {
    fn open_at(path: &Path, create: bool) -> Result<Arc<dyn LocalStore>, StoreError> {
        store(builder(SqliteKv::builder(path).create(create).open()?))
    }
}

#[async_trait]
impl FolderHarness for Sqlite {
    async fn open_in(folder: &Path) -> Result<Arc<dyn LocalStore>, StoreError> {
        Self::open_at(&folder.join("store.db"), true)
    }
}

pub(crate) struct Sled;

impl FileStore for Sled {
    fn open_at(path: &Path, create: bool) -> Result<Arc<dyn LocalStore>, StoreError> {
        store(builder(SledStore::builder(path).create(create).backend()?))
    }
}

#[async_trait]
impl FolderHarness for Sled {
    async fn open_in(folder: &Path) -> Result<Arc<dyn LocalStore>, StoreError> {
        Self::open_at(&folder.join("store.sled"), true)
    }
}
