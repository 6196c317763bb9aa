//! The sync engine over a store: what local changes, push, pull, conflicts and purge must do on every one of them.
//!
//! ```
//! # mod shown {
//! # use std::sync::Arc;
//! # use synctable_core::store::{LocalStore, StoreError};
//! # use synctable_memory::MemoryStore;
//! use synctable_testkit::{Harness, async_trait, engine_tests};
//! # #[derive(Default)]
//! # struct MyHarness;
//! # #[async_trait]
//! # impl Harness for MyHarness {
//! #     async fn open(&self) -> Result<Arc<dyn LocalStore>, StoreError> {
//! #         Ok(Arc::new(MemoryStore::new()))
//! #     }
//! # }
//!
//! engine_tests!(MyHarness);
//! # }
//! ```
//!
//! The server of these tests is [`TestServer`], which tests of applications can use, too.

pub mod accounts;
pub mod asking;
pub mod audit;
pub mod cancellation;
pub mod chain;
pub mod conflicts;
pub mod connect;
pub mod converted;
pub mod crossed;
pub mod declared;
pub mod delivery;
mod device;
pub mod events;
pub mod faults;
mod faulty;
pub mod feed;
pub mod filters;
pub mod forgotten;
pub mod histories;
pub mod identity;
pub mod kept;
pub mod late;
pub mod lease;
pub mod local;
mod log;
pub mod long_queue;
pub mod merging;
pub mod partial;
pub mod pull;
pub mod purge;
pub mod push;
pub mod queue;
pub mod returned;
mod rows;
mod server;
pub mod sign_in;
mod slow;
pub mod spelling;
pub mod steps;
pub mod stuck;
mod tests;
pub mod together;
mod typed;
pub mod units;
pub mod unknown_values;
pub mod whose;

pub(crate) use device::{Device, todo};
pub use log::FeedMake;
pub(crate) use server::of_status;
pub use server::{Call, Fault, Request, ServerOptions, TestServer};
