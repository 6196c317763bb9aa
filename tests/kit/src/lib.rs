//! The conformance kit: what every synctable store must do, as tests that a store runs with one line.
//!
//! A store is trusted with people's data because it passes this kit, whoever wrote it. To test yours, say how
//! one is opened ([`Harness`]) and which groups of behaviours it claims ([`store_tests!`]):
//!
//! ```
//! # mod shown {
//! use std::sync::Arc;
//! use synctable_core::store::{LocalStore, StoreError};
//! use synctable_memory::MemoryStore; // your store here
//! use synctable_testkit::{Harness, async_trait, store_tests};
//!
//! /// The place of one store; it goes away with this value. Files would lie in a `tempfile::TempDir`.
//! #[derive(Default)]
//! struct Memory;
//!
//! #[async_trait]
//! impl Harness for Memory {
//!     async fn open(&self) -> Result<Arc<dyn LocalStore>, StoreError> {
//!         Ok(Arc::new(MemoryStore::new()))
//!     }
//! }
//!
//! store_tests!(Memory; base, changes, long_keys, model, concurrent, unordered, contexts, cancel, schema_change);
//! # }
//! ```
//!
//! This makes one test for each behaviour, such as `base::failing_check_undoes_the_whole_batch`. The groups:
//!
//! | group | for | what |
//! |---|---|---|
//! | [`base`] | every store | declarations, records kept exactly, batches, checks, queries |
//! | [`changes`] | every store | what was changed since a position, and the check that a table was not |
//! | [`long_keys`] | every store | ids and indexed values as long as they may be: kept apart, and in order |
//! | [`model`] | every store | random histories against a plain map, shrunk when they fail |
//! | [`concurrent`] | every store | many tasks at once: no torn batch, no lost update |
//! | [`unordered`] | every store | commits that overlap, pass each other and are dropped: some order explains them, no position is ahead of what can be read |
//! | [`contexts`] | every store | two users of it, as two openings where it takes several: what one does holds for the other |
//! | [`cancel`] | every store | futures dropped at every poll |
//! | [`schema_change`] | [`redefines`](synctable_core::store::StoreCapabilities::redefines) | declarations that are replaced: contents stay, queries follow |
//! | [`persistent`] | [`StoreCapabilities::persistent`](synctable_core::store::StoreCapabilities::persistent) | closing and opening again |
//! | [`kill`] | the same | processes killed at any moment: nothing acknowledged is lost, nothing is torn; the lock dies with its owner |
//! | [`fault`] | the same | calls of the system that fail, each in turn: errors are told, nothing acknowledged is lost |
//! | [`power_cut`] | [`durable`](synctable_core::store::StoreCapabilities::durable) | the power is cut at any moment: no `Immediate` batch is lost |
//! | [`processes`] | [`multi_process`](synctable_core::store::StoreCapabilities::multi_process) | several processes on one store |
//!
//! A further test, `the_groups_are_those_the_store_claims`, fails if the list leaves out what
//! [`capabilities`](synctable_core::store::LocalStore::capabilities) promises, or names more.
//!
//! Where a store lies at a path that the application chooses, [`file_tests!`] is about what is opened, made and refused there.
//!
//! The sync engine itself is tested over every store, too: `engine_tests!(MyHarness);` makes a test of each behaviour in
//! [`engine`]. Its [`TestServer`](engine::TestServer) serves tests of applications as well.
//!
//! The last four groups start processes: see [`Lab`] for how much they try. A program of its own runs all groups, tries
//! more and writes down what it saw with a [`Report`](report::Report).
//!
//! A random test that fails prints the smallest history it found and its seed; set `SYNCTABLE_SEED` to replay it, and
//! `SYNCTABLE_CASES` to try more histories. [`arb`] has the random schemas, records and queries for tests of your own.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a behaviour fails by panicking"
)]

pub mod arb;
mod asked;
pub mod base;
pub mod cancel;
pub mod changes;
pub mod concurrent;
pub mod contexts;
pub mod doubt;
pub mod engine;
mod far_store;
pub mod fault;
pub mod files;
mod fixture;
mod folder;
mod for_all;
mod groups;
mod harness;
pub mod kill;
pub mod kv;
mod lab;
pub mod long_keys;
pub mod model;
pub mod persistent;
pub mod power_cut;
pub mod processes;
mod reference;
pub mod report;
pub mod schema_change;
pub mod sim;
mod threads;
pub mod typed;
pub mod unordered;

#[doc(hidden)]
pub use asked::Asked;
pub use async_trait::async_trait;
pub use far_store::FarStore;
pub use folder::quick_folder;
pub use for_all::for_all;
pub use groups::assert_groups;
pub use harness::{FolderHarness, Harness, InFolder, Place, run, run_typed};
pub use lab::{Faults, Lab, Seen, child_process};
pub use reference::compare_query;
