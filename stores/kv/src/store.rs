//! The store over a backend: catalogue, checks, writes and queries.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use synctable_core::query::Query;
use synctable_core::store::{
    Author, ChangeLog, Changed, Changes, Check, Durability, Expect, LocalStore, Page,
    Plan as Explained, Position, ProcessLock, Revisions, StoreCapabilities, StoreError,
    StoreErrorKind, Write, WriteBatch,
};
use synctable_core::{Record, RecordId, Schema, TableName, TableSchema};

use crate::backend::{Indexes, KvBackend, Promises};
use crate::backup::backup;
use crate::batch::KvBatch;
use crate::catalogue::Catalogue;
use crate::known::Known;
use crate::long_keys::LongKeys;
use crate::read::{KvRead, KvWrite};
use crate::reads::get;
use crate::shared::{self, Seen};
use crate::writes::Writes;

/// A [`LocalStore`] over a [`KvBackend`].
///
/// A batch is judged and written in one write transaction of the backend, under a lock of the store's own. Reads take one snapshot
/// each and do not wait for that lock. One process at a time has the store open, and what it knows of the tables and of the last changes is in its memory; unless the
/// engine promises that [several](crate::Promises::multi_process) may: then that is in the engine, and costs each write some entries more.
///
/// Declared indexes are kept in the same write as the records, and used for equality, ranges and order; a query without one runs along
/// the ids and ends with its page, or, with an order, reads the whole table. An index that is declared for a table with records is
/// built by [`define`](LocalStore::define), which holds writers up meanwhile; if it is cut off, the next one goes on.
///
/// The work is done in the first poll of each call, on the thread that polls. `Offloaded` takes it elsewhere.
#[derive(Debug)]
pub struct KvStore<B> {
    pub(crate) backend: LongKeys<B>,
    pub(crate) known: Known,
    /// What the engine promised when it was opened.
    promises: Promises,
    /// What is known instead where others may have the engine open, too.
    pub(crate) seen: Option<Seen>,
    /// Held from the checks of a batch to the end of its write.
    writer: Mutex<Writer>,
    /// What was committed, noted under the writer's lock once it can be read.
    log: Mutex<ChangeLog>,
}

/// What writes go through, one at a time.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    revisions: Revisions,
    /// The outcome of a write is not known: no more are taken.
    broken: bool,
    /// The outcome of the last write is not known, and the engine goes on: its next transaction shows what came of it.
    doubt: Option<Change>,
}

/// What a transaction changes besides its entries, once it is done.
#[derive(Debug, Clone, Default)]
pub(crate) struct Change {
    catalogue: Option<Catalogue>,
    author: Option<Author>,
    names: Vec<Changed>,
}

impl Change {
    /// Only the tables are declared in another way.
    pub(crate) fn of(catalogue: &Catalogue) -> Self {
        Self {
            catalogue: Some(catalogue.clone()),
            ..Self::default()
        }
    }
}

impl<B: KvBackend> KvStore<B> {
    /// Opens the store that `backend` holds, or a new one if it holds nothing. Nothing is written.
    ///
    /// # Errors
    /// [`NotAStore`](StoreErrorKind::NotAStore) if it holds something else,
    /// [`Corrupt`](StoreErrorKind::Corrupt) if it holds a store that is damaged,
    /// [`KeyNeeded`](StoreErrorKind::KeyNeeded) if it holds a sealed store,
    /// [`Unsupported`](StoreErrorKind::Unsupported) if its [`Limits`](crate::Limits) are too narrow for keys,
    /// [`FormatTooNew`](StoreErrorKind::FormatTooNew) if a newer release wrote it, and what the backend reports.
    pub fn open(backend: B) -> Result<Self, StoreError> {
        let backend = LongKeys::new(backend);
        backend.check()?;
        // A foreign database is refused before anything is taken for a long key.
        let catalogue = if Catalogue::is_there(&*backend.engine.snapshot()?)? {
            Catalogue::read(&*backend.snapshot()?)?
        } else {
            Catalogue::default()
        };
        Ok(Self::with_catalogue(backend, catalogue))
    }

    /// A new store over a backend that is known to hold nothing.
    pub fn empty(backend: B) -> Self {
        Self::with_catalogue(LongKeys::new(backend), Catalogue::default())
    }

    fn with_catalogue(backend: LongKeys<B>, catalogue: Catalogue) -> Self {
        let promises = backend.engine.promises();
        Self {
            backend,
            known: Known::new(catalogue),
            promises,
            seen: promises.multi_process.then(Seen::default),
            writer: Mutex::default(),
            log: Mutex::default(),
        }
    }

    /// The tables as they are now.
    pub(crate) fn catalogue(&self) -> Result<Arc<Catalogue>, StoreError> {
        match (self.known.get()?, &self.seen) {
            (_, Some(seen)) => seen.catalogue(&*self.backend.snapshot()?),
            (Some(catalogue), None) => Ok(catalogue),
            (None, None) => Ok(Arc::new(Catalogue::stored(&*self.backend.snapshot()?)?)),
        }
    }

