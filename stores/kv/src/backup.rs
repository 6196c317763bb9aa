//! A copy of a store as it is at one moment, in files of its own.

use std::path::Path;

use synctable_core::query::Direction;
use synctable_core::store::{Durability, StoreError, WriteBatch};

use crate::backend::KvBackend;
use crate::files::{self, Draft, Taken, io_error};
use crate::key::EVERYTHING;
use crate::read::KvRead;
use crate::store::KvStore;

/// About how many bytes are written at once: every commit may cost a sync of the disk.
const BATCH: usize = 4 << 20;

/// Copies all entries of a view into an engine that holds nothing. They are durable once the engine is closed.
pub fn copy_entries(from: &dyn KvRead, to: &dyn KvBackend) -> Result<(), StoreError> {
    let mut entries = from.entries(EVERYTHING, Direction::Ascending).peekable();
    while entries.peek().is_some() {
        let mut transaction = to.begin_write(Durability::Eventual)?;
        let mut bytes = 0;
        while bytes < BATCH
            && let Some(entry) = entries.next()
        {
            let (key, value) = entry?;
            bytes += key.len() + value.len();
            transaction.put(&key, &value)?;
        }
        transaction.commit()?;
    }
    Ok(())
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
