//! The store trait, what a store may promise, and conveniences over it.

use std::any::Any;
use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use super::{Access, Changes, Plan, Position, StoreError, StoreErrorKind, WriteBatch};
use crate::name::{RecordId, TableName};
use crate::query::{Cursor, Query};
use crate::record::Record;
use crate::schema::{Schema, TableSchema};
use crate::threads::{MaybeSend, MaybeSync};

/// A place that keeps records: seven required methods.
///
/// *Reads* answer from one snapshot each. *Writes* go through [`commit`](Self::commit) only. Dropping a
/// future is always safe: a dropped `commit` leaves its batch whole or not done, even if it is done later; its checks are judged then.
/// Names of tables that start with `__` are the engine's own; a store treats them like any other.
///
/// *Revisions*: every record that [`get`](Self::get) and [`query`](Self::query) answer carries a [`Revision`](super::Revision)
/// ([`Record::at`]). Each [`Put`](super::Write::Put) gives its record another one, also where it changes nothing, and none that this record
/// ever had: not after a delete, not after opening again, not where an older copy of the files was put back. Reading and refused batches
/// change none. Whoever has the store open reads the same one. [`Revisions`](super::Revisions) makes such numbers.
///
/// *Changes*: a store knows which records were changed lately, by whatever handle and process, at least the last
/// [10,000](super::KNOWN_CHANGES). Every [`Write`](super::Write) counts, also one that changes nothing. A name too many is harmless, one that is missing
/// is not: whoever relies on it keeps what is old. [`ChangeLog`](super::ChangeLog) is such a log for a store that one process has open.
///
/// Wrappers should forward every method, the provided ones too, under
/// `#[deny(clippy::missing_trait_methods)]`.
#[cfg_attr(not(synctable_single_threaded), async_trait)]
#[cfg_attr(synctable_single_threaded, async_trait(?Send))]
pub trait LocalStore: Debug + MaybeSend + MaybeSync + 'static {
    /// Makes sure that the tables of `schema` exist with their fields and indexes.
    ///
    /// Idempotent. Adds what is missing, keeps what is there; a field that was declared with another type is
    /// an error of kind [`Schema`](super::StoreErrorKind::Schema), and then nothing changed. After `Ok` the declaration is durable
    /// and in force for every later call, also after reopening. Tables that `schema` does not name stay as they are.
    async fn define(&self, schema: &Schema) -> Result<(), StoreError>;

    /// Every table that was defined, with all its fields and indexes, as the calls of [`define`](Self::define) add up.
    async fn schema(&self) -> Result<Schema, StoreError>;

    /// Replaces the declaration of a table that was defined: fields may go, be new, or have another type, and so may indexes. No record changes its
    /// content by it, though any may get another revision: a value that does not fit its new type is kept as any other that does not fit, and one whose
    /// field is gone is a member like any other.
    ///
    /// All or nothing, and durable like [`define`](Self::define); where it was cut off, the same call again ends it. Queries that follow answer as if the
    /// table had always been declared so.
    ///
    /// # Errors
    /// [`Unsupported`](super::StoreErrorKind::Unsupported), the default, where [`StoreCapabilities::redefines`] says no;
    /// [`Schema`](super::StoreErrorKind::Schema) for a declaration that cannot be.
    async fn redefine(
        &self,
        table: &TableName,
        declaration: &TableSchema,
    ) -> Result<(), StoreError> {
        let _ = (table, declaration);
        let message = "a store of this kind cannot change the declaration of a table";
        Err(StoreError::new(StoreErrorKind::Unsupported, message))
    }

    /// The records with these ids, in the order asked, `None` where there is none. One snapshot.
    ///
    /// A table that was never defined is [`UnknownTable`](super::StoreErrorKind::UnknownTable), here and in every other method.
    async fn get(
        &self,
        table: &TableName,
        ids: &[RecordId],
    ) -> Result<Vec<Option<Record>>, StoreError>;

    /// One page of the records that `query` describes, from one snapshot, as the reference
    /// evaluation ([`page_of`](crate::query::page_of)) answers. Members that the query would leave out
    /// (`select`) are returned all the same.
    ///
    /// Following [`Page::next`] never skips or repeats a record that does not change meanwhile.
    async fn query(&self, table: &TableName, query: &Query) -> Result<Page, StoreError>;

    /// Judges the checks and does the writes of `batch`, all or nothing.
    ///
    /// After `Ok` every later read sees all of it, and it is durable as [`WriteBatch::durability`] says. After an
    /// error nothing of it is seen (but see [`StoreError::may_be_done`]). A check that does not hold is
    /// [`CheckFailed`](super::StoreErrorKind::CheckFailed). All checks hold as if batches were done one by one.
    ///
    /// Returns the [`Position`] right behind the batch: whatever lands later lies behind it.
    async fn commit(&self, batch: WriteBatch) -> Result<Position, StoreError>;

    /// Where the change log ends. That is behind each commit that this handle answered before the call, and behind those of other handles and
    /// processes within a second of their answer. Whatever read begins afterwards shows all that was changed up to it.
    async fn position(&self) -> Result<Position, StoreError>;

    /// What was changed behind `since`, at most `limit` names, at least one. Where `more` is known, ask again from `next`. A read that begins
    /// afterwards shows all of it, and perhaps changes behind it.
    ///
    /// It is no check: what one relies on is checked by [`WriteBatch::expect_unchanged`].
    async fn changes_since(&self, since: Position, limit: usize) -> Result<Changes, StoreError>;

    /// What the store promises beyond the base contract.
    fn capabilities(&self) -> StoreCapabilities {
        StoreCapabilities::default()
    }

    /// How many records match the filter of `query`; its window (`skip`, `top`, `page`, `after`) is ignored.
    async fn count(&self, table: &TableName, query: &Query) -> Result<u64, StoreError> {
        let mut query = Query {
            filter: query.filter.clone(),
            within: query.within.clone(),
            budget: query.budget,
            stop: query.stop.clone(),
            page: Some(1000),
            ..Query::default()
        };
        let mut count = 0;
        loop {
            let page = self.query(table, &query).await?;
            count += page.records.len() as u64;
            match page.next {
                Some(next) => query.after = Some(next),
                None => return Ok(count),
            }
        }
    }

    /// How the store would answer `query`: which declared index it uses, if any. For people; nothing depends on it.
    async fn explain(&self, table: &TableName, query: &Query) -> Result<Plan, StoreError> {
        let _ = (table, query);
        Ok(Plan::new(Access::Unknown, false))
    }

    /// Tries to get the one lock that all processes with this store open share. It ends when the guard is dropped, and with
    /// the process, however that ends. The engine takes it while it pushes, to learn at once that a pusher is gone.
    ///
    /// It keeps nobody from reading or writing. Two handles in one process are as two processes.
    async fn try_lock(&self) -> Result<ProcessLock, StoreError> {
        Ok(ProcessLock::Unsupported)
    }

    /// An error if what is stored is not all that was written, as far as the store can tell by itself; it may take as long as reading
    /// everything. A sealed store finds what was removed or exchanged, which no read of a record shows. [`copy_store`](crate::sync::copy_store)
    /// asks its source first.
    async fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Makes a copy of the store as it is at one moment, at `path`, where nothing may be. `mark` is done in the copy alone, before it has
    /// its name. Others read and write meanwhile, or wait.
    ///
    /// Whatever cuts it off, a whole copy is at `path` or nothing is. What a store under a seal copies stays sealed.
    ///
    /// # Errors
    /// [`Unsupported`](super::StoreErrorKind::Unsupported) where the store has no files, the default;
    /// [`NotAStore`](super::StoreErrorKind::NotAStore) where something is at `path`.
    async fn backup(&self, path: &Path, mark: WriteBatch) -> Result<(), StoreError> {
        let _ = (path, mark);
        let message = "a store of this kind has no files to back up; copy it into another store";
        Err(StoreError::new(StoreErrorKind::Unsupported, message))
    }

    /// Makes everything durable and lets go of files. Later calls fail with [`Closed`](super::StoreErrorKind::Closed); closing
    /// again does nothing.
    async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// What became of [`LocalStore::try_lock`].
