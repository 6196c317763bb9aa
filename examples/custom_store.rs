//! A store over an engine of your own, here a sorted map with a log file. `tests/custom_store.rs` runs the conformance kit on it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use synctable::kv::{Entry, KvBackend, KvBatch, KvSnapshot, KvStore};
use synctable::store::{Durability, StoreCapabilities, StoreError, StoreErrorKind};
use synctable::sync::SyncContext;

type Map = BTreeMap<Vec<u8>, Vec<u8>>;
/// One batch as a line of the log: keys with their new values, `None` for a key that goes.
type Line<Bytes = Vec<u8>> = Vec<(Bytes, Option<Bytes>)>;

/// The engine. A batch is one line, so it is in the file whole or not at all.
#[derive(Debug)]
pub(crate) struct LogFile {
    file: File,
    map: RwLock<Map>,
}

impl LogFile {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut options = File::options();
        let mut file = options.read(true).append(true).create(true).open(path)?;
        // Two engines on one file would not see each other's batches.
        file.try_lock()?;
        let (mut text, mut map, mut whole) = (Vec::new(), BTreeMap::new(), 0);
        file.read_to_end(&mut text)?;
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            // A line that is not whole was never acknowledged: the log ends before it.
            match serde_json::from_slice::<Line>(line) {
                Ok(writes) if line.ends_with(b"\n") => map.extend(writes),
                _ => break,
            }
            whole += line.len() as u64;
        }
        if whole == 0 && !text.is_empty() {
            return Err(io::ErrorKind::InvalidData.into()); // not ours, so it stays as it is
        }
        file.set_len(whole)?;
        let stored = map.into_iter().filter_map(|(k, v)| Some((k, v?)));
        let map = RwLock::new(stored.collect());
        Ok(Self { file, map })
    }

    fn append(&self, batch: &KvBatch) -> io::Result<()> {
        let writes: Line<&[u8]> = batch.writes().collect();
        let mut line = serde_json::to_vec(&writes)?;
        line.push(b'\n');
        (&self.file).write_all(&line)?;
        match batch.durability() {
            Durability::Immediate => self.file.sync_data(),
            Durability::Eventual => Ok(()),
        }
    }
}

impl KvBackend for LogFile {
    fn snapshot(&self) -> Result<Box<dyn KvSnapshot + '_>, StoreError> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        Ok(Box::new(View(map)))
    }

    fn write(&self, batch: &KvBatch) -> Result<(), StoreError> {
        self.append(batch).map_err(|error| {
            // What is on disk is not known then, and this kind ends all writing until it is.
            let message = "writing failed; open the store again";
            StoreError::new(StoreErrorKind::Unknown, message).with_source(error)
        })?;
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        for (key, value) in batch.writes() {
            match value {
                Some(value) => map.insert(key.to_vec(), value.to_vec()),
                None => map.remove(key),
            };
        }
        Ok(())
    }

    fn capabilities(&self) -> StoreCapabilities {
        let base = StoreCapabilities::default();
        base.with_persistent(true).with_durable(true)
    }
}

/// What a read sees; nobody writes while it lives.
#[derive(Debug)]
struct View<'a>(RwLockReadGuard<'a, Map>);

impl KvSnapshot for View<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.get(key).cloned())
    }

    fn scan(&self, keys: Range<&[u8]>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let keys = keys.start.to_vec()..keys.end.to_vec();
        let entries = self.0.range(keys).take(limit);
        Ok(entries.map(|(k, v)| (k.clone(), v.clone())).collect())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    for text in ["Milk", "Bread"] {
        let engine = LogFile::open(&folder.path().join("notes.log"))?;
        let store = Arc::new(KvStore::open(engine)?);
        let sync = SyncContext::builder(store).open().await?;
        let notes = sync.table::<serde_json::Value>("notes")?;
        notes.insert(&serde_json::json!({"text": text})).await?;
        let count = notes.query().count().await?;
        println!("{count} notes, {} wait to be pushed", sync.pending_count());
    }
    Ok(())
}
