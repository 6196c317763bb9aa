use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable};
use synctable::kv::{
    Buffered, Bytes, KvBackend, KvBatch, KvEntries, KvRead, KvWrite, Limits, Promises, files,
};
use synctable::query::Direction;
use synctable::store::{Durability, StoreError, StoreErrorKind};

/// A fjall database with one keyspace, which holds the records, the queue of changes and all else.
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
        let db = Database::builder(folder).open();
        let db = db.map_err(|error| failed(folder, error))?;
        let entries = db.keyspace("synctable", KeyspaceCreateOptions::default);
        Ok(Self {
            entries: entries.map_err(|error| failed(folder, error))?,
            folder: folder.to_owned(),
            db,
            turn: Mutex::default(),
        })
    }

    fn apply(&self, batch: &KvBatch) -> Result<(), StoreError> {
        let mode = match batch.durability() {
            Durability::Immediate => PersistMode::SyncAll, // waits for the disk
            Durability::Eventual => PersistMode::Buffer, // survives the process, but not a power cut
        };
        let mut writes = self.db.batch().durability(Some(mode));
        for (key, value) in batch.writes() {
            self.limits().check(key, value.unwrap_or_default())?;
            match value {
                Some(value) => writes.insert(&self.entries, key, value),
                None => writes.remove(&self.entries, key),
            }
        }
        writes.commit().map_err(StoreError::unknown_after)
    }
}

impl KvBackend for Fjall {
    fn snapshot(&self) -> Result<Box<dyn KvRead + '_>, StoreError> {
        Ok(Box::new(View(self, self.db.snapshot())))
    }
    fn begin_write(&self, durability: Durability) -> Result<Box<dyn KvWrite + '_>, StoreError> {
        let view = || self.snapshot();
        Buffered::begin(&self.turn, durability, view, |batch| self.apply(batch))
    }
    fn sync(&self) -> Result<(), StoreError> {
        let synced = self.db.persist(PersistMode::SyncAll);
        synced.map_err(StoreError::unknown_after)
    }
    fn limits(&self) -> Limits {
        Limits::default().with_longest_key(usize::from(u16::MAX))
    }
    fn promises(&self) -> Promises {
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
        let end = keys.end.max(keys.start); // a range that ends before it starts holds nothing
        let found = self.1.range(&self.0.entries, keys.start..end);
        let found = found.map(|entry| match entry.into_inner() {
            Ok((key, value)) => Ok((Bytes::held(key), Bytes::held(value))),
            Err(error) => Err(failed(&self.0.folder, error)),
        });
        match direction {
            Direction::Ascending => Box::new(found),
            Direction::Descending => Box::new(found.rev()),
        }
    }
}

/// What went wrong, in the kinds that callers know.
fn failed(folder: &Path, error: fjall::Error) -> StoreError {
    let (kind, what) = match error {
        fjall::Error::Locked => (StoreErrorKind::Locked, "is open already; close it there"),
        _ => (StoreErrorKind::Corrupt, "is damaged; pull into a new store"),
    };
    files::engine_error(folder, error, kind, what)
}

impl fmt::Debug for Fjall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fjall") // and nothing of what it holds
    }
}