#[derive(Debug)]
#[non_exhaustive]
pub enum ProcessLock {
    /// It is held until this is dropped.
    Held(Box<dyn Any + Send + Sync>),
    /// Another process, or another handle, holds it.
    Taken,
    /// The store has no such lock.
    Unsupported,
}

/// One page of a query.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Page {
    /// The records in order.
    pub records: Vec<Record>,
    /// Where the next page starts; `None` when this was the last one.
    pub next: Option<Cursor>,
}

impl Page {
    /// A page.
    pub fn new(records: Vec<Record>, next: Option<Cursor>) -> Self {
        Self { records, next }
    }
}

/// What a store promises beyond the base contract. The conformance kit checks each promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent promises, each checked on its own"
)]
pub struct StoreCapabilities {
    /// Records survive closing and opening again.
    pub persistent: bool,
    /// An `Immediate` commit survives a power cut.
    pub durable: bool,
    /// Several processes may open the same store at once.
    pub multi_process: bool,
    /// Batches become visible in the order in which their `commit` futures were first polled.
    pub ordered_commits: bool,
    /// Declared indexes are used for filters and orders.
    pub indexes: bool,
    /// Long reads run on threads of the store's own, hold up no short ones, and end when their future is dropped.
    pub background_reads: bool,
    /// The declaration of a table can be replaced: [`LocalStore::redefine`].
    pub redefines: bool,
    /// The store is open for reading only: every `commit`, and a `define` of something new, fails with
    /// [`Unsupported`](super::StoreErrorKind::Unsupported).
    pub read_only: bool,
    /// Members are kept by value and not as text, as a `jsonb` column or a document database does: what is read has the same members with the same
    /// values, but their order, white space, and the spelling of strings and numbers may be others. [`Expect::Same`](super::Expect::Same) is
    /// judged by value, too. Whole numbers come back without a fraction. Decimals keep all their digits, or the commit that brings one fails with
    /// [`Unsupported`](super::StoreErrorKind::Unsupported); none is rounded. The properties of the system are kept as they are.
    ///
    /// Without this, what is read is the text that was stored, letter by letter.
    pub by_value: bool,
}

