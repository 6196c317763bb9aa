//! The redb store of synctable: one file, written by [redb](https://docs.rs/redb), in Rust alone.
//!
//! Open one with [`RedbStore::open`]. Every commit is durable before it returns, and readers do not wait for it.
//! One process at a time may open a store.

mod backend;
mod error;
mod open;
mod store;

pub use backend::RedbBackend;
pub use open::RedbBuilder;
pub use store::RedbStore;
