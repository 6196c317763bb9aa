//! A store over an engine of your own, here [fjall](https://docs.rs/fjall), a log-structured database in Rust.
//!
//! An engine that is a sorted map of bytes needs two things: views that do not change, and writes that are done whole
//! or not at all. `KvStore` makes a store of it. `tests/custom_store.rs` runs the conformance kit on the one below.

use std::error::Error;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable};
use synctable::kv::{
    Buffered, Bytes, KvBackend, KvBatch, KvEntries, KvRead, KvStore, KvWrite, Promises, files,
};
use synctable::query::Direction;
use synctable::store::{Durability, StoreError, StoreErrorKind};
use synctable::sync::SyncContext;

/// The engine: a fjall database with one keyspace, which holds the records, the queue of changes and all else.
pub(crate) struct Fjall {
    folder: PathBuf,
    db: Database,
    entries: Keyspace,
    turn: Mutex<()>, // of whoever writes
}

impl Fjall {
    /// Opens the database in `folder`; makes it where there is none. fjall locks it: one process at a time.
    pub(crate) fn open(folder: &Path) -> Result<Self, StoreError> {
        if !folder.is_dir() {
            // Made under another name: a crash in between leaves nothing that would not open again.
            files::make_folder(folder, |draft| Self::start(draft)?.sync())?;
        }
        Self::start(folder)
    }

    fn start(folder: &Path) -> Result<Self, StoreError> {
        let start = || {
            let db = Database::builder(folder).open()?;
            let entries = db.keyspace("synctable", KeyspaceCreateOptions::default)?;
            Ok((db, entries))
        };
        let (db, entries) = start().map_err(|error| failed(folder, error))?;
        let (folder, turn) = (folder.to_owned(), Mutex::default());
        Ok(Self {
            folder,
            db,
            entries,
            turn,
        })
    }

    fn apply(&self, batch: &KvBatch) -> Result<(), StoreError> {
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
        writes.commit().map_err(unknown)
    }
}

impl KvBackend for Fjall {
    fn snapshot(&self) -> Result<Box<dyn KvRead + '_>, StoreError> {
        Ok(Box::new(View(self, self.db.snapshot())))
    }
    fn begin_write(&self, durability: Durability) -> Result<Box<dyn KvWrite + '_>, StoreError> {
        // Reads within it see the view and what it writes; its commit is one batch.
        Buffered::begin(
            &self.turn,
            durability,
            || self.snapshot(),
            |batch| self.apply(batch),
        )
    }
    fn sync(&self) -> Result<(), StoreError> {
        self.db.persist(PersistMode::SyncAll).map_err(unknown)
    }
    fn promises(&self) -> Promises {
        // Promise what is true: the kit tests each promise.
        Promises::default().with_persistent(true).with_durable(true)
    }
    fn close(&self) -> Result<(), StoreError> {
        self.sync()
    }
}

/// What one read sees; later writes do not show in it.
struct View<'a>(&'a Fjall, fjall::Snapshot);

impl KvRead for View<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes<'_>>, StoreError> {
        let value = self.1.get(&self.0.entries, key);
        let value = value.map_err(|error| failed(&self.0.folder, error))?;
        Ok(value.map(Bytes::held)) // fjall counts references: nothing is copied
    }
    fn entries(&self, keys: Range<&[u8]>, direction: Direction) -> KvEntries<'_> {
        if keys.is_empty() {
            return Box::new(std::iter::empty());
        }
        let entry = |guard: fjall::Guard| match guard.into_inner() {
            Ok((key, value)) => Ok((Bytes::held(key), Bytes::held(value))),
            Err(error) => Err(failed(&self.0.folder, error)),
        };
        let range = self.1.range(&self.0.entries, keys);
        match direction {
            Direction::Ascending => Box::new(range.map(entry)),
            Direction::Descending => Box::new(range.rev().map(entry)),
        }
    }
}

/// After a failed sync nobody knows what is on the disk. Say so, and no more writes come before the store is opened again.
fn unknown(error: fjall::Error) -> StoreError {
    let message = "writing failed; open the store again to see what is in it";
    StoreError::new(StoreErrorKind::Unknown, message).with_source(error)
}

/// What went wrong otherwise, in the kinds that callers know.
fn failed(folder: &Path, error: fjall::Error) -> StoreError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    while let Some(it) = cause {
        if let Some(it) = it.downcast_ref::<io::Error>() {
            return files::io_error(folder, it.kind().into()).with_source(error);
        }
        cause = it.source();
    }
    let (kind, message) = match &error {
        fjall::Error::Locked => (StoreErrorKind::Locked, "is open already; close it there"),
        fjall::Error::Poisoned => (StoreErrorKind::Io, "failed earlier; open it again"),
        _ => (StoreErrorKind::Corrupt, "is damaged; pull into a new store"),
    };
    let message = format!("{} {message}", files::shown(folder));
    StoreError::new(kind, message).with_source(error)
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