impl StoreCapabilities {
    /// True where `kept`, which was read from the store, is what the store makes of `given`: the same text but for the spelling of strings, which
    /// earlier releases kept as they came; or the same values where only these are [kept](Self::by_value).
    pub fn keeps_as(&self, kept: &Record, given: &Record) -> bool {
        kept.is_same_text(given) || self.by_value && kept.is_same_value(given)
    }

    /// Sets `persistent`.
    #[must_use]
    pub fn with_persistent(mut self, yes: bool) -> Self {
        self.persistent = yes;
        self
    }

    /// Sets `durable`.
    #[must_use]
    pub fn with_durable(mut self, yes: bool) -> Self {
        self.durable = yes;
        self
    }

    /// Sets `multi_process`.
    #[must_use]
    pub fn with_multi_process(mut self, yes: bool) -> Self {
        self.multi_process = yes;
        self
    }

    /// Sets `ordered_commits`.
    #[must_use]
    pub fn with_ordered_commits(mut self, yes: bool) -> Self {
        self.ordered_commits = yes;
        self
    }

    /// Sets `indexes`.
    #[must_use]
    pub fn with_indexes(mut self, yes: bool) -> Self {
        self.indexes = yes;
        self
    }

    /// Sets `background_reads`.
    #[must_use]
    pub fn with_background_reads(mut self, yes: bool) -> Self {
        self.background_reads = yes;
        self
    }

