//! Reads that may take long: kept off the threads that answer requests, few at a time, and ended when nobody waits.

use std::future::Future;
use std::sync::Arc;

use synctable_core::TableName;
use synctable_core::query::{Query, Stop, StopOnDrop};
use synctable_core::store::{LocalStore, Page, StoreError, StoreErrorKind};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// Work of a query that may be done where the request is answered.
const HERE: u64 = 20_000;

/// The store's reads for pages and counts.
#[derive(Debug)]
pub(crate) struct Scans {
    store: Arc<dyn LocalStore>,
    permits: Arc<Semaphore>,
}

impl Scans {
    pub(crate) fn new(store: Arc<dyn LocalStore>, most: usize) -> Self {
        Self {
            store,
            permits: Arc::new(Semaphore::new(most.max(1))),
        }
    }

    /// One page of a query.
    pub(crate) async fn query(&self, table: &TableName, query: &Query) -> Result<Page, StoreError> {
        self.read(table, query, |store, table, query| async move {
            store.query(&table, &query).await
        })
        .await
    }

    /// How many records match a query.
    pub(crate) async fn count(&self, table: &TableName, query: &Query) -> Result<u64, StoreError> {
        self.read(table, query, |store, table, query| async move {
            store.count(&table, &query).await
        })
        .await
    }

    /// Tries a read here, with little work, then on a thread of its own.
    async fn read<T, R>(
        &self,
        table: &TableName,
        query: &Query,
        read: impl Fn(Arc<dyn LocalStore>, TableName, Query) -> R + Send + Sync + 'static,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        R: Future<Output = Result<T, StoreError>> + Send,
    {
        let start = |query: Query| read(Arc::clone(&self.store), table.clone(), query);
        let runtime = match Handle::try_current() {
            Ok(runtime) if !self.store.capabilities().background_reads => runtime,
            _ => return start(query.clone()).await,
        };
        let (mut short, here) = (query.clone(), Stop::after(HERE));
        short.stop = Some(here.clone());
        match start(short).await {
            Err(error) if error.kind() == StoreErrorKind::OverBudget && here.is_set() => {}
            result => return result,
        }
        let closed = || StoreError::new(StoreErrorKind::Closed, "the server is shutting down");
        let permits = Arc::clone(&self.permits);
        let permit = permits.acquire_owned().await.map_err(|_| closed())?;
        let waits = StopOnDrop::default();
        let mut query = query.clone();
        query.stop = Some(waits.switch());
        let (store, table) = (Arc::clone(&self.store), table.clone());
        let scan = tokio::task::spawn_blocking(move || {
            let result = runtime.block_on(read(store, table, query));
            drop(permit);
            result
        });
        scan.await.map_err(|error| closed().with_source(error))?
    }
}
