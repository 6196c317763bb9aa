//! An in-memory store for synctable: for tests, and for what need not outlive the process.
//!
//! ```
//! use synctable_core::query::{Query, field};
//! use synctable_core::store::{LocalStore, WriteBatch};
//! use synctable_core::{Record, Schema, TableName, TableSchema};
//! use synctable_memory::MemoryStore;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = MemoryStore::new();
//! let todo = TableName::new("todo")?;
//! store.define(&Schema::new().with_table(todo.clone(), TableSchema::new())).await?;
//! let milk = Record::from_json(r#"{"id":"a","title":"Milk"}"#)?;
//! store.commit(WriteBatch::new().put(&todo, milk)).await?;
//! let page = store.query(&todo, &Query::all().filter(field("title").eq("Milk"))).await?;
//! assert_eq!(page.records.len(), 1);
//! # Ok(()) }
//! ```

mod backend;

use async_trait::async_trait;
use synctable_core::query::Query;
use synctable_core::store::{
    LocalStore, Page, Plan, ProcessLock, StoreCapabilities, StoreError, WriteBatch,
};
use synctable_core::{Record, RecordId, Schema, TableName};
use synctable_kv::KvStore;

pub use backend::MemoryBackend;

/// A store that is gone when it is dropped: a [`KvStore`] over a [`MemoryBackend`].
#[derive(Debug)]
pub struct MemoryStore(KvStore<MemoryBackend>);

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self(KvStore::empty(MemoryBackend::new()))
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl LocalStore for MemoryStore {
    async fn define(&self, schema: &Schema) -> Result<(), StoreError> {
        self.0.define(schema).await
    }
    async fn schema(&self) -> Result<Schema, StoreError> {
        self.0.schema().await
    }
    async fn get(
        &self,
        table: &TableName,
        ids: &[RecordId],
    ) -> Result<Vec<Option<Record>>, StoreError> {
        self.0.get(table, ids).await
    }
    async fn query(&self, table: &TableName, query: &Query) -> Result<Page, StoreError> {
        self.0.query(table, query).await
    }
    async fn commit(&self, batch: WriteBatch) -> Result<(), StoreError> {
        self.0.commit(batch).await
    }
    fn capabilities(&self) -> StoreCapabilities {
        self.0.capabilities()
    }
    async fn count(&self, table: &TableName, query: &Query) -> Result<u64, StoreError> {
        self.0.count(table, query).await
    }
    async fn explain(&self, table: &TableName, query: &Query) -> Result<Plan, StoreError> {
        self.0.explain(table, query).await
    }
    async fn try_lock(&self) -> Result<ProcessLock, StoreError> {
        self.0.try_lock().await
    }
    async fn close(&self) -> Result<(), StoreError> {
        self.0.close().await
    }
}
