//! Whether the checks of a batch hold, inside its transaction.

use rusqlite::{Connection, OptionalExtension as _};
use synctable_core::RecordId;
use synctable_core::store::{Check, Expect, Revision, StoreError};

use crate::catalogue::Catalogue;
use crate::error::from_sqlite;
use crate::layout::TableLayout;
use crate::read;

/// An error where a check does not hold.
pub(crate) fn judge(
    conn: &Connection,
    catalogue: &Catalogue,
    check: &Check,
) -> Result<(), StoreError> {
    let layout = catalogue.table(&check.table)?;
    let holds = match &check.expect {
        Expect::Absent => !exists(conn, layout, &check.id)?,
        Expect::Present => exists(conn, layout, &check.id)?,
        Expect::At(revision) => is_at(conn, layout, &check.id, revision)?,
        Expect::Same(record) => {
            read::row(conn, layout, &check.id)?.is_some_and(|(stored, _)| stored == **record)
        }
    };
    if holds {
        Ok(())
    } else {
        Err(StoreError::check_failed(&check.table, &check.id))
    }
}

/// Whether the row with an id is at a revision.
fn is_at(
    conn: &Connection,
    layout: &TableLayout,
    id: &RecordId,
    revision: &Revision,
) -> Result<bool, StoreError> {
    let mut statement = conn
        .prepare_cached(&layout.statements.revision)
        .map_err(from_sqlite)?;
    let found = statement
        .query_row([id.as_str()], |row| row.get::<_, Option<i64>>(0))
        .optional()
        .map_err(from_sqlite)?;
    match found {
        None => Ok(false),
        Some(Some(number)) => Ok(*revision == Revision::from_number(number.cast_unsigned())),
        // It is that of the content.
        Some(None) => {
            let stored = read::row(conn, layout, id)?;
            Ok(stored.is_some_and(|(record, _)| record.revision() == Some(revision)))
        }
    }
}

fn exists(conn: &Connection, layout: &TableLayout, id: &RecordId) -> Result<bool, StoreError> {
    conn.prepare_cached(&layout.statements.exists)
        .and_then(|mut statement| statement.exists([id.as_str()]))
        .map_err(from_sqlite)
}
