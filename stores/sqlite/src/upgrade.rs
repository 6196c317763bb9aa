//! Bringing a file of an earlier release forward, in place and in one transaction.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};
use synctable_core::TableName;
use synctable_core::store::StoreError;

use crate::layout;
use crate::open::not_permitted;

/// The format that this release writes.
///
/// 1, of release 0.1: records have no revision. 2: they have, and the file names its change log.
pub(crate) const FORMAT: u32 = 2;
/// The first format.
pub(crate) const FIRST: u32 = 1;

/// Makes an older file one of this format: all of it or nothing, whatever cuts it off. No row is touched, so it takes as long as there are
/// tables, not rows; but `keep`, which copies the file, is called before, once nobody else writes.
///
/// A process of release 0.1 may have the file open. It would go on to write rows as it knows them, so the table that it reads first in
/// each transaction gets another name, and its calls fail from then on.
pub(crate) fn bring_forward(
    conn: &Connection,
    path: &Path,
    keep: impl FnOnce() -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let failed = |error| not_permitted(path, error);
    if format(conn).map_err(failed)? >= FORMAT {
        return Ok(());
    }
    let transaction = rusqlite::Transaction::new_unchecked(conn, TransactionBehavior::Immediate);
    let transaction = transaction.map_err(failed)?;
    // Another process may have done it while this one waited.
    if format(&transaction).map_err(failed)? >= FORMAT {
        return Ok(());
    }
    keep()?;
    convert(&transaction).map_err(failed)?;
    transaction.commit().map_err(failed)
}

fn convert(conn: &Connection) -> rusqlite::Result<()> {
    let names: Vec<String> = conn
        .prepare("SELECT name FROM _synctable_catalogue")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for name in names {
        // A name that is none is told when the catalogue is read.
        let Ok(table) = TableName::stored(&name) else {
            continue;
        };
        conn.execute_batch(&layout::add_revisions(&table))?;
        if let Some(trigger) = layout::create_trigger(&table) {
            conn.execute_batch(&trigger)?;
        }
    }
    conn.execute_batch(
        "ALTER TABLE _synctable_generation RENAME TO _synctable_catalogue_changes;
         ALTER TABLE _synctable_catalogue_changes ADD COLUMN log INTEGER NOT NULL DEFAULT 0",
    )?;
    conn.pragma_update(None, "user_version", FORMAT)
}

fn format(conn: &Connection) -> rusqlite::Result<u32> {
    conn.pragma_query_value(None, "user_version", |row| row.get(0))
}
