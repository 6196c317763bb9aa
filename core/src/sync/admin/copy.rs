//! Copying a store into another one, of whatever kind.

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::name::{RecordId, TableName};
use crate::query::{Cursor, Query};
use crate::record::{Record, SystemProperties};
use crate::schema::{Schema, TableSchema};
use crate::store::{
    Durability, LocalStore, LocalStoreExt, StoreError, StoreErrorKind, Write, WriteBatch,
};
use crate::sync::system::{LeaseRow, META, OPERATIONS, meta_value};
use crate::threads::MaybeSend;

/// Records that are copied in one commit.
const PAGE: u32 = 500;
/// The row that is in the target while it is not a whole copy.
const STATE: &str = "state";
/// The row by which contexts of earlier releases took turns at a queue.
pub(crate) const CLAIM: &str = "claim";

/// What was copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CopyReport {
    /// Tables, the engine's own left out.
    pub tables: u64,
    /// Records in them.
    pub records: u64,
    /// Queued operations, parked ones too.
    pub operations: u64,
}

/// Whose copy it is, and how far it got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Progress {
    /// The identity of the source, if it has one: that of a device has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    /// Table and id of the last row that was copied; none before the first. As text: both may be the engine's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last: Option<(String, String)>,
}

fn table() -> TableName {
    TableName::system("__copy")
}

fn state() -> RecordId {
    RecordId::system(STATE)
}

/// Copies everything: declarations, records, queued operations with their bases, parked conflicts, positions of pulls, settings. `progress` hears
/// how many rows are done. What belongs to a running process stays behind: a push that goes on, or was killed, over the source keeps no push of
/// the copy waiting.
///
/// The target must be new, or hold the beginning of a copy of the same store that was cut off: it goes on there. Dropping the future is as
/// safe as a cut. Until the copy is whole [`SyncContext`](crate::sync::SyncContext) refuses to open the target.
///
/// At the end both stores are compared row by row, so the copy is the source as it was at that time. If someone changed the
/// source after it was read, that fails, and the next call begins anew.
///
/// The copy has the identity of the source: both hold the same operations under the same names. Go on with one of them and put the other
/// away. (A server that recognises repeats does an operation once even if both send it.)
///
/// A source that can tell whether it is whole is asked first ([`LocalStore::check`]), before anything is written.
///
/// # Errors
/// [`NotAStore`](StoreErrorKind::NotAStore) if the target holds something else or the source is no whole store, [`Other`](StoreErrorKind::Other) if the source changed, and those
/// of the stores.
///
/// ```
/// # use synctable_core::{Error, store::LocalStore, sync::copy_store};
/// async fn encrypt(plain: &dyn LocalStore, sealed: &dyn LocalStore) -> Result<(), Error> {
///     let report = copy_store(plain, sealed, |rows| println!("{rows} rows")).await?;
///     println!("{} records, {} operations", report.records, report.operations);
///     Ok(())
/// }
/// ```
pub async fn copy_store(
    from: &dyn LocalStore,
    to: &dyn LocalStore,
    mut progress: impl FnMut(u64) + MaybeSend,
) -> Result<CopyReport, Error> {
    if is_unfinished(from).await? {
        return Err(unfinished().into());
    }
    // What is missing without a trace would be missing in the copy as if it had never been.
    from.check().await?;
    let schema = without_marks(&from.schema().await?);
    let source = identity(from).await?;
    let begun = begin(to, &schema, source.as_ref()).await?;
    let mut done = 0;
    for (name, _) in schema.tables() {
        let after = match &begun {
            Some((table, _)) if name < table => continue,
            Some((table, id)) if name == table => Some(Cursor::behind(id.clone())),
            _ => None,
        };
        let mut query = Query::all().page(PAGE).after(after);
        loop {
            let page = from.query(name, &query).await?;
            if let Some(last) = page.records.last() {
                done += page.records.len() as u64;
                let mark = Progress {
                    source: source.clone(),
                    last: Some((name.to_string(), last.id().to_string())),
                };
                let mut batch = WriteBatch::new().durability(Durability::Eventual);
                for record in &page.records {
                    if is_copied(name, record) {
                        batch = batch.put(name, record.clone());
                    }
                }
                to.commit(batch.put(&table(), mark.to_row()?)).await?;
                progress(done);
            }
            match page.next {
                Some(next) => query.after = Some(next),
                None => break,
            }
        }
    }
    // With the tables that the target alone has: an earlier attempt may have left rows there.
    let copied = without_marks(&to.schema().await?);
    let mut report = CopyReport::default();
    for (name, _) in copied.tables() {
        let rows = match schema.table(name) {
            Some(_) => same_rows(from, to, name).await?,
            None if to.count(name, &Query::all()).await? == 0 => Some(0),
            None => None,
        };
        let Some(rows) = rows else {
            return start_over(to, &copied, source).await;
        };
        if *name == *OPERATIONS {
            report.operations = rows;
        } else if !name.is_system() && schema.table(name).is_some() {
            report.tables += 1;
            report.records += rows;
        }
    }
    to.commit(WriteBatch::new().delete(&table(), &state()))
        .await?;
    Ok(report)
}

/// The identity of the store of a device.
pub(crate) async fn identity(store: &dyn LocalStore) -> Result<Option<String>, StoreError> {
    match store.get_one(&META, &RecordId::system("store")).await {
        Ok(row) => row.as_ref().map(meta_value).transpose(),
        Err(error) if error.kind() == StoreErrorKind::UnknownTable => Ok(None),
        Err(error) => Err(error),
    }
}

