//! The redb store of synctable: one file, written by [redb](https://docs.rs/redb), in Rust alone.
//!
//! Open one with [`RedbStore::open`]. Every commit is durable before it returns, and readers do not wait for it.
//! One process at a time may open a store.
//!
//! After a crash redb checks the whole file when it is opened next: 0.3 s for 270 MB that the system still has in memory. Its setting "quick repair",
//! which avoids that, makes each commit about twice as slow, and is not used. The end of a process at any moment and a
//! power cut lose nothing that was committed.
//!
//! A damaged file ends in errors of the kind [`Corrupt`](synctable_core::store::StoreErrorKind::Corrupt), where redb
//! notices it. Some of that damage makes redb panic; this crate catches these panics, but a program
//! that is built with `panic = "abort"` ends there. [`RedbBuilder::check`] finds all damage beforehand.

mod backend;
mod error;
mod forget;
mod open;
mod store;
mod transaction;

pub use backend::RedbBackend;
pub use open::RedbBuilder;
pub use store::RedbStore;
