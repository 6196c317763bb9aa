//! Reads: by id, by query, and counts. Each answers from one snapshot.

use rusqlite::Connection;
use synctable_core::query::Query;
use synctable_core::store::{Page, Plan, StoreError};
use synctable_core::{Record, RecordId, Schema, TableName};

use crate::error::from_sqlite;
use crate::explain;
use crate::layout::{LEADING, TableLayout};
use crate::pool::{Reader, Shared};
use crate::rows;
use crate::scan::{Scan, bound};
use crate::sql::Order;
use crate::writer::run;

/// More ids than this are read on a thread.
const MANY: usize = 256;

/// One stored row and the catalogue's generation beside it.
pub(crate) fn row(
    conn: &Connection,
    layout: &TableLayout,
    id: &RecordId,
) -> Result<Option<(Record, i64)>, StoreError> {
    let mut statement = conn
        .prepare_cached(&layout.statements.get)
        .map_err(from_sqlite)?;
    let mut rows = statement.query([id.as_str()]).map_err(from_sqlite)?;
    let Some(row) = rows.next().map_err(from_sqlite)? else {
        return Ok(None);
    };
    let generation = row
        .get(LEADING.len() + layout.columns.len())
        .map_err(from_sqlite)?;
    Ok(Some((rows::decode(layout, row)?, generation)))
}

/// All declared tables.
pub(crate) fn schema(reader: &Reader, shared: &Shared) -> Result<Schema, StoreError> {
    let snapshot = Snapshot::begin(&reader.conn)?;
    Ok(shared.catalogue(snapshot.0)?.schema())
}

/// The records with these ids, `None` where there is none.
pub(crate) fn get(
    reader: &Reader,
    shared: &Shared,
    table: &TableName,
    ids: &[RecordId],
) -> Result<Vec<Option<Record>>, StoreError> {
    let conn = &reader.conn;
    if let [id] = ids {
        // One statement is a snapshot by itself. It is good if the row was written under the layout it is read with.
        let last = shared.last_catalogue();
        if let Ok(layout) = last.table(table) {
            match row(conn, layout, id)? {
                None => return Ok(vec![None]),
                Some((record, generation)) if generation == last.generation => {
                    return Ok(vec![Some(record)]);
                }
                Some(_) => {}
            }
        }
    }
    let snapshot = Snapshot::begin(conn)?;
    let catalogue = shared.catalogue(snapshot.0)?;
    let layout = catalogue.table(table)?;
    // One statement for all: to find it again for each takes longer than some reads.
    let mut statement = snapshot
        .0
        .prepare_cached(&layout.statements.one)
        .map_err(from_sqlite)?;
    let mut one = |id: &RecordId| {
        let mut rows = statement.query([id.as_str()]).map_err(from_sqlite)?;
        let row = rows.next().map_err(from_sqlite)?;
        row.map(|row| rows::decode(layout, row)).transpose()
    };
    ids.iter().map(&mut one).collect()
}

/// Whether a read of so many ids is known to take longer than one may take where it is asked for: then it is not tried there first.
pub(crate) fn is_long(ids: &[RecordId]) -> bool {
    ids.len() > MANY
}

/// One page of a query.
pub(crate) fn query(
    reader: &Reader,
    shared: &Shared,
    table: &TableName,
    query: &Query,
) -> Result<Page, StoreError> {
    let conn = &reader.conn;
    let snapshot = Snapshot::begin(conn)?;
    let catalogue = shared.catalogue(snapshot.0)?;
    let layout = catalogue.table(table)?;
    reader.gauge.judge(query, || {
        let scan = Scan::new(conn, &reader.gauge, layout, query)?;
        match Order::new(&scan.translator, query) {
            Some(order) => scan.ordered(&order),
            None => scan.unordered(),
        }
    })
}

/// How many records match a filter.
pub(crate) fn count(
    reader: &Reader,
    shared: &Shared,
    table: &TableName,
    query: &Query,
) -> Result<u64, StoreError> {
    let conn = &reader.conn;
    let snapshot = Snapshot::begin(conn)?;
    let catalogue = shared.catalogue(snapshot.0)?;
    let layout = catalogue.table(table)?;
    reader.gauge.judge(query, || {
        Scan::new(conn, &reader.gauge, layout, query)?.count()
    })
}

/// How SQLite finds the rows of a query's first page.
pub(crate) fn explain(
    reader: &Reader,
    shared: &Shared,
    table: &TableName,
    query: &Query,
) -> Result<Plan, StoreError> {
    let conn = &reader.conn;
    let snapshot = Snapshot::begin(conn)?;
    let catalogue = shared.catalogue(snapshot.0)?;
    let layout = catalogue.table(table)?;
    let scan = Scan::new(conn, &reader.gauge, layout, query)?;
    let order = Order::new(&scan.translator, query);
    let sql = match &order {
        Some(order) => scan.sorted(&[], order),
        None => scan.found(),
    };
    let mut statement = conn
        .prepare_cached(&format!("EXPLAIN QUERY PLAN {sql}"))
        .map_err(from_sqlite)?;
    let lines: Vec<String> = bound(&mut statement, scan.translator.parameters(), &[])?
        .mapped(|row| row.get("detail"))
        .collect::<Result<_, _>>()
        .map_err(from_sqlite)?;
    let lines = lines.iter().map(String::as_str);
    Ok(explain::plan(lines, &layout.schema, order.is_none()))
}

/// A read transaction; it ends when dropped.
pub(crate) struct Snapshot<'a>(&'a Connection);

impl<'a> Snapshot<'a> {
    pub(crate) fn begin(conn: &'a Connection) -> Result<Self, StoreError> {
        run(conn, "BEGIN")?;
        Ok(Self(conn))
    }
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        // It changed nothing, so there is nothing to lose.
        let _ = run(self.0, "COMMIT");
    }
}
