//! Turns any sorted key-value engine into a [`LocalStore`](synctable_core::store::LocalStore).
//!
//! An engine that is a sorted map of bytes implements [`KvBackend`] and [`KvRead`]: snapshots, point get and iteration in both
//! directions, and a write transaction, its own ([`KvWrite`]) or one that is made of an atomic batch ([`Buffered`]). [`KvStore`] adds the rest: the layout of keys
//! ([`Key`]) and values, the catalogue of declared tables, the checks of a batch, and queries.
//!
//! ```
//! use std::collections::BTreeMap;
//! use std::ops::{Bound, Range};
//! use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};
//! use synctable_core::query::Direction;
//! use synctable_core::store::{Durability, LocalStore, LocalStoreExt, StoreError, WriteBatch};
//! use synctable_core::{Record, Schema, TableName, TableSchema};
//! use synctable_kv::{Buffered, Bytes, KvBackend, KvBatch, KvEntries, KvRead, KvStore, KvWrite};
//!
//! type Map = BTreeMap<Vec<u8>, Vec<u8>>;
//!
//! #[derive(Debug, Default)]
//! struct Engine {
//!     map: RwLock<Map>,
//!     /// Whoever writes.
//!     turn: Mutex<()>,
//! }
//!
//! #[derive(Debug)]
//! struct View<'a>(RwLockReadGuard<'a, Map>);
//!
//! impl Engine {
//!     fn apply(&self, batch: &KvBatch) -> Result<(), StoreError> {
//!         let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
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
//! impl KvBackend for Engine {
//!     fn snapshot(&self) -> Result<Box<dyn KvRead + '_>, StoreError> {
//!         Ok(Box::new(View(self.map.read().unwrap_or_else(PoisonError::into_inner))))
//!     }
//!     fn begin_write(&self, durability: Durability) -> Result<Box<dyn KvWrite + '_>, StoreError> {
//!         Buffered::begin(&self.turn, durability, || self.snapshot(), |batch| self.apply(batch))
//!     }
//!     fn sync(&self) -> Result<(), StoreError> {
//!         Ok(()) // It promises nothing.
//!     }
//! }
//!
//! impl KvRead for View<'_> {
//!     fn get(&self, key: &[u8]) -> Result<Option<Bytes<'_>>, StoreError> {
//!         Ok(self.0.get(key).map(|value| value.as_slice().into()))
//!     }
//!     fn entries(&self, keys: Range<&[u8]>, direction: Direction) -> KvEntries<'_> {
//!         if keys.is_empty() {
//!             return Box::new(std::iter::empty());
//!         }
//!         let range = self.0.range::<[u8], _>((Bound::Included(keys.start), Bound::Excluded(keys.end)));
//!         let entries = range.map(|(key, value)| Ok((key.as_slice().into(), value.as_slice().into())));
//!         match direction {
//!             Direction::Ascending => Box::new(entries),
//!             Direction::Descending => Box::new(entries.rev()),
//!         }
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
mod batch;
mod bytes;
mod catalogue;
mod condition;
mod define;
#[doc(hidden)]
pub mod delegate;
pub mod files;
mod index;
mod key;
mod known;
mod long_keys;
#[cfg(not(synctable_single_threaded))]
mod offload;
mod open_file;
mod plan;
mod read;
mod reads;
mod scan;
mod shared;
mod store;
mod value;
mod values;
mod writes;

pub use backend::{Indexes, KvBackend, Limits, Promises};
pub use backup::copy_entries;
pub use batch::{Buffered, KvBatch};
pub use bytes::Bytes;
pub use key::Key;
#[cfg(not(synctable_single_threaded))]
pub use offload::{Job, Lane, Offload, Offloaded};
pub use open_file::OpenFile;
pub use read::{
    Entry, KvEntries, KvEntry, KvRead, KvReadExt, KvWrite, delete_each, failing, pages,
};
pub use store::KvStore;
