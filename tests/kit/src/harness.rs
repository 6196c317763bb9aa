//! How the kit gets at a store, and the runtime in which it asks.

use std::sync::Arc;

use async_trait::async_trait;
use synctable_core::store::{LocalStore, StoreError};

/// The place of one store. `default()` makes a new, empty place; dropping it cleans up.
#[async_trait]
pub trait Harness: Default + Send + Sync + 'static {
    /// Opens the store at this place for the first time: it is empty. Called once.
    async fn open(&self) -> Result<Arc<dyn LocalStore>, StoreError>;

    /// Opens the store at this place again, after the kit has closed and dropped the earlier one.
    ///
    /// Only called for stores that claim to be persistent.
    async fn reopen(&self) -> Result<Arc<dyn LocalStore>, StoreError> {
        self.open().await
    }
}

/// Runs one behaviour to its end, on a runtime of its own with several threads.
pub fn run(behaviour: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(behaviour);
}
