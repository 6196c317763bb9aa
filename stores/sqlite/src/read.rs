//! Reads: by id, by query, and counts. Each answers from one snapshot.

use rusqlite::Connection;
use synctable_core::query::{Query, page_of};
use synctable_core::store::{Page, StoreError};
use synctable_core::{Record, RecordId, TableName};

use crate::error::from_sqlite;
use crate::layout::{LEADING, TableLayout};
use crate::pool::Shared;
use crate::rows;
use crate::writer::run;

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

/// The records with these ids, `None` where there is none.
pub(crate) fn get(
    conn: &Connection,
    shared: &Shared,
    table: &TableName,
    ids: &[RecordId],
) -> Result<Vec<Option<Record>>, StoreError> {
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
    ids.iter()
        .map(|id| Ok(row(snapshot.0, layout, id)?.map(|(record, _)| record)))
        .collect()
}

/// One page of a query.
pub(crate) fn query(
    conn: &Connection,
    shared: &Shared,
    table: &TableName,
    query: &Query,
) -> Result<Page, StoreError> {
    let snapshot = Snapshot::begin(conn)?;
    let catalogue = shared.catalogue(snapshot.0)?;
    let layout = catalogue.table(table)?;
    let mut statement = conn
        .prepare_cached(&layout.statements.select)
        .map_err(from_sqlite)?;
    let mut rows = statement.query([]).map_err(from_sqlite)?;
    let records = std::iter::from_fn(|| match rows.next() {
        Ok(Some(row)) => Some(rows::decode(layout, row)),
        Ok(None) => None,
        Err(error) => Some(Err(from_sqlite(error))),
    });
    page_of(query, &layout.schema, records)
}

/// A read transaction; it ends when dropped.
struct Snapshot<'a>(&'a Connection);

impl<'a> Snapshot<'a> {
    fn begin(conn: &'a Connection) -> Result<Self, StoreError> {
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
