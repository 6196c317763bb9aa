//! Two users of one store, as the store is: two openings of the same place where it claims
//! [`multi_process`](synctable_core::store::StoreCapabilities::multi_process), else the same opening twice.

use std::sync::Arc;

use synctable_core::TableName;
use synctable_core::store::LocalStore;

use crate::Place;
use crate::fixture::{Store, store_with};

mod crossing;
mod devices;
mod told;

pub use crossing::*;
pub use devices::*;
pub use told::*;

/// The store of a harness for two users, with tables that declare no fields.
async fn users(harness: &dyn Place, tables: &[&TableName]) -> [Store; 2] {
    let one = store_with(harness, tables).await;
    let other = beside(harness, &one).await;
    [one, other]
}

/// What a second user has, beside one that has `store` open.
async fn beside(harness: &dyn Place, store: &Store) -> Store {
    if !store.capabilities().multi_process {
        return Arc::clone(store);
    }
    let other = harness.reopen().await;
    other.expect(
        "a store that several may have open at once opens beside itself (StoreCapabilities::multi_process)",
    )
}
