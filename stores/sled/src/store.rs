//! The store itself.

use std::path::Path;

use std::sync::Arc;
use synctable_core::store::StoreError;

use synctable_kv::{KvStore, Offloaded};
use synctable_threads::Threads;

use crate::backend::SledBackend;
use crate::open::SledBuilder;

/// A store in one sled folder: a [`KvStore`] over a [`SledBackend`], which works on [threads](Threads) of its own.
///
/// ```
/// use synctable_core::store::{LocalStore, LocalStoreExt, WriteBatch};
/// use synctable_core::{Record, Schema, TableName, TableSchema};
/// use synctable_sled::SledStore;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let folder = tempfile::tempdir()?;
/// let store = SledStore::open(folder.path().join("app.sled"))?;
/// let todo = TableName::new("todo")?;
/// store.define(&Schema::new().with_table(todo.clone(), TableSchema::new())).await?;
///
/// let milk = Record::from_json(r#"{"id":"a","title":"Milk"}"#)?;
/// store.commit(WriteBatch::new().put(&todo, milk.clone())).await?;
/// assert_eq!(store.get_one(&todo, milk.id()).await?, Some(milk));
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct SledStore(Offloaded<SledBackend>);

impl SledStore {
    /// Opens the store at `path`; makes its folder where there is none.
    ///
    /// A folder that is not a store of this kind is refused and stays as it is. This call reads and
    /// writes the disk, for some milliseconds.
    ///
    /// # Errors
    /// Of the kinds [`NotAStore`](synctable_core::store::StoreErrorKind::NotAStore), `Corrupt`, `FormatTooNew`,
    /// `KeyNeeded`, `Permission`, `Locked`, `Full` or `Io`.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::builder(path).open()
    }

    /// Opens the store at `path` for reading only: nothing in its folder is written. It works where the medium may not be written and where the disk is
    /// full; a store that a process has open is [`Locked`](synctable_core::store::StoreErrorKind::Locked).
    ///
    /// sled writes whenever it opens a folder, so this reads a private copy of all of it, in the folder for temporary files, or in memory where
    /// the system lends that as a folder. Every `commit`, and a `define` of something new, fails with
    /// [`Unsupported`](synctable_core::store::StoreErrorKind::Unsupported).
    ///
    /// # Errors
    /// As those of [`open`](Self::open).
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::builder(path).open_read_only()
    }

    /// Settings for opening the store at `path`.
    pub fn builder(path: impl AsRef<Path>) -> SledBuilder {
        SledBuilder::new(path.as_ref())
    }

    pub(crate) fn new(store: KvStore<SledBackend>, inline: bool) -> Self {
        Self(if inline {
            Offloaded::inline(store)
        } else {
            Offloaded::new(store, Arc::new(Threads::new()))
        })
    }
}

synctable_kv::local_store!(SledStore);
