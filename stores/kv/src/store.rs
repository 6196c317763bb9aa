//! The store over a backend: catalogue, checks, writes and queries.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use async_trait::async_trait;
use synctable_core::query::{Judge, Query, Window, page_of};
use synctable_core::store::{
    Access, ChangeLog, Changed, Changes, Check, Durability, Expect, LocalStore, Page,
    Plan as Explained, Position, ProcessLock, Revisions, StoreCapabilities, StoreError,
    StoreErrorKind, Write, WriteBatch,
};
use synctable_core::{Record, RecordId, Schema, TableName, TableSchema};

use crate::backend::{Indexes, KvBackend};
use crate::backup::backup;
use crate::batch::KvBatch;
use crate::catalogue::Catalogue;
use crate::index::{PageOf, Walker};
use crate::key::{Key, all_records, behind};
use crate::long_keys::LongKeys;
use crate::plan::{Plan, plan};
use crate::read::{KvRead, KvWrite};
use crate::scan::{entries, records};
use crate::value;
use crate::writes::Writes;

/// A [`LocalStore`] over a [`KvBackend`].
///
/// A batch is judged and written in one write transaction of the backend, under a lock of the store's own. Reads take one snapshot
/// each and do not wait for that lock. One process at a time has the store open: what it knows of the tables and of the last changes is in its memory.
///
/// Declared indexes are kept in the same write as the records, and used for equality, ranges and order; a query without one runs along
/// the ids and ends with its page, or, with an order, reads the whole table. An index that is declared for a table with records is
/// built by [`define`](LocalStore::define), which holds writers up meanwhile; if it is cut off, the next one goes on.
///
/// The work is done in the first poll of each call, on the thread that polls. `Offloaded` takes it elsewhere.
#[derive(Debug)]
pub struct KvStore<B> {
    pub(crate) backend: LongKeys<B>,
    /// The declared tables; `None` once the store is closed.
    catalogue: RwLock<Option<Arc<Catalogue>>>,
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
        Self {
            backend,
            catalogue: RwLock::new(Some(Arc::new(catalogue))),
            writer: Mutex::default(),
            log: Mutex::default(),
        }
    }

    pub(crate) fn catalogue(&self) -> Result<Arc<Catalogue>, StoreError> {
        let catalogue = self
            .catalogue
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        catalogue.clone().ok_or_else(|| {
            let message = "the store was closed; open it again";
            StoreError::new(StoreErrorKind::Closed, message)
        })
    }

    pub(crate) fn set_catalogue(&self, catalogue: Option<Arc<Catalogue>>) {
        *self
            .catalogue
            .write()
            .unwrap_or_else(PoisonError::into_inner) = catalogue;
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

    /// Begins a transaction of the backend. All that is to be written goes through here and [`done`](Self::done).
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

    /// Notes where the outcome of a transaction is not known.
    pub(crate) fn done<T>(
        writer: &mut Writer,
        done: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        done.inspect_err(|error| {
            if error.kind() == StoreErrorKind::Unknown {
                writer.broken = true;
            }
        })
    }

    pub(crate) fn get_now(
        &self,
        table: &TableName,
        ids: &[RecordId],
    ) -> Result<Vec<Option<Record>>, StoreError> {
        self.catalogue()?.table(table)?;
        let snapshot = self.backend.snapshot()?;
        ids.iter().map(|id| get(&*snapshot, table, id)).collect()
    }

    pub(crate) fn query_now(&self, table: &TableName, query: &Query) -> Result<Page, StoreError> {
        let catalogue = self.catalogue()?;
        let schema = catalogue.table(table)?;
        let snapshot = self.backend.snapshot()?;
        match plan(
            query,
            schema,
            catalogue.ready(table),
            self.backend.engine.indexes(),
        ) {
            Plan::Id(id) => {
                let found = get(&*snapshot, table, &id)?;
                page_of(query, schema, found.map(Ok))
            }
            Plan::Index(walk) => {
                let walker = Walker {
                    snapshot: &*snapshot,
                    table,
                    schema,
                    walk: &walk,
                };
                if let Some(direction) = walk.order
                    && let Some(page) = walker.page(query, direction)?
                {
                    return Ok(page);
                }
                page_of(query, schema, walker.records())
            }
            Plan::Table if query.order.is_empty() => page_by_id(&*snapshot, table, schema, query),
            Plan::Table => page_of(
                query,
                schema,
                records(&*snapshot, table, &all_records(table)),
            ),
        }
    }

    fn explain_now(&self, table: &TableName, query: &Query) -> Result<Explained, StoreError> {
        let catalogue = self.catalogue()?;
        let schema = catalogue.table(table)?;
        let plan = plan(
            query,
            schema,
            catalogue.ready(table),
            self.backend.engine.indexes(),
        );
        Ok(match plan {
            Plan::Id(_) => Explained::new(Access::Ids, true),
            Plan::Index(walk) => {
                let access = Access::Index {
                    fields: walk.index.fields.clone(),
                    equal: walk.equal,
                    range: !walk.parts.is_empty(),
                };
                Explained::new(access, walk.order.is_some())
            }
            Plan::Table => Explained::new(Access::Scan, query.order.is_empty()),
        })
    }

    pub(crate) fn count_now(&self, table: &TableName, query: &Query) -> Result<u64, StoreError> {
        let catalogue = self.catalogue()?;
        let schema = catalogue.table(table)?;
        let snapshot = self.backend.snapshot()?;
        let keys = all_records(table);
        let judge = Judge::new(query, schema);
        if query.filter.is_none() && query.within.is_none() {
            return entries(&*snapshot, &keys)
                .map(|entry| entry.and_then(|_| judge.pass().map(|()| 1)))
                .sum();
        }
        let one = |record: Result<Record, StoreError>| judge.wants(&record?).map(u64::from);
        let mut unordered = query.clone();
        unordered.order.clear();
        match plan(
            &unordered,
            schema,
            catalogue.ready(table),
            self.backend.engine.indexes(),
        ) {
            Plan::Id(id) => get(&*snapshot, table, &id)?.map_or(Ok(0), |record| one(Ok(record))),
            Plan::Index(walk) => {
                let walker = Walker {
                    snapshot: &*snapshot,
                    table,
                    schema,
                    walk: &walk,
                };
                walker.records().map(one).sum()
            }
            Plan::Table => records(&*snapshot, table, &keys).map(one).sum(),
        }
    }

    fn log(&self) -> MutexGuard<'_, ChangeLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn position_now(&self) -> Result<Position, StoreError> {
        self.catalogue()?;
        Ok(self.log().position())
    }

    fn changes_now(&self, since: Position, limit: usize) -> Result<Changes, StoreError> {
        self.catalogue()?;
        Ok(self.log().since(since, limit))
    }

    pub(crate) fn commit_now(&self, batch: &WriteBatch) -> Result<Position, StoreError> {
        let mut writer = self.writer();
        let mut catalogue = self.catalogue()?;
        if self.backend.engine.promises().read_only {
            return Err(StoreError::read_only());
        }
        self.check_tables(&catalogue, batch)?;
        self.keep_earlier(&catalogue)?;
        let mut transaction = self.begin(&writer, batch.get_durability())?;
        for check in batch.checks() {
            judge(&*transaction, check)?;
        }
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
            catalogue = Arc::new(changed);
        }
        let done = Self::done(&mut writer, transaction.commit());
        if done.is_ok() {
            self.set_catalogue(Some(catalogue));
        }
        let mut log = self.log();
        if done.is_ok() || writer.broken {
            // Where it is not known whether it was done, it is noted: a name too many does no harm.
            log.append(
                batch.get_author(),
                batch.writes().iter().map(Changed::by).collect(),
            );
        }
        done.map(|()| log.position())
    }

    /// Refuses a batch that names tables which are not declared, or were changed by someone else.
    fn check_tables(&self, catalogue: &Catalogue, batch: &WriteBatch) -> Result<(), StoreError> {
        let checked = batch.checks().iter().map(|check| &check.table);
        for table in checked.chain(batch.writes().iter().map(Write::table)) {
            catalogue.table(table)?;
        }
        for unchanged in batch.unchanged() {
            let (table, since) = (&unchanged.table, unchanged.since);
            catalogue.table(table)?;
            if !self.log().is_unchanged(table, since, batch.get_author()) {
                return Err(StoreError::table_changed(table));
            }
        }
        Ok(())
    }

    pub(crate) fn try_lock_now(&self) -> Result<ProcessLock, StoreError> {
        // What is closed says so.
        self.catalogue()?;
        self.backend.engine.try_lock()
    }

    pub(crate) fn check_now(&self) -> Result<(), StoreError> {
        self.catalogue()?;
        self.backend.engine.check()
    }

    pub(crate) fn backup_now(&self, path: &Path, mark: &WriteBatch) -> Result<(), StoreError> {
        self.catalogue()?;
        backup(&self.backend.engine, path, mark)
    }

    pub(crate) fn close_now(&self) -> Result<(), StoreError> {
        let _writer = self.writer();
        if self.catalogue().is_err() {
            return Ok(());
        }
        self.set_catalogue(None);
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
        Ok(self.catalogue()?.schema.clone())
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
        let promises = self.backend.engine.promises();
        StoreCapabilities::default()
            .with_persistent(promises.persistent)
            .with_durable(promises.durable)
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

pub(crate) fn get(
    read: &(impl KvRead + ?Sized),
    table: &TableName,
    id: &RecordId,
) -> Result<Option<Record>, StoreError> {
    let value = read.get(&Key::record(table, id).encode())?;
    value
        .map(|value| value::decode(table, id.clone(), &value))
        .transpose()
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

/// The page of a query without an order: starts behind its cursor and reads no further than it must.
fn page_by_id(
    read: &(impl KvRead + ?Sized),
    table: &TableName,
    schema: &TableSchema,
    query: &Query,
) -> Result<Page, StoreError> {
    let window = Window::of(query)?;
    if window.length == 0 {
        return Ok(Page::default());
    }
    let mut keys = all_records(table);
    if let Some(place) = &window.start {
        keys.start = behind(Key::record(table, &place.id).encode());
    }
    let mut page = PageOf::new(query, &window, schema);
    for record in records(read, table, &keys) {
        if page.add(record?)? {
            break;
        }
    }
    Ok(page.end())
}
