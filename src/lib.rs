//! Offline data sync for Rust apps, over any store you trust.
//!
//! An app reads and writes *sync tables* in a local store, and every change enters a durable *operation queue*.
//! `push` sends the queue to a table server, `pull` brings what others changed, conflicts are resolved at once or later.
//!
//! ```
//! use std::sync::Arc;
//! use serde_json::{Value, json};
//! use synctable::query::field;
//! use synctable::{MemoryStore, sync::SyncContext};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), synctable::Error> {
//! let sync = SyncContext::builder(Arc::new(MemoryStore::new())).open().await?;
//! let todos = sync.table::<Value>("todoitem")?;
//! todos.insert(&json!({"text": "Buy milk", "complete": false})).await?;
//! let open = todos.query().filter(field("complete").eq(false)).await?;
//! assert_eq!(open.records[0]["text"], "Buy milk");
//! assert_eq!(sync.pending_count().await?, 1);
//! # Ok(()) }
//! ```
//!
//! # Features
//!
//! | feature | what |
//! |---|---|
//! | `sqlite` (default) | [`SqliteStore`], the recommended store |
//! | `http` (default) | [`http::HttpTransport`], the way to a table server |
//! | `memory` | [`MemoryStore`], and [`kv`] for stores over engines of your own |
//! | `redb` | [`RedbStore`], one file in Rust alone |
//! | `sled` | [`SledStore`], for those who have sled folders already |
//! | `encrypted` | [`encrypted::Sealed`], records sealed over any key-value engine |
//! | `testkit` | [`testkit`], which tests stores of your own |
//! | `server` | [`server::TableServer`], the reference table server |
//! | `full` | all of these |
//!
//! Features only add. Without any there is the core: records, queries, contracts and the sync engine.
//!
//! # Where to start
//!
//! The [guides] go through it task by task: [a first app](guides::first_app), [queries](guides::queries), the
//! [queue](guides::queue), [conflicts](guides::conflicts), [pull](guides::pull), [stores](guides::stores), a [store of your own](guides::write_a_store),
//! [encryption](guides::encryption), the [server](guides::server), [servers and clients of others](guides::compatibility), [errors and cancellation](guides::errors_and_cancellation), and the
//! [command line](guides::command_line). What is promised and which tests check it, is in [guarantees](guides::guarantees).
#![cfg_attr(not(feature = "full"), allow(rustdoc::broken_intra_doc_links))]

pub use synctable_core::{
    Clock, Date, Declaration, Declarations, DeviceRules, Draft, Error, ErrorKind, FieldOptions,
    FieldType, Fields, IdSource, IndexSpec, MergeRule, MergeRules, NameError, Placeless, QueryId,
    Record, RecordError, RecordId, SYSTEM_PROPERTIES, Schema, SchemaError, ServerRules, Sleep,
    Step, Steps, SystemClock, SystemProperties, TableName, TableSchema, TimeError, TimeOfDay,
    Timestamp, UuidV7, Version, brief, push_json_text,
};
pub use synctable_core::{query, store, sync, threads, transport};

#[cfg(feature = "encrypted")]
pub use synctable_encrypted as encrypted;
#[cfg(feature = "http")]
pub use synctable_http as http;
#[cfg(any(
    feature = "memory",
    feature = "sqlite",
    feature = "redb",
    feature = "sled",
    feature = "encrypted"
))]
pub use synctable_kv as kv;
#[cfg(feature = "memory")]
pub use synctable_memory::{MemoryBackend, MemoryStore};
#[cfg(feature = "redb")]
pub use synctable_redb::{RedbBackend, RedbStore};
#[cfg(feature = "server")]
pub use synctable_server as server;
#[cfg(feature = "sled")]
pub use synctable_sled::{SledBackend, SledStore};
#[cfg(feature = "sqlite")]
pub use synctable_sqlite::{SqliteKv, SqliteStore};
#[cfg(feature = "testkit")]
pub use synctable_testkit as testkit;
#[cfg(any(feature = "redb", feature = "sled", feature = "encrypted"))]
pub use synctable_threads::Threads;

mod open;
pub use open::{Missing, OpenedStore, StoreKey, StoreKind, StoreUrl, UrlError, open_store};

/// Guides, task by task. Their code is tested.
#[cfg(feature = "full")]
pub mod guides {
    #[doc = include_str!("docs/first_app.md")]
    pub mod first_app {}
    #[doc = include_str!("docs/queries.md")]
    pub mod queries {}
    #[doc = include_str!("docs/queue.md")]
    pub mod queue {}
    #[doc = include_str!("docs/conflicts.md")]
    pub mod conflicts {}
    #[doc = include_str!("docs/pull.md")]
    pub mod pull {}
    #[doc = include_str!("docs/stores.md")]
    pub mod stores {}
    #[allow(clippy::test_attr_in_doctest, reason = "a hidden macro runs it")]
    #[doc = include_str!("docs/write_a_store.md")]
    pub mod write_a_store {}
    #[doc = include_str!("docs/write_a_native_store.md")]
    pub mod write_a_native_store {}
    #[doc = include_str!("docs/transports.md")]
    pub mod transports {}
    #[doc = include_str!("docs/encryption.md")]
    pub mod encryption {}
    #[doc = include_str!("docs/security.md")]
    pub mod security {}
    #[doc = include_str!("docs/server.md")]
    pub mod server {}
    #[doc = include_str!("docs/compatibility.md")]
    pub mod compatibility {}
    #[doc = include_str!("docs/errors_and_cancellation.md")]
    pub mod errors_and_cancellation {}
    #[doc = include_str!("docs/guarantees.md")]
    pub mod guarantees {}
    #[doc = include_str!("docs/command_line.md")]
    pub mod command_line {}
}

/// The code of the README, tested.
#[cfg(all(doctest, feature = "full"))]
#[doc = include_str!("../README.md")]
pub mod readme {}
