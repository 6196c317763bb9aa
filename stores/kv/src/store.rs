//! The store over a backend: catalogue, checks, writes and queries.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use async_trait::async_trait;
use synctable_core::query::{Evaluator, Query, SortKey, Window, page_of};
use synctable_core::store::{
    Check, Durability, Expect, LocalStore, Page, StoreCapabilities, StoreError, StoreErrorKind,
    Write, WriteBatch,
};
use synctable_core::{Record, RecordId, Schema, TableName, TableSchema};

use crate::backend::{KvBackend, KvBatch, KvSnapshot};
use crate::key::{Key, all_records, all_tables, behind};
use crate::scan::{Entries, records};
use crate::value;

/// What the entry [`Key::Format`] holds, before the number of the format.
const FORMAT_NAME: &str = "synctable kv ";
const FORMAT: u32 = 1;
/// What the same entry of a sealed store begins with.
const SEALED_NAME: &[u8] = b"synctable sealed ";

/// A [`LocalStore`] over a [`KvBackend`].
///
/// A batch is judged and written under one lock, in one write of the backend. Reads take one snapshot
/// each and do not wait for that lock. A query without an order runs along the ids and ends with its page;
/// one with an order reads the whole table.
///
/// The work is done in the first poll of each call, on the thread that polls.
#[derive(Debug)]
pub struct KvStore<B> {
    backend: B,
    /// The declared tables; `None` once the store is closed.
    catalogue: RwLock<Option<Arc<Schema>>>,
    /// Held from the checks of a batch to the end of its write.
    writer: Mutex<Writer>,
}

/// Whether writes are taken.
#[derive(Debug, PartialEq, Eq)]
enum Writer {
    Ready,
    /// The outcome of a write is not known.
    Broken,
}

impl<B: KvBackend> KvStore<B> {
    /// Opens the store that `backend` holds, or a new one if it holds nothing. Nothing is written.
    ///
    /// # Errors
    /// [`NotAStore`](StoreErrorKind::NotAStore) if it holds something else,
    /// [`KeyNeeded`](StoreErrorKind::KeyNeeded) if it holds a sealed store,
    /// [`FormatTooNew`](StoreErrorKind::FormatTooNew) if a newer release wrote it, and what the backend reports.
    pub fn open(backend: B) -> Result<Self, StoreError> {
        let catalogue = read_catalogue(&*backend.snapshot()?)?;
        Ok(Self::with_catalogue(backend, catalogue))
    }

    /// A new store over a backend that is known to hold nothing.
    pub fn empty(backend: B) -> Self {
        Self::with_catalogue(backend, Schema::new())
    }

    fn with_catalogue(backend: B, catalogue: Schema) -> Self {
        Self {
            backend,
            catalogue: RwLock::new(Some(Arc::new(catalogue))),
            writer: Mutex::new(Writer::Ready),
        }
    }

    fn catalogue(&self) -> Result<Arc<Schema>, StoreError> {
        let catalogue = self
            .catalogue
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        catalogue.clone().ok_or_else(|| {
            let message = "the store was closed; open it again";
            StoreError::new(StoreErrorKind::Closed, message)
        })
    }

    fn set_catalogue(&self, catalogue: Option<Arc<Schema>>) {
        *self
            .catalogue
            .write()
            .unwrap_or_else(PoisonError::into_inner) = catalogue;
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, writer: &mut Writer, batch: &KvBatch) -> Result<(), StoreError> {
        if *writer == Writer::Broken {
            let message = "it is not known whether an earlier write was done; open the store again";
            return Err(StoreError::new(StoreErrorKind::Unknown, message));
        }
        self.backend.write(batch).inspect_err(|error| {
            if error.kind() == StoreErrorKind::Unknown {
                *writer = Writer::Broken;
            }
        })
    }

