//! Offline data sync for Rust apps, over any store you trust.

pub use synctable_core::*;

#[cfg(feature = "http")]
pub use synctable_http as http;
#[cfg(feature = "memory")]
pub use synctable_kv as kv;
#[cfg(feature = "memory")]
pub use synctable_memory::MemoryStore;
#[cfg(feature = "server")]
pub use synctable_server as server;
#[cfg(feature = "sqlite")]
pub use synctable_sqlite::SqliteStore;
