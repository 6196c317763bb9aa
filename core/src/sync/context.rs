//! The context: the handle that an application has on its store.

use std::fmt;
use std::sync::Arc;

use crate::error::Error;
use crate::name::RecordId;
use crate::schema::Declarations;
use crate::store::{LocalStore, LocalStoreExt, WriteBatch};
use crate::sync::event::Events;
use crate::sync::inner::Inner;
use crate::sync::system::{META, meta_row, meta_value};
use crate::sync::words::row::KeptValues;

/// A local store with its operation queue, and the way to a server. Clones share one context.
///
/// ```
/// # use std::sync::Arc;
/// # async fn example(store: Arc<dyn synctable_core::store::LocalStore>) -> Result<(), synctable_core::Error> {
/// use synctable_core::sync::SyncContext;
/// let sync = SyncContext::builder(store).open().await?;
/// let todos = sync.table::<serde_json::Value>("todoitem")?;
/// todos.insert(&serde_json::json!({"text": "Milk"})).await?;
/// assert_eq!(sync.pending_count().await?, 1);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct SyncContext {
    pub(crate) inner: Arc<Inner>,
}

impl SyncContext {
    /// Everything that happens from now on.
    pub fn events(&self) -> Events {
        self.inner.listeners.subscribe()
    }

    /// How many operations wait in the queue, parked ones too: those of this moment, whoever queued them. They are counted for each call.
    pub async fn pending_count(&self) -> Result<u64, Error> {
        Ok(self.inner.queue.count().await?)
    }

    /// The declared tables, and those that were made on first use. What a server does with them is not kept with a device.
    pub fn declarations(&self) -> Declarations {
        self.inner.tables.declarations()
    }

    /// Values that did not fit the type that a schema step gave their field, counted when the store was converted. They are kept exactly;
    /// [`unknown_values`](Self::unknown_values) lists those that are there now.
    pub fn kept_values(&self) -> &[KeptValues] {
        &self.inner.kept
    }

    /// The store under this context.
    pub fn store(&self) -> &Arc<dyn LocalStore> {
        &self.inner.store
    }

    /// A value that was kept with [`set_setting`](Self::set_setting).
    pub async fn setting(&self, name: &str) -> Result<Option<String>, Error> {
        let id = RecordId::system(&format!("setting|{name}"));
        let row = self.inner.store.get_one(&META, &id).await?;
        Ok(row.map(|row| meta_value(&row)).transpose()?)
    }

    /// Keeps a small value in the store, such as the server's address.
    pub async fn set_setting(&self, name: &str, value: &str) -> Result<(), Error> {
        let row = meta_row(&format!("setting|{name}"), value)?;
        let batch = WriteBatch::new().put(&META, row);
        self.inner.store.commit(batch).await?;
        Ok(())
    }

    /// Makes everything durable and closes the store. Contexts that share it fail from then on.
    pub async fn close(&self) -> Result<(), Error> {
        Ok(self.inner.store.close().await?)
    }
}

impl fmt::Debug for SyncContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncContext")
            .field("store", &self.inner.store)
            .field("server", &self.inner.server)
            .finish_non_exhaustive()
    }
}
