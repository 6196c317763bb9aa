//! A copy of a store as it is at one moment, in files of its own.

use std::path::Path;

use synctable_core::store::{Durability, StoreError, WriteBatch};

use crate::backend::{KvBackend, KvBatch, KvSnapshot};
use crate::files::{self, Draft, Taken, io_error};
use crate::key::behind;
use crate::store::KvStore;

/// Entries that are read at once.
const PAGE: usize = 64;
/// About how many bytes are written at once: every batch may cost a sync of the disk.
const BATCH: usize = 4 << 20;

/// Copies all entries of a view into an engine that holds nothing. They are durable once the engine is closed.
pub fn copy_entries(from: &dyn KvSnapshot, to: &dyn KvBackend) -> Result<(), StoreError> {
    let mut start = Vec::new();
    loop {
        let mut batch = KvBatch::new(Durability::Eventual);
        let (mut bytes, mut more) = (0, true);
        while more && bytes < BATCH {
            let entries = from.scan(&start[..]..&[u8::MAX; 64][..], PAGE)?;
            more = entries.len() == PAGE;
            if let Some((key, _)) = entries.last() {
                start = behind(key.clone());
            }
            for (key, value) in entries {
                bytes += key.len() + value.len();
                batch.put(key, value);
            }
        }
        if !batch.is_empty() {
            to.write(&batch)?;
        }
        if !more {
            return Ok(());
        }
    }
}

/// Makes a copy of the store over `backend` at `path`, with `mark` done in it.
pub(crate) fn backup(
    backend: &impl KvBackend,
    path: &Path,
    mark: &WriteBatch,
) -> Result<(), StoreError> {
    let path = std::path::absolute(path).map_err(|error| io_error(path, error))?;
    files::check_vacant(&path)?;
    files::remove_dead_drafts_around(&path);
    let draft = Draft::new(&path)?;
    let copy = KvStore::open(backend.copy_to(draft.path())?)?;
    let marked = if mark.writes().is_empty() {
        Ok(())
    } else {
        copy.commit_now(mark).map(|_| ())
    };
    marked.and(copy.close_now())?;
    draft.place(Taken::Refused)
}