    /// True where other processes may have the engine open, too.
    pub(crate) fn is_shared(&self) -> bool {
        self.seen.is_some()
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.promises.read_only
    }

    pub(crate) fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a copy of a store of an earlier format, which the write that follows brings forward.
    pub(crate) fn keep_earlier(&self, catalogue: &Catalogue) -> Result<(), StoreError> {
        match catalogue.earlier() {
            Some(format) => self.backend.engine.keep_earlier(format),
            None => Ok(()),
        }
    }

    /// Begins a transaction of the backend. All that is to be written goes through here and [`finish`](Self::finish).
    pub(crate) fn begin(
        &self,
        writer: &Writer,
        durability: Durability,
    ) -> Result<Box<dyn KvWrite + '_>, StoreError> {
        if writer.broken {
            let message = "it is not known whether an earlier write was done; open the store again";
            return Err(StoreError::new(StoreErrorKind::Unknown, message));
        }
        self.backend.begin_write(durability)
    }

    /// Commits a transaction, and notes what came of it.
    pub(crate) fn finish(
        &self,
        writer: &mut Writer,
        mut transaction: Box<dyn KvWrite + '_>,
        mut change: Change,
    ) -> Result<Position, StoreError> {
        if self.is_shared() {
            let longest = self.backend.engine.limits().longest_value;
            shared::stamp(&mut *transaction, change.catalogue.is_some())?;
            let names = &change.names;
            let position = shared::append(&mut *transaction, longest, change.author, names)?;
            let done = transaction.commit();
            return done.map(|()| position).inspect_err(|error| {
                writer.broken = error.kind() == StoreErrorKind::Unknown;
            });
        }
        let new = change.catalogue.take().map(Arc::new);
        let old = new.as_ref().map(|_| self.catalogue()).transpose()?;
        if new.is_some() {
            self.known.doubt();
        }
        let done = transaction.commit();
        let holds = match &done {
            Ok(()) => {
                self.note(change);
                new
            }
            Err(error) if error.may_be_done() => {
                writer.broken = error.kind() == StoreErrorKind::Unknown;
                self.note(change.clone());
                writer.doubt = Some(change);
                None
            }
            Err(_) => old,
        };
        if let Some(holds) = holds {
            self.known.set(holds);
        }
        done.map(|()| self.log().position())
    }

    /// Notes what was changed, or may have been: a name too many does no harm.
    fn note(&self, change: Change) {
        self.log().append(change.author, change.names);
    }

    /// Finds out what came of a write in doubt, before the next one builds on it.
    pub(crate) fn settle(&self, writer: &mut Writer) -> Result<(), StoreError> {
        if writer.doubt.is_none() && self.known.get()?.is_some() {
            return Ok(());
        }
        let transaction = self.begin(writer, Durability::Eventual)?;
        if self.known.get()?.is_none() {
            self.known.set(Arc::new(Catalogue::stored(&*transaction)?));
        }
        // It may have been done after its names were noted, and read before it was done.
        if let Some(change) = writer.doubt.take() {
            self.note(change);
        }
        Ok(())
    }

    fn log(&self) -> MutexGuard<'_, ChangeLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn position_now(&self) -> Result<Position, StoreError> {
        self.known.get()?;
        if self.is_shared() {
            return shared::position(&*self.backend.snapshot()?);
        }
        Ok(self.log().position())
    }

    pub(crate) fn changes_now(&self, since: Position, limit: usize) -> Result<Changes, StoreError> {
        self.known.get()?;
        if self.is_shared() {
            return shared::since(&*self.backend.snapshot()?, since, limit);
        }
        Ok(self.log().since(since, limit))
    }

    pub(crate) fn commit_now(&self, batch: &WriteBatch) -> Result<Position, StoreError> {
        let mut writer = self.writer();
        self.settle(&mut writer)?;
        let mut catalogue = self.catalogue()?;
        if self.is_read_only() {
            return Err(StoreError::read_only());
        }
        if catalogue.is_older() {
            // A copy costs as much as the store: none for a batch that is refused.
            self.judge(&*self.backend.snapshot()?, &catalogue, batch)?;
            self.keep_earlier(&catalogue)?;
        }
        let mut transaction = self.begin(&writer, batch.get_durability())?;
        if let Some(seen) = &self.seen {
            // Another process may have changed it before this one had its turn.
            catalogue = seen.catalogue(&*transaction)?;
        }
        self.judge(&*transaction, &catalogue, batch)?;
        let keeps_indexes = self.backend.engine.indexes() != Indexes::None;
        let mut rows = Writes {
            transaction: &mut *transaction,
            catalogue: &catalogue,
            keeps_indexes,
            revisions: &mut writer.revisions,
        };
        for write in batch.writes() {
            rows.write(write)?;
        }
        let mut change = Change {
            catalogue: None,
            author: batch.get_author(),
            names: batch.writes().iter().map(Changed::by).collect(),
        };
        let forgets = !keeps_indexes && catalogue.keeps_any();
        if forgets || catalogue.is_older() {
            let mut changed = (*catalogue).clone();
            let mut notes = KvBatch::default();
            if catalogue.is_older() {
                changed.bring_forward(&mut notes);
            }
            if forgets {
                // From this write on they would miss records.
                changed.forget_indexes(&mut notes);
            }
            notes.write_in(&mut *transaction)?;
            change.catalogue = Some(changed);
        }
        self.finish(&mut writer, transaction, change)
    }

    /// Refuses a batch that names tables which are not declared, or were changed by someone else, or records that are not as it demands.
    fn judge(
        &self,
        read: &dyn KvRead,
        catalogue: &Catalogue,
        batch: &WriteBatch,
    ) -> Result<(), StoreError> {
        let checked = batch.checks().iter().map(|check| &check.table);
        for table in checked.chain(batch.writes().iter().map(Write::table)) {
            catalogue.table(table)?;
        }
        for unchanged in batch.unchanged() {
            let (table, since) = (&unchanged.table, unchanged.since);
            catalogue.table(table)?;
            let holds = if self.is_shared() {
                shared::is_unchanged(read, table, since, batch.get_author())?
            } else {
                self.log().is_unchanged(table, since, batch.get_author())
            };
            if !holds {
                return Err(StoreError::table_changed(table));
            }
        }
        batch
            .checks()
            .iter()
            .try_for_each(|check| judge(read, check))
    }

    pub(crate) fn try_lock_now(&self) -> Result<ProcessLock, StoreError> {
        // What is closed says so.
        self.known.get()?;
        self.backend.engine.try_lock()
    }

    pub(crate) fn check_now(&self) -> Result<(), StoreError> {
        self.known.get()?;
        self.backend.engine.check()
    }

    pub(crate) fn backup_now(&self, path: &Path, mark: &WriteBatch) -> Result<(), StoreError> {
        self.known.get()?;
        backup(&self.backend.engine, path, mark)
    }

    pub(crate) fn close_now(&self) -> Result<(), StoreError> {
        let _writer = self.writer();
        if self.known.get().is_err() {
            return Ok(());
        }
        self.known.close();
        self.backend.engine.close()
    }
}

