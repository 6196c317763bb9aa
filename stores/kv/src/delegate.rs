//! Stores that are a [`KvStore`](crate::KvStore) under a name of their own.

/// Makes a type whose first field is a [`KvStore`](crate::KvStore) a store, too.
///
/// ```
/// use synctable_kv::{KvBackend, KvStore, local_store};
///
/// #[derive(Debug)]
/// pub struct MyStore(KvStore<std::sync::Arc<dyn KvBackend>>);
///
/// local_store!(MyStore);
/// ```
#[macro_export]
macro_rules! local_store {
    ($store:ty) => {
        $crate::__asynchronous! {
        #[deny(clippy::missing_trait_methods)]
        impl $crate::delegate::LocalStore for $store {
            async fn define(
                &self,
                schema: &$crate::delegate::Schema,
            ) -> Result<(), $crate::delegate::StoreError> {
                $crate::delegate::LocalStore::define(&self.0, schema).await
            }
            async fn schema(
                &self,
            ) -> Result<$crate::delegate::Schema, $crate::delegate::StoreError> {
                $crate::delegate::LocalStore::schema(&self.0).await
            }
            async fn redefine(
                &self,
                table: &$crate::delegate::TableName,
                declaration: &$crate::delegate::TableSchema,
            ) -> Result<(), $crate::delegate::StoreError> {
                $crate::delegate::LocalStore::redefine(&self.0, table, declaration).await
            }
            async fn get(
                &self,
                table: &$crate::delegate::TableName,
                ids: &[$crate::delegate::RecordId],
            ) -> Result<Vec<Option<$crate::delegate::Record>>, $crate::delegate::StoreError> {
                $crate::delegate::LocalStore::get(&self.0, table, ids).await
            }
            async fn query(
                &self,
                table: &$crate::delegate::TableName,
                query: &$crate::delegate::Query,
            ) -> Result<$crate::delegate::Page, $crate::delegate::StoreError> {
                $crate::delegate::LocalStore::query(&self.0, table, query).await
            }
            async fn commit(
                &self,
                batch: $crate::delegate::WriteBatch,
            ) -> Result<$crate::delegate::Position, $crate::delegate::StoreError> {
                $crate::delegate::LocalStore::commit(&self.0, batch).await
            }
            async fn position(
                &self,
            ) -> Result<$crate::delegate::Position, $crate::delegate::StoreError> {
                $crate::delegate::LocalStore::position(&self.0).await
            }
            async fn changes_since(
                &self,
                since: $crate::delegate::Position,
                limit: usize,
            ) -> Result<$crate::delegate::Changes, $crate::delegate::StoreError> {
                $crate::delegate::LocalStore::changes_since(&self.0, since, limit).await
            }
            fn capabilities(&self) -> $crate::delegate::StoreCapabilities {
                $crate::delegate::LocalStore::capabilities(&self.0)
            }
            async fn count(
                &self,
                table: &$crate::delegate::TableName,
                query: &$crate::delegate::Query,
            ) -> Result<u64, $crate::delegate::StoreError> {
                $crate::delegate::LocalStore::count(&self.0, table, query).await
            }
            async fn explain(
                &self,
                table: &$crate::delegate::TableName,
                query: &$crate::delegate::Query,
            ) -> Result<$crate::delegate::Plan, $crate::delegate::StoreError> {
                $crate::delegate::LocalStore::explain(&self.0, table, query).await
            }
            async fn try_lock(
                &self,
            ) -> Result<$crate::delegate::ProcessLock, $crate::delegate::StoreError> {
                $crate::delegate::LocalStore::try_lock(&self.0).await
            }
            async fn check(&self) -> Result<(), $crate::delegate::StoreError> {
                $crate::delegate::LocalStore::check(&self.0).await
            }
            async fn backup(
                &self,
                path: &std::path::Path,
                mark: $crate::delegate::WriteBatch,
            ) -> Result<(), $crate::delegate::StoreError> {
                $crate::delegate::LocalStore::backup(&self.0, path, mark).await
            }
            async fn close(&self) -> Result<(), $crate::delegate::StoreError> {
                $crate::delegate::LocalStore::close(&self.0).await
            }
        }
        }
    };
}

/// What `async_trait` makes of an implementation: as this crate is built, whatever the crate that names the macro is built with.
#[cfg(not(synctable_single_threaded))]
#[doc(hidden)]
#[macro_export]
macro_rules! __asynchronous {
    ($($implementation:tt)*) => {
        #[$crate::delegate::async_trait]
        $($implementation)*
    };
}

/// The same for one thread.
#[cfg(synctable_single_threaded)]
#[doc(hidden)]
#[macro_export]
macro_rules! __asynchronous {
    ($($implementation:tt)*) => {
        #[$crate::delegate::async_trait(?Send)]
        $($implementation)*
    };
}

// What the macro names, so that its user need not depend on more.
pub use async_trait::async_trait;
pub use synctable_core::query::Query;
pub use synctable_core::store::{
    Changes, LocalStore, Page, Plan, Position, ProcessLock, StoreCapabilities, StoreError,
    WriteBatch,
};
pub use synctable_core::{Record, RecordId, Schema, TableName, TableSchema};
