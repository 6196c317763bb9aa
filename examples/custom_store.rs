//! A store over an engine of your own, here [fjall](https://docs.rs/fjall), a log-structured database in Rust.
//!
//! An engine that is a sorted map of bytes needs two things: views that do not change, and writes that are done whole
//! or not at all. `KvStore` makes a store of it. `tests/custom_store.rs` runs the conformance kit on the one below.

use std::error::Error;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fjall::{Database, Guard, Keyspace, KeyspaceCreateOptions, PersistMode, Readable};
use synctable::kv::{Entry, KvBackend, KvBatch, KvSnapshot, KvStore, Promises, files};
use synctable::store::{Durability, StoreError, StoreErrorKind};
use synctable::sync::SyncContext;

/// The engine: a fjall database with one keyspace, which holds the records, the queue of changes and all else.
pub(crate) struct Fjall {
    folder: PathBuf,
    db: Database,
    entries: Keyspace,
}

impl Fjall {
    /// Opens the database in `folder`; makes it where there is none.
    pub(crate) fn open(folder: &Path) -> Result<Self, StoreError> {
        if !folder.is_dir() {
            // Made under another name: a crash in between leaves nothing that would not open again.
            files::make_folder(folder, |draft| Self::start(draft)?.close())?;
        }
        Self::start(folder)
    }

    /// fjall locks the folder: one process at a time.
    fn start(folder: &Path) -> Result<Self, StoreError> {
        let start = || {
            let db = Database::builder(folder).open()?;
            let entries = db.keyspace("synctable", KeyspaceCreateOptions::default)?;
            Ok((db, entries))
        };
        let (db, entries) = start().map_err(|error| failed(folder, error))?;
        let folder = folder.to_owned();
        Ok(Self {
            folder,
            db,
            entries,
        })
    }
}

/// What went wrong, in the kinds that callers know.
fn failed(folder: &Path, error: fjall::Error) -> StoreError {
    if let Some(cause) = system_error(&error) {
        return files::io_error(folder, cause.kind().into()).with_source(error);
    }
    let (kind, message) = match &error {
        fjall::Error::Locked => (StoreErrorKind::Locked, "is open already; close it there"),
        fjall::Error::Poisoned => (StoreErrorKind::Io, "failed earlier; open it again"),
        _ => (StoreErrorKind::Corrupt, "is damaged; pull into a new store"),
    };
    let message = format!("{} {message}", files::shown(folder));
    StoreError::new(kind, message).with_source(error)
}

/// The failed call of the system behind an error of fjall, if there is one.
fn system_error(error: &fjall::Error) -> Option<&io::Error> {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref() {
            return Some(error);
        }
        cause = error.source();
    }
    None
}

impl KvBackend for Fjall {
    fn snapshot(&self) -> Result<Box<dyn KvSnapshot + '_>, StoreError> {
        let view = self.db.snapshot();
        Ok(Box::new(View { engine: self, view }))
    }

    fn write(&self, batch: &KvBatch) -> Result<(), StoreError> {
        // The promise that matters: what is acknowledged survives. `SyncAll` waits for the disk, `Buffer` only
        // hands the batch to the system, where it survives the end of the process but not a power cut.
        let mode = match batch.durability() {
            Durability::Immediate => PersistMode::SyncAll,
            Durability::Eventual => PersistMode::Buffer,
        };
        let mut writes = self.db.batch().durability(Some(mode));
        for (key, value) in batch.writes() {
            match value {
                Some(value) => writes.insert(&self.entries, key, value),
                None => writes.remove(&self.entries, key),
            }
        }
        // After a failed sync nobody knows what is on the disk. Say so, and no more writes come before the
        // store is opened again; fjall refuses them, too.
        writes.commit().map_err(|error| {
            let message = "writing failed; open the store again to see what is in it";
            StoreError::new(StoreErrorKind::Unknown, message).with_source(error)
        })
    }

    fn promises(&self) -> Promises {
        // Promise what is true: the kit tests each promise.
        let none = Promises::default();
        none.with_persistent(true).with_durable(true)
    }

    fn close(&self) -> Result<(), StoreError> {
        let synced = self.db.persist(PersistMode::SyncAll);
        synced.map_err(|error| failed(&self.folder, error))
    }
}

/// What one read sees; later writes do not show in it.
struct View<'a> {
    engine: &'a Fjall,
    view: fjall::Snapshot,
}

impl View<'_> {
    fn entries(&self, found: impl Iterator<Item = Guard>) -> Result<Vec<Entry>, StoreError> {
        let entry = |guard: Guard| guard.into_inner().map(|(k, v)| (k.to_vec(), v.to_vec()));
        let entries = found.map(entry).collect::<Result<_, _>>();
        entries.map_err(|error| failed(&self.engine.folder, error))
    }
}

impl KvSnapshot for View<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.view.get(&self.engine.entries, key);
        let value = value.map_err(|error| failed(&self.engine.folder, error))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn scan(&self, keys: Range<&[u8]>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.view.range(&self.engine.entries, keys);
        self.entries(found.take(limit))
    }

    // Optional: it makes pages in descending order fast.
    fn scan_back(&self, keys: Range<&[u8]>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.view.range(&self.engine.entries, keys);
        self.entries(found.rev().take(limit))
    }
}

// Both are printed in errors and logs, so neither shows what it holds.
impl fmt::Debug for Fjall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fjall({})", files::shown(&self.folder))
    }
}

impl fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("View")
    }
}

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
        println!("  changes to push: {}", sync.pending_count());
    }
    Ok(())
}
