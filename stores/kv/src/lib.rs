//! Turns any sorted key-value engine into a [`LocalStore`](synctable_core::store::LocalStore).
//!
//! An engine that is a sorted map of bytes implements [`KvBackend`] and [`KvSnapshot`]: a snapshot, point get
//! and ordered scan on it, and one atomic write. [`KvStore`] adds the rest: the layout of keys
//! ([`Key`]) and values, the catalogue of declared tables, the checks of a batch, and queries.
//!
//! ```
//! use std::collections::BTreeMap;
//! use std::ops::{Bound, Range};
//! use std::sync::{PoisonError, RwLock, RwLockReadGuard};
//! use synctable_core::store::{LocalStore, LocalStoreExt, StoreError, WriteBatch};
//! use synctable_core::{Record, Schema, TableName, TableSchema};
//! use synctable_kv::{Entry, KvBackend, KvBatch, KvSnapshot, KvStore};
//!
//! type Map = BTreeMap<Vec<u8>, Vec<u8>>;
//!
//! #[derive(Debug, Default)]
//! struct Engine(RwLock<Map>);
//!
//! #[derive(Debug)]
//! struct View<'a>(RwLockReadGuard<'a, Map>);
//!
//! impl KvBackend for Engine {
//!     fn snapshot(&self) -> Result<Box<dyn KvSnapshot + '_>, StoreError> {
//!         Ok(Box::new(View(self.0.read().unwrap_or_else(PoisonError::into_inner))))
//!     }
//!     fn write(&self, batch: &KvBatch) -> Result<(), StoreError> {
//!         let mut map = self.0.write().unwrap_or_else(PoisonError::into_inner);
//!         for (key, value) in batch.writes() {
//!             match value {
//!                 Some(value) => map.insert(key.to_vec(), value.to_vec()),
//!                 None => map.remove(key),
//!             };
//!         }
//!         Ok(())
//!     }
//! }
//!
//! impl KvSnapshot for View<'_> {
//!     fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
//!         Ok(self.0.get(key).cloned())
//!     }
//!     fn scan(&self, keys: Range<&[u8]>, limit: usize) -> Result<Vec<Entry>, StoreError> {
//!         let entries = self.0.range::<[u8], _>((Bound::Included(keys.start), Bound::Excluded(keys.end))).take(limit);
//!         Ok(entries.map(|(key, value)| (key.clone(), value.clone())).collect())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = KvStore::open(Engine::default())?;
//! let todo = TableName::new("todo")?;
//! store.define(&Schema::new().with_table(todo.clone(), TableSchema::new())).await?;
//! let milk = Record::from_json(r#"{"id":"a","title":"Milk"}"#)?;
//! store.commit(WriteBatch::new().put(&todo, milk.clone())).await?;
//! assert_eq!(store.get_one(&todo, milk.id()).await?, Some(milk));
//! # Ok(()) }
//! ```

mod backend;
mod backup;
mod catalogue;
mod condition;
mod define;
#[doc(hidden)]
pub mod delegate;
pub mod files;
mod index;
mod key;
mod open_file;
mod plan;
mod scan;
mod store;
mod value;
mod values;
mod writes;

pub use backend::{Entry, Indexes, KvBackend, KvBatch, KvSnapshot, Promises};
pub use backup::copy_entries;
pub use key::Key;
pub use open_file::OpenFile;
pub use store::KvStore;