    fn define_now(&self, schema: &Schema) -> Result<(), StoreError> {
        let mut writer = self.writer();
        let old = self.catalogue()?;
        let new = old
            .merged(schema)
            .map_err(|error| StoreError::new(StoreErrorKind::Schema, error.to_string()))?;
        if new == *old {
            return Ok(());
        }
        let mut batch = KvBatch::new(Durability::Immediate);
        batch.put(
            Key::Format.encode(),
            format!("{FORMAT_NAME}{FORMAT}").into_bytes(),
        );
        for (table, declared) in new.tables() {
            if old.table(table) != Some(declared) {
                let text = serde_json::to_vec(declared).map_err(|error| {
                    let message = format!("table {table}: its declaration cannot be written");
                    StoreError::new(StoreErrorKind::Schema, message).with_source(error)
                })?;
                batch.put(Key::Table(table.as_str()).encode(), text);
            }
        }
        self.write(&mut writer, &batch)?;
        self.set_catalogue(Some(Arc::new(new)));
        Ok(())
    }

    fn get_now(
        &self,
        table: &TableName,
        ids: &[RecordId],
    ) -> Result<Vec<Option<Record>>, StoreError> {
        declared(&*self.catalogue()?, table)?;
        let snapshot = self.backend.snapshot()?;
        ids.iter().map(|id| get(&*snapshot, table, id)).collect()
    }

    fn query_now(&self, table: &TableName, query: &Query) -> Result<Page, StoreError> {
        let catalogue = self.catalogue()?;
        let schema = declared(&catalogue, table)?;
        let snapshot = self.backend.snapshot()?;
        if query.order.is_empty() {
            page_by_id(&*snapshot, table, schema, query)
        } else {
            page_of(
                query,
                schema,
                records(&*snapshot, table, all_records(table)),
            )
        }
    }

    fn count_now(&self, table: &TableName, query: &Query) -> Result<u64, StoreError> {
        let catalogue = self.catalogue()?;
        let schema = declared(&catalogue, table)?;
        let snapshot = self.backend.snapshot()?;
        let keys = all_records(table);
        if query.filter.is_none() {
            Entries::new(&*snapshot, keys)
                .map(|entry| entry.map(|_| 1))
                .sum()
        } else {
            matching(&*snapshot, table, schema, query, keys)
                .map(|record| record.map(|_| 1))
                .sum()
        }
    }

    fn commit_now(&self, batch: &WriteBatch) -> Result<(), StoreError> {
        let mut writer = self.writer();
        let batch = self.judged(batch)?;
        self.write(&mut writer, &batch)
    }

    /// Judges the checks and says what to write. The snapshot is gone when it returns.
    fn judged(&self, batch: &WriteBatch) -> Result<KvBatch, StoreError> {
        let catalogue = self.catalogue()?;
        let checked = batch.checks().iter().map(|check| &check.table);
        for table in checked.chain(batch.writes().iter().map(Write::table)) {
            declared(&catalogue, table)?;
        }
        let snapshot = self.backend.snapshot()?;
        for check in batch.checks() {
            judge(&*snapshot, check)?;
        }
        let mut plan = KvBatch::new(batch.get_durability());
        for write in batch.writes() {
            match write {
                Write::Put { table, record } => plan.put(
                    Key::record(table, record.id()).encode(),
                    value::encode(record),
                ),
                Write::Delete { table, id } => plan.delete(Key::record(table, id).encode()),
                Write::Clear { table } => {
                    let keys = all_records(table);
                    plan.delete_written(&keys.start..&keys.end);
                    for entry in Entries::new(&*snapshot, keys) {
                        plan.delete(entry?.0);
                    }
                }
            }
        }
        Ok(plan)
    }

    fn close_now(&self) -> Result<(), StoreError> {
        let _writer = self.writer();
        if self.catalogue().is_err() {
            return Ok(());
        }
        self.set_catalogue(None);
        self.backend.close()
    }
}

#[async_trait]
impl<B: KvBackend> LocalStore for KvStore<B> {
    async fn define(&self, schema: &Schema) -> Result<(), StoreError> {
        self.define_now(schema)
    }