    /// Sets `redefines`.
    #[must_use]
    pub fn with_redefines(mut self, yes: bool) -> Self {
        self.redefines = yes;
        self
    }

    /// Sets `read_only`.
    #[must_use]
    pub fn with_read_only(mut self, yes: bool) -> Self {
        self.read_only = yes;
        self
    }

    /// Sets `by_value`.
    #[must_use]
    pub fn with_by_value(mut self, yes: bool) -> Self {
        self.by_value = yes;
        self
    }
}

#[deny(clippy::missing_trait_methods)]
#[cfg_attr(not(synctable_single_threaded), async_trait)]
#[cfg_attr(synctable_single_threaded, async_trait(?Send))]
impl<S: LocalStore + ?Sized> LocalStore for Arc<S> {
    async fn define(&self, schema: &Schema) -> Result<(), StoreError> {
        (**self).define(schema).await
    }
    async fn schema(&self) -> Result<Schema, StoreError> {
        (**self).schema().await
    }
    async fn redefine(
        &self,
        table: &TableName,
        declaration: &TableSchema,
    ) -> Result<(), StoreError> {
        (**self).redefine(table, declaration).await
    }
    async fn get(
        &self,
        table: &TableName,
        ids: &[RecordId],
    ) -> Result<Vec<Option<Record>>, StoreError> {
        (**self).get(table, ids).await
    }
    async fn query(&self, table: &TableName, query: &Query) -> Result<Page, StoreError> {
        (**self).query(table, query).await
    }
    async fn commit(&self, batch: WriteBatch) -> Result<Position, StoreError> {
        (**self).commit(batch).await
    }
    async fn position(&self) -> Result<Position, StoreError> {
        (**self).position().await
    }
    async fn changes_since(&self, since: Position, limit: usize) -> Result<Changes, StoreError> {
        (**self).changes_since(since, limit).await
    }
    fn capabilities(&self) -> StoreCapabilities {
        (**self).capabilities()
    }
    async fn count(&self, table: &TableName, query: &Query) -> Result<u64, StoreError> {
        (**self).count(table, query).await
    }
    async fn explain(&self, table: &TableName, query: &Query) -> Result<Plan, StoreError> {
        (**self).explain(table, query).await
    }
    async fn try_lock(&self) -> Result<ProcessLock, StoreError> {
        (**self).try_lock().await
    }
    async fn check(&self) -> Result<(), StoreError> {
        (**self).check().await
    }

    async fn backup(&self, path: &Path, mark: WriteBatch) -> Result<(), StoreError> {
        (**self).backup(path, mark).await
    }
    async fn close(&self) -> Result<(), StoreError> {
        (**self).close().await
    }
}

/// Conveniences over any store. Implemented for all of them; not to be implemented by hand.
#[cfg_attr(not(synctable_single_threaded), async_trait)]
#[cfg_attr(synctable_single_threaded, async_trait(?Send))]
pub trait LocalStoreExt: LocalStore {
    /// The record with this id, if any.
    async fn get_one(
        &self,
        table: &TableName,
        id: &RecordId,
    ) -> Result<Option<Record>, StoreError> {
        Ok(self
            .get(table, std::slice::from_ref(id))
            .await?
            .pop()
            .flatten())
    }

    /// All records of `query`, page by page, in memory at once.
    async fn query_all(&self, table: &TableName, query: &Query) -> Result<Vec<Record>, StoreError> {
        let mut query = query.clone();
        let mut records = Vec::new();
        loop {
            let page = self.query(table, &query).await?;
            records.extend(page.records);
            match page.next {
                Some(next) => query.after = Some(next),
                None => return Ok(records),
            }
        }
    }
}

impl<S: LocalStore + ?Sized> LocalStoreExt for S {}
