//! Rows that were stored before their table was declared as it is: they get the defaults, and their unique values are noted.
//!
//! That is done when the server opens, in portions, so that filters, orders and indexes find what is shown. The rows keep version and time,
//! and with them their place in the order of commits: no device has to pull them again. A row of the server's own table,
//! the table's *mark*, says for which declaration it is done, or up to which id; it is written with each portion.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use synctable_core::query::{Query, field};
use synctable_core::store::{
    Expect, LocalStore, LocalStoreExt, StoreError, StoreErrorKind, Write, WriteBatch,
};
use synctable_core::{Record, RecordId, SystemProperties, TableName, TableSchema, Timestamp};

use crate::tables::MARKS;
use crate::unique::{Claims, held, shared};

/// What the ids of marks begin with, and what is behind all of them.
const PREFIX: &str = "declared/";
const BEHIND: &str = "declared0";
/// Rows in a portion.
const PORTION: u32 = 500;
/// How often a portion starts again because another server changed one of its rows meanwhile.
const ATTEMPTS: usize = 32;

/// What a table's rows follow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Declared {
    defaults: BTreeMap<String, Value>,
    unique: Vec<String>,
}

/// How far the rows of a table follow a declaration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    declared: Declared,
    /// Rows up to this one; `None` at the beginning.
    after: Option<RecordId>,
    done: bool,
}

impl Declared {
    fn of(schema: &TableSchema) -> Self {
        let defaults = schema.fields.defaults();
        let mut unique: Vec<String> = schema.fields.unique().map(str::to_owned).collect();
        unique.sort_unstable();
        Self {
            defaults: defaults
                .map(|(name, value)| (name.to_owned(), value.clone()))
                .collect(),
            unique,
        }
    }
}

/// Makes the stored rows of all these tables follow their declarations.
///
/// # Errors
/// What the store says, and where two rows have one value that is declared unique.
pub(crate) async fn follow_all<'a>(
    store: &dyn LocalStore,
    tables: impl Iterator<Item = (&'a TableName, &'a TableSchema)> + Send,
    now: Timestamp,
) -> Result<(), StoreError> {
    let of_tables = Query::all().filter(field("id").ge(PREFIX).and(field("id").lt(BEHIND)));
    let marks = store
        .query_all(&TableName::system(MARKS), &of_tables)
        .await?;
    for (table, schema) in tables {
        let id = mark_id(table);
        let mark = marks.iter().find(|mark| *mark.id() == id);
        if open(mark, &Declared::of(schema)).is_some() {
            follow(store, table, schema, now).await?;
        }
    }
    Ok(())
}

/// From where on the rows do not follow this declaration; `None` where all do.
fn open(mark: Option<&Record>, declared: &Declared) -> Option<Mark> {
    let mark = mark.and_then(read);
    if mark.is_none() && *declared == Declared::default() {
        return None;
    }
    match mark {
        Some(mark) if mark.declared == *declared => (!mark.done).then_some(mark),
        _ => Some(Mark {
            declared: declared.clone(),
            after: None,
            done: false,
        }),
    }
}

async fn follow(
    store: &dyn LocalStore,
    table: &TableName,
    schema: &TableSchema,
    now: Timestamp,
) -> Result<(), StoreError> {
    let declared = Declared::of(schema);
    let portion = Portion {
        store,
        table,
        schema,
        now,
    };
    let mut failed = 0;
    loop {
        let marks = TableName::system(MARKS);
        let row = store.get_one(&marks, &mark_id(table)).await?;
        let Some(mark) = open(row.as_ref(), &declared) else {
            return Ok(());
        };
        match portion.fill(mark, row).await {
            Ok(()) => failed = 0,
            Err(error) if error.kind() == StoreErrorKind::CheckFailed && failed < ATTEMPTS => {
                failed += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Forgets that the rows of a table followed a declaration: from now on it is served without one.
pub(crate) async fn forget(store: &dyn LocalStore, table: &TableName) -> Result<(), StoreError> {
    let (marks, id) = (TableName::system(MARKS), mark_id(table));
    if store.get_one(&marks, &id).await?.is_none() {
        return Ok(());
    }
    let batch = WriteBatch::new().delete(&marks, &id);
    store.commit(batch).await.map(|_| ())
}

struct Portion<'a> {
    store: &'a dyn LocalStore,
    table: &'a TableName,
    schema: &'a TableSchema,
    now: Timestamp,
}

impl Portion<'_> {
    /// Fills the rows behind the mark, and moves it. `row` is where it is stored.
    async fn fill(&self, mark: Mark, row: Option<Record>) -> Result<(), StoreError> {
        let Mark {
            declared, after, ..
        } = mark;
        let mut query = Query::all().order_by("id");
        if let Some(after) = &after {
            query = query.filter(field("id").gt(after.as_str()));
        }
        let (rows, more) = if declared == Declared::default() {
            (Vec::new(), false)
        } else {
            let page = self.store.query(self.table, &query.page(PORTION)).await?;
            (page.records, page.next.is_some())
        };
        let next = Mark {
            declared: declared.clone(),
            after: rows.last().map(|row| row.id().clone()),
            done: !more,
        };
        let mut batch = WriteBatch::new();
        let claims = self.claims(&rows).await?;
        for old in rows {
            let filled = self.schema.filled(old.clone());
            let changed = filled.body() != old.body();
            if changed || !declared.unique.is_empty() {
                batch.check(self.table, old.id(), Expect::as_read(Some(&old)));
            }
            if changed {
                batch.push(Write::Put {
                    table: self.table.clone(),
                    record: filled,
                });
            }
        }
        let (marks, id) = (TableName::system(MARKS), mark_id(self.table));
        let expect = row.map_or(Expect::Absent, |row| Expect::Same(Box::new(row)));
        batch.check(&marks, &id, expect);
        let body = serde_json::to_string(&next).map_err(|error| {
            StoreError::new(StoreErrorKind::Other, "the mark cannot be written").with_source(error)
        })?;
        let batch = batch.put(
            &marks,
            Record::from_stored(id, SystemProperties::default(), body),
        );
        let batch = claims.add_to(batch, self.now);
        self.store.commit(batch).await.map(|_| ())
    }

    /// Takes the unique values of these rows.
    async fn claims(&self, rows: &[Record]) -> Result<Claims, StoreError> {
        let values: Vec<_> = rows
            .iter()
            .map(|row| (row.id(), held(self.table, self.schema, row)))
            .collect();
        let lists = values.iter().map(|(id, values)| (*id, values.as_slice()));
        if let Some((field, one, other)) = shared(lists) {
            return Err(self.twice(&field, &one, &other));
        }
        let mut claims = Claims::default();
        for (id, values) in values.iter().filter(|(_, values)| !values.is_empty()) {
            let taken = claims.take(self.store, self.table, self.schema, id, values);
            if let Err(taken) = taken.await?
                && let Some((field, other)) = taken.0.into_iter().next()
            {
                return Err(self.twice(&field, &other, id));
            }
        }
        Ok(claims)
    }

    fn twice(&self, field: &str, one: &RecordId, other: &RecordId) -> StoreError {
        StoreError::new(
            StoreErrorKind::Schema,
            format!(
                "table {}, field '{field}': it is declared unique, but the records '{one}' and '{other}' have the same value; \
                 change one of them, or take 'unique' from the declaration",
                self.table
            ),
        )
    }
}

fn mark_id(table: &TableName) -> RecordId {
    RecordId::system(&format!("{PREFIX}{table}"))
}

fn read(row: &Record) -> Option<Mark> {
    serde_json::from_str(row.body()).ok()
}
