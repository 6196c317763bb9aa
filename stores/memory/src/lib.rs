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

synctable_kv::local_store!(MemoryStore);
