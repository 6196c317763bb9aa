//! Which records were changed lately, by whatever process: a ring in a file beside the store, and a copy of its end in memory.
//!
//! A table of ours would cost each commit a page in SQLite's log. So entries stand in the file `NAME-changes`, which is never synced: it is
//! begun anew by whoever opens the store alone, and so after every crash of the system. Whoever commits holds SQLite's write lock; it
//! takes in what others have written ([`look`](Log::look)), judges, and appends *before* `COMMIT`, so that a commit is never without its
//! entry. Positions reach an entry once it is marked *after* `COMMIT`, so that they never pass what cannot be read yet. An entry
//! whose commit was undone, or whose process died, counts as done once somebody else holds the lock: a name too many is harmless.
//!
//! The file may be removed or replaced while it is used, and programs that know nothing of it may write to the store. So the id
//! of the log stands in the database, too, and SQLite tells whether anybody has committed since this handle looked last. Where that is not
//! explained by entries, another log begins, and what was known is not known any more.

mod entry;
mod head;
mod known;
mod place;
mod ring;

use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use synctable_core::TableName;
use synctable_core::store::{
    Author, Changed, Changes, KNOWN_CHANGES, Position, Revisions, StoreError,
};
use synctable_kv::files::io_error;

use head::{Head, View};
use known::{Inner, Ours};
use place::{Company, Place};
use ring::{MOST, Ring};

pub(crate) use known::Database;
pub(crate) use place::{is_open_elsewhere, stamp};

/// The most bytes of one commit's entry: where it has more names, it names tables.
const MOST_OF_ONE: usize = MOST / 2;
/// The longest id that is named.
const LONGEST: usize = u16::MAX as usize;
/// How long an entry without its mark is that of a living process that commits.
const PATIENCE: Duration = Duration::from_millis(400);

/// What [`Log::look`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Look {
    /// All that anybody did is taken in.
    Known,
    /// Something was done that the log does not tell: it has to begin anew, in a transaction of its own.
    Lost,
}

/// The change log of one open store. Its calls are short: none waits for another process.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    inner: Mutex<Inner>,
    /// How long openers wait for each other.
    wait: Duration,
    patience: Duration,
}

/// What a reader is answered, and whether the writing thread should look: it finds what a reader cannot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer<T> {
    pub(crate) value: T,
    pub(crate) look: bool,
}

impl Log {
    /// Opens the log at a path, through the connection that will write; begins one where nobody else has the store open.
    pub(crate) fn open(
        path: PathBuf,
        wait: Duration,
        database: &impl Database,
    ) -> Result<Self, StoreError> {
        let (place, company) = Place::open(&path, wait)?;
        let failed = |error| io_error(&path, error);
        let mut begun = None;
        if company == Company::Alone {
            // In this order: what somebody commits in between is noticed at the first look.
            let stamp = database.stamp();
            let version = database.version()?;
            let head = Head::new(fresh_id(), database.log_id()?, 0);
            begin(place.ring(), &head, Some(stamp)).map_err(failed)?;
            place.share(wait)?;
            begun = Some((head, version));
        }
        // Where it is damaged, the first look begins another one.
        let view = place.ring().view().map_err(failed)?;
        let mut inner = Inner::new(place);
        if let Some(view) = view {
            inner.restart(&view);
            if let Some((head, version)) = begun
                && head.id == view.head.id
            {
                inner.version = Some(version);
                inner.head = Some(head);
            }
        }
        Ok(Self {
            path,
            inner: Mutex::new(inner),
            wait,
            patience: PATIENCE,
        })
    }

    /// Takes in what others did. The caller holds SQLite's write lock, and tells of its end with one of [`committed`](Self::committed),
    /// [`undone`](Self::undone) and [`unsure`](Self::unsure), whatever the answer.
    pub(crate) fn look(&self, database: &impl Database) -> Result<Look, StoreError> {
        let mut inner = self.lock();
        let version = database.version()?;
        inner.ours = Some(Ours {
            version,
            entries: Vec::new(),
            appended: false,
            names: false,
        });
        if !inner.place.as_ref().is_some_and(Place::is_there) {
            inner.place = None;
            inner.version = None;
            inner.place = Some(self.reopened()?);
        }
        let failed = |error| io_error(&self.path, error);
        let Some(view) = inner.view().map_err(failed)? else {
            return Ok(Look::Lost);
        };
        let head = view.head;
        // Nobody has committed: whatever else was appended was undone.
        let is_quiet = inner.version == Some(version) && inner.id == head.id;
        if !is_quiet && !inner.explains(&view, database)? {
            return Ok(Look::Lost);
        }
        if inner.id != head.id {
            inner.restart(&view);
        }
        inner.take_in(head.written, head.commit).map_err(failed)?;
        inner.memory.publish();
        inner.version = Some(version);
        inner.head = Some(head);
        if view.mark.is_none() {
            // What a stranger writes from now on is not taken for the end of that commit.
            inner.mark(database.stamp());
        }
        Ok(Look::Known)
    }

    /// The log's file is not at its path. Whoever else has the store open finds another one there, or makes it.
    fn reopened(&self) -> Result<Place, StoreError> {
        let (place, company) = Place::open(&self.path, self.wait)?;
        if company == Company::Alone {
            place.share(self.wait)?;
        }
        Ok(place)
    }