#[cfg_attr(not(synctable_single_threaded), async_trait)]
#[cfg_attr(synctable_single_threaded, async_trait(?Send))]
impl<B: KvBackend> LocalStore for KvStore<B> {
    async fn define(&self, schema: &Schema) -> Result<(), StoreError> {
        self.define_now(schema)
    }

    async fn schema(&self) -> Result<Schema, StoreError> {
        self.schema_now()
    }

    async fn redefine(
        &self,
        table: &TableName,
        declaration: &TableSchema,
    ) -> Result<(), StoreError> {
        self.redefine_now(table, declaration)
    }

    async fn get(
        &self,
        table: &TableName,
        ids: &[RecordId],
    ) -> Result<Vec<Option<Record>>, StoreError> {
        self.get_now(table, ids)
    }

    async fn query(&self, table: &TableName, query: &Query) -> Result<Page, StoreError> {
        self.query_now(table, query)
    }

    async fn commit(&self, batch: WriteBatch) -> Result<Position, StoreError> {
        self.commit_now(&batch)
    }

    async fn position(&self) -> Result<Position, StoreError> {
        self.position_now()
    }

    async fn changes_since(&self, since: Position, limit: usize) -> Result<Changes, StoreError> {
        self.changes_now(since, limit)
    }

    fn capabilities(&self) -> StoreCapabilities {
        let promises = self.promises;
        StoreCapabilities::default()
            .with_persistent(promises.persistent)
            .with_durable(promises.durable)
            .with_multi_process(promises.multi_process)
            .with_ordered_commits(true)
            .with_read_only(promises.read_only)
            .with_redefines(true)
            .with_indexes(self.backend.engine.indexes() == Indexes::Ordered)
    }

    async fn count(&self, table: &TableName, query: &Query) -> Result<u64, StoreError> {
        self.count_now(table, query)
    }

    async fn explain(&self, table: &TableName, query: &Query) -> Result<Explained, StoreError> {
        self.explain_now(table, query)
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.check_now()
    }

    async fn try_lock(&self) -> Result<ProcessLock, StoreError> {
        self.try_lock_now()
    }

    async fn backup(&self, path: &Path, mark: WriteBatch) -> Result<(), StoreError> {
        self.backup_now(path, &mark)
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.close_now()
    }
}

fn judge(read: &(impl KvRead + ?Sized), check: &Check) -> Result<(), StoreError> {
    let stored = get(read, &check.table, &check.id)?;
    let holds = match &check.expect {
        Expect::Absent => stored.is_none(),
        Expect::Present => stored.is_some(),
        Expect::At(revision) => stored.as_ref().and_then(Record::revision) == Some(revision),
        Expect::Same(record) => stored.as_ref() == Some(&**record),
    };
    if holds {
        Ok(())
    } else {
        Err(StoreError::check_failed(&check.table, &check.id))
    }
}
