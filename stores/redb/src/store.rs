//! The store itself.

use std::path::Path;

use std::sync::Arc;
use synctable_core::store::StoreError;

use synctable_kv::{KvStore, Offloaded};
use synctable_threads::Threads;

use crate::backend::RedbBackend;
use crate::open::RedbBuilder;

/// A store in one redb file: a [`KvStore`] over a [`RedbBackend`], which works on [threads](Threads) of its own.
///
/// ```
/// use synctable_core::store::{LocalStore, LocalStoreExt, WriteBatch};
/// use synctable_core::{Record, Schema, TableName, TableSchema};
/// use synctable_redb::RedbStore;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let folder = tempfile::tempdir()?;
/// let store = RedbStore::open(folder.path().join("app.redb"))?;
/// let todo = TableName::new("todo")?;
/// store.define(&Schema::new().with_table(todo.clone(), TableSchema::new())).await?;
///
/// let milk = Record::from_json(r#"{"id":"a","title":"Milk"}"#)?;
/// store.commit(WriteBatch::new().put(&todo, milk.clone())).await?;
/// assert_eq!(store.get_one(&todo, milk.id()).await?, Some(milk));
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct RedbStore(Offloaded<RedbBackend>);

impl RedbStore {
    /// Opens the store at `path`; makes it where there is no file.
    ///
    /// A file that is not a store of this kind is refused and stays as it is. This call reads and
    /// writes the disk, for some milliseconds; after a crash it reads the whole file.
    ///
    /// # Errors
    /// Of the kinds [`NotAStore`](synctable_core::store::StoreErrorKind::NotAStore), `Corrupt`, `FormatTooNew`,
    /// `KeyNeeded`, `Permission`, `Locked`, `Full` or `Io`.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::builder(path).open()
    }

    /// Opens the store at `path` for reading only: nothing in its folder is written. It works where the medium may not be written and where the disk is
    /// full. Several may read at once; a store that a process has open for writing is [`Locked`](synctable_core::store::StoreErrorKind::Locked).
    ///
    /// Reads show what [`open`](Self::open) would show. A file that was not closed is repaired in a private copy, in the folder for
    /// temporary files, or in memory where the system lends that as a folder. Every `commit`, and a `define` of something new,
    /// fails with [`Unsupported`](synctable_core::store::StoreErrorKind::Unsupported).
    ///
    /// # Errors
    /// As those of [`open`](Self::open).
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::builder(path).open_read_only()
    }

    /// Settings for opening the store at `path`.
    pub fn builder(path: impl AsRef<Path>) -> RedbBuilder {
        RedbBuilder::new(path.as_ref())
    }

    pub(crate) fn new(store: KvStore<RedbBackend>, inline: bool) -> Self {
        Self(if inline {
            Offloaded::inline(store)
        } else {
            Offloaded::new(store, Arc::new(Threads::new()))
        })
    }
}

synctable_kv::local_store!(RedbStore);
