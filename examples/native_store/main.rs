//! A store that implements `LocalStore` itself, with nothing of ours below it: records in memory, and a journal in which each batch is a line.
//!
//! The store is `store.rs`; the guide *Write a store* goes through it. `tests/native_store.rs` runs the conformance kit on it.

mod store;

use std::error::Error;
use std::sync::Arc;

use store::Journal;
use synctable::sync::SyncContext;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("app.journal");
    let sync = SyncContext::builder(Arc::new(Journal::open(&path)?));
    let sync = sync.open().await?;
    let note = serde_json::json!({"id": "a", "text": "hello"});
    sync.table("notes")?.insert(&note).await?;
    println!(
        "{} change waits in {}",
        sync.pending_count().await?,
        path.display()
    );
    Ok(sync.close().await?)
}