    /// Begins another log after a look that found one [`Lost`](Look::Lost): whatever anybody knows is not known any more. The
    /// transaction is committed then, for that alone.
    pub(crate) fn begin(&self, database: &impl Database) -> Result<(), StoreError> {
        let mut inner = self.lock();
        let id = fresh_id();
        database.set_log_id(id)?;
        let turn = inner.head.map_or(0, |head| head.turn.wrapping_add(1));
        let head = Head::new(id, 0, turn);
        let begun = inner.ring().and_then(|ring| begin(ring, &head, None));
        begun.map_err(|error| io_error(&self.path, error))?;
        inner.restart(&View { head, mark: None });
        inner.head = Some(head);
        inner.is_named = false;
        if let Some(ours) = &mut inner.ours {
            ours.names = true;
            ours.appended = true;
        }
        Ok(())
    }

    /// Whether nobody but `author` has changed a table since a position. Within the transaction.
    pub(crate) fn is_unchanged(
        &self,
        table: &TableName,
        since: Position,
        author: Option<Author>,
    ) -> bool {
        self.lock().memory.is_unchanged(table, since, author)
    }

    /// Notes what a batch of the transaction has changed. Returns the position behind it.
    pub(crate) fn stage(&self, author: Option<Author>, changed: Vec<Changed>) -> Position {
        let mut inner = self.lock();
        let Some(mut ours) = inner.ours.take() else {
            return inner.memory.position();
        };
        let changed = fitting(changed, ours.entries.len());
        if !changed.is_empty() {
            inner.last += 1;
            let at = inner.at + ours.entries.len() as u64;
            let place = (inner.id, at);
            entry::encode(&mut ours.entries, place, inner.last, author, &changed);
        }
        inner.ours = Some(ours);
        inner.memory.stage(author, changed)
    }

    /// Appends what was staged: the last thing before `COMMIT`. An error says that nothing may be committed, as others would not learn of it.
    ///
    /// Where nothing was staged, nothing is appended, unless `always`: others are told then that there is a commit, which has no names.
    pub(crate) fn append(&self, database: &impl Database, always: bool) -> Result<(), StoreError> {
        let mut inner = self.lock();
        let (Some(mut ours), Some(head)) = (inner.ours.take(), inner.head) else {
            return Ok(());
        };
        let result = if ours.entries.is_empty() && !always {
            Ok(())
        } else {
            inner.append(&mut ours, head, database, &self.path)
        };
        inner.ours = Some(ours);
        result
    }

    /// The transaction is committed: what was staged can be read.
    pub(crate) fn committed(&self, database: &impl Database) {
        let mut inner = self.lock();
        let Some(ours) = inner.ours.take() else {
            return;
        };
        inner.is_named |= ours.names;
        inner.version = Some(ours.version);
        inner.memory.publish();
        if ours.appended {
            inner.mark(database.stamp());
        }
    }

    /// The transaction was rolled back.
    pub(crate) fn undone(&self, database: &impl Database) {
        let mut inner = self.lock();
        let Some(ours) = inner.ours.take() else {
            return;
        };
        if ours.appended {
            // What is named there has not changed, which does no harm.
            inner.memory.publish();
            inner.mark(database.stamp());
        } else if !ours.entries.is_empty() {
            inner.forget();
        }
    }

    /// Nobody knows whether the transaction is committed. Whoever holds the lock next does.
    pub(crate) fn unsure(&self) {
        let mut inner = self.lock();
        inner.ours = None;
        inner.forget();
        inner.version = None;
    }

    /// Writes down that nothing is left to be settled: the caller holds the lock after a [`look`](Self::look). What this handle did to SQLite's log
    /// without a commit does not look like the doing of others then.
    pub(crate) fn settle(&self, database: &impl Database) {
        let mut inner = self.lock();
        let Some(head) = inner.head.map(Head::all_settled) else {
            return;
        };
        if inner.ring().and_then(|ring| ring.write_head(&head)).is_ok() {
            inner.head = Some(head);
            inner.mark(database.stamp());
        }
    }

    /// Where the log ends.
    pub(crate) fn position(&self) -> Answer<Position> {
        let mut inner = self.lock();
        let look = inner.refresh(self.patience);
        Answer {
            value: inner.memory.position(),
            look,
        }
    }

    /// What was changed since a position.
    pub(crate) fn since(&self, since: Position, limit: usize) -> Answer<Changes> {
        let mut inner = self.lock();
        let look = inner.refresh(self.patience);
        Answer {
            value: inner.memory.since(since, limit),
            look,
        }
    }

    /// Lets go of the file.
    pub(crate) fn close(&self) {
        self.lock().place = None;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes an empty log.
fn begin(ring: &Ring, head: &Head, stamp: Option<u64>) -> io::Result<()> {
    ring.begin(head)?;
    match stamp {
        Some(stamp) => ring.mark(head.id, head.commit, stamp),
        None => Ok(()),
    }
}

fn fresh_id() -> u64 {
    // 0 is none.
    Revisions::default().next_number().max(1)
}

/// The names of a commit, behind so many bytes of the same transaction; tables where there are too many.
fn fitting(changed: Vec<Changed>, before: usize) -> Vec<Changed> {
    // Tables always have some room left.
    let room = MOST_OF_ONE.min((MOST / 4 * 3).saturating_sub(before));
    let is_short = |change: &Changed| match change {
        Changed::Record { id, .. } => id.as_str().len() <= LONGEST,
        Changed::Table { .. } => true,
    };
    // The same names here and in the ring: positions count them.
    let are_few = changed.len() <= KNOWN_CHANGES;
    if are_few && entry::length(&changed) <= room && changed.iter().all(is_short) {
        return changed;
    }
    Changed::tables_of(&changed)
}

#[cfg(test)]
mod tests;