/// True when a copy into this store was begun and did not end.
pub(crate) async fn is_unfinished(store: &dyn LocalStore) -> Result<bool, StoreError> {
    match store.get_one(&table(), &state()).await {
        Ok(row) => Ok(row.is_some()),
        Err(error) if error.kind() == StoreErrorKind::UnknownTable => Ok(false),
        Err(error) => Err(error),
    }
}

/// What is said of a store that is not a whole copy.
pub(crate) fn unfinished() -> StoreError {
    let message = "the store is a copy that was cut off; copy again, or remove it";
    StoreError::new(StoreErrorKind::NotAStore, message)
}

/// Makes the target ready: the last row of an earlier attempt.
async fn begin(
    to: &dyn LocalStore,
    schema: &Schema,
    source: Option<&String>,
) -> Result<Option<(TableName, RecordId)>, Error> {
    let there = to.schema().await?;
    if there.table(&table()).is_some()
        && let Some(row) = to.get_one(&table(), &state()).await?
    {
        let begun = Progress::from_row(&row)?;
        if begun.source.as_ref() != source {
            let message = "the target is the beginning of a copy of another store; remove it, or give a new one";
            return Err(StoreError::new(StoreErrorKind::NotAStore, message).into());
        }
        to.define(schema).await?;
        return begun.last();
    }
    for (name, _) in there.tables() {
        if to.count(name, &Query::all()).await? > 0 {
            let message = "the target holds records already; give a new one";
            return Err(StoreError::new(StoreErrorKind::NotAStore, message).into());
        }
    }
    let marks = Schema::new().with_table(table(), TableSchema::new());
    to.define(&marks).await?;
    // Marked before anything else is there. A cut before this leaves an empty store, one after it a copy to go on with.
    to.commit(WriteBatch::new().put(&table(), Progress::start(source.cloned()).to_row()?))
        .await?;
    to.define(schema).await?;
    Ok(None)
}

/// The number of rows if both stores hold the same in a table.
async fn same_rows(
    from: &dyn LocalStore,
    to: &dyn LocalStore,
    name: &TableName,
) -> Result<Option<u64>, Error> {
    let mut rows = 0;
    // The spelling may be lost on the way in.
    let by_value = to.capabilities().by_value;
    let mut query = Query::all().page(PAGE);
    loop {
        let page = from.query(name, &query).await?;
        let source: Vec<&Record> = page
            .records
            .iter()
            .filter(|record| is_copied(name, record))
            .collect();
        let ids: Vec<RecordId> = source.iter().map(|record| record.id().clone()).collect();
        let copies = to.get(name, &ids).await?;
        let same = source.iter().zip(&copies).all(|(source, copy)| {
            let copy = copy.as_ref();
            copy.is_some_and(|copy| copy == *source || by_value && copy.is_same_value(source))
        });
        if !same {
            return Ok(None);
        }
        rows += source.len() as u64;
        match page.next {
            Some(next) => query.after = Some(next),
            None => break,
        }
    }
    // Nothing that the source does not have any more.
    let copied = to.count(name, &Query::all()).await?;
    Ok((copied == rows).then_some(rows))
}

async fn start_over<T>(
    to: &dyn LocalStore,
    copied: &Schema,
    source: Option<String>,
) -> Result<T, Error> {
    let mut batch = WriteBatch::new();
    for (name, _) in copied.tables() {
        batch.push(Write::Clear {
            table: name.clone(),
        });
    }
    to.commit(batch.put(&table(), Progress::start(source).to_row()?))
        .await?;
    let message = "the source was changed while it was copied; close what uses it and copy again";
    Err(StoreError::new(StoreErrorKind::Other, message).into())
}

/// False for what belongs to a running process, such as who pushes. No process runs over the copy, so nobody would give it back: a lease would
/// keep the first push of the copy waiting.
fn is_copied(table: &TableName, record: &Record) -> bool {
    *table != *META || record.id().as_str() != CLAIM && *record.id() != LeaseRow::id()
}

fn without_marks(schema: &Schema) -> Schema {
    let marks = table();
    schema
        .tables()
        .filter(|(name, _)| **name != marks)
        .fold(Schema::new(), |schema, (name, table)| {
            schema.with_table(name.clone(), table.clone())
        })
}

impl Progress {
    /// Nothing is copied yet.
    fn start(source: Option<String>) -> Self {
        Self { source, last: None }
    }

    fn to_row(&self) -> Result<Record, StoreError> {
        let text = serde_json::to_string(self).map_err(|error| {
            StoreError::corrupt("the state of the copy cannot be written").with_source(error)
        })?;
        Ok(Record::from_stored(
            state(),
            SystemProperties::default(),
            text,
        ))
    }

    fn from_row(row: &Record) -> Result<Self, StoreError> {
        serde_json::from_str(row.body()).map_err(|error| damaged().with_source(error))
    }

    fn last(&self) -> Result<Option<(TableName, RecordId)>, Error> {
        let Some((table, id)) = &self.last else {
            return Ok(None);
        };
        let table = TableName::stored(table).map_err(|error| damaged().with_source(error))?;
        Ok(Some((table, RecordId::system(id))))
    }
}

fn damaged() -> StoreError {
    StoreError::corrupt("the state of the copy is damaged; remove the target")
}
