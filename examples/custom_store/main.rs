//! A store over an engine of your own, here [fjall](https://docs.rs/fjall), a log-structured database in Rust.
//!
//! The engine is `engine.rs`; the guide *Write a store* goes through it. `tests/custom_store.rs` runs the conformance kit on the store.

mod engine;

use std::error::Error;
use std::sync::Arc;

use engine::Fjall;
use synctable::kv::KvStore;
use synctable::sync::SyncContext;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("notes");
    // Opened twice, as if the program had been started twice.
    for text in ["Buy milk", "Bake bread"] {
        let store = Arc::new(KvStore::open(Fjall::open(&path)?)?);
        let sync = SyncContext::builder(store).open().await?;
        let notes = sync.table::<serde_json::Value>("notes")?;
        notes.insert(&serde_json::json!({"text": text})).await?;
        println!("wrote {text:?}, and it is on the disk");
        for note in notes.query().await?.records {
            println!("  the store has {}", note.get("text").ok_or("no text")?);
        }
        println!("  changes to push: {}", sync.pending_count().await?);
    }
    Ok(())
}