    async fn schema(&self) -> Result<Schema, StoreError> {
        Ok((*self.catalogue()?).clone())
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

    async fn commit(&self, batch: WriteBatch) -> Result<(), StoreError> {
        self.commit_now(&batch)
    }

    fn capabilities(&self) -> StoreCapabilities {
        self.backend.capabilities().with_ordered_commits(true)
    }

    async fn count(&self, table: &TableName, query: &Query) -> Result<u64, StoreError> {
        self.count_now(table, query)
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.close_now()
    }
}

fn declared<'a>(catalogue: &'a Schema, table: &TableName) -> Result<&'a TableSchema, StoreError> {
    catalogue
        .table(table)
        .ok_or_else(|| StoreError::unknown_table(table))
}

fn get(
    snapshot: &dyn KvSnapshot,
    table: &TableName,
    id: &RecordId,
) -> Result<Option<Record>, StoreError> {
    let value = snapshot.get(&Key::record(table, id).encode())?;
    value
        .map(|value| value::decode(table, id.clone(), &value))
        .transpose()
}

fn judge(snapshot: &dyn KvSnapshot, check: &Check) -> Result<(), StoreError> {
    let stored = get(snapshot, &check.table, &check.id)?;
    let holds = match &check.expect {
        Expect::Absent => stored.is_none(),
        Expect::Present => stored.is_some(),
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
    snapshot: &dyn KvSnapshot,
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
    let mut left_out = 0;
    let mut page: Vec<Record> = Vec::new();
    for record in matching(snapshot, table, schema, query, keys) {
        let record = record?;
        if left_out < window.skip {
            left_out += 1;
        } else if page.len() < window.length {
            page.push(record);
        } else {
            let last = page.last().map(|last| SortKey {
                values: Vec::new(),
                id: last.id().clone(),
            });
            let next = window.next(last.as_ref(), page.len());
            return Ok(Page::new(page, next));
        }
    }
    Ok(Page::new(page, None))
}

/// The records in `keys` that match the filter, by ascending id.
fn matching<'a>(
    snapshot: &'a dyn KvSnapshot,
    table: &'a TableName,
    schema: &'a TableSchema,
    query: &'a Query,
    keys: Range<Vec<u8>>,
) -> impl Iterator<Item = Result<Record, StoreError>> + 'a {
    let evaluator = Evaluator::new(schema);
    records(snapshot, table, keys).filter(move |record| match (record, &query.filter) {
        (Ok(record), Some(filter)) => evaluator.matches(filter, record),
        _ => true,
    })
}

fn read_catalogue(snapshot: &dyn KvSnapshot) -> Result<Schema, StoreError> {
    let Some(format) = snapshot.get(&Key::Format.encode())? else {
        let anything = snapshot.scan(&[][..]..&[u8::MAX; 64][..], 1)?;
        return if anything.is_empty() {
            Ok(Schema::new())
        } else {
            Err(not_a_store())
        };
    };
    if format.starts_with(SEALED_NAME) {
        let message = "the store is encrypted; open it with its key";
        return Err(StoreError::new(StoreErrorKind::KeyNeeded, message));
    }
    let number = std::str::from_utf8(&format)
        .ok()
        .and_then(|text| text.strip_prefix(FORMAT_NAME)?.parse::<u32>().ok());
    match number {
        Some(FORMAT) => {}
        Some(newer) => {
            let message = format!(
                "the store has format {newer}, this release reads up to {FORMAT}; update the program"
            );
            return Err(StoreError::new(StoreErrorKind::FormatTooNew, message));
        }
        None => return Err(not_a_store()),
    }
    let mut catalogue = Schema::new();
    for entry in Entries::new(snapshot, all_tables()) {
        let (key, text) = entry?;
        let damaged = || StoreError::corrupt("the stored declaration of a table is damaged");
        let Some(Key::Table(table)) = Key::decode(&key) else {
            return Err(damaged());
        };
        let table = TableName::stored(table).map_err(|error| damaged().with_source(error))?;
        let declared =
            serde_json::from_slice(&text).map_err(|error| damaged().with_source(error))?;
        catalogue = catalogue.with_table(table, declared);
    }
    Ok(catalogue)
}

fn not_a_store() -> StoreError {
    let message = "the database holds something other than a synctable store; choose another path";
    StoreError::new(StoreErrorKind::NotAStore, message)
}
