//! Bringing a file of an earlier release forward, in place and in one transaction.

use rusqlite::{Connection, TransactionBehavior};
use synctable_core::TableName;

use crate::layout;

/// The format that this release writes.
///
/// 1, of release 0.1: records have no revision. 2: they have, and the file names its change log.
pub(crate) const FORMAT: u32 = 2;

/// Makes an older file one of this format: all of it or nothing, whatever cuts it off. No row is touched, so it takes as long as there are
/// tables, not rows.
///
/// A process of release 0.1 may have the file open. It would go on to write rows as it knows them, so the table that it reads first in
/// each transaction gets another name, and its calls fail from then on.
pub(crate) fn bring_forward(conn: &Connection) -> rusqlite::Result<()> {
    if format(conn)? >= FORMAT {
        return Ok(());
    }
    let transaction = rusqlite::Transaction::new_unchecked(conn, TransactionBehavior::Immediate)?;
    // Another process may have done it while this one waited.
    if format(&transaction)? >= FORMAT {
        return Ok(());
    }
    let names: Vec<String> = transaction
        .prepare("SELECT name FROM _synctable_catalogue")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for name in names {
        // A name that is none is told when the catalogue is read.
        let Ok(table) = TableName::stored(&name) else {
            continue;
        };
        transaction.execute_batch(&layout::add_revisions(&table))?;
        if let Some(trigger) = layout::create_trigger(&table) {
            transaction.execute_batch(&trigger)?;
        }
    }
    transaction.execute_batch(
        "ALTER TABLE _synctable_generation RENAME TO _synctable_catalogue_changes;
         ALTER TABLE _synctable_catalogue_changes ADD COLUMN log INTEGER NOT NULL DEFAULT 0",
    )?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()
}

fn format(conn: &Connection) -> rusqlite::Result<u32> {
    conn.pragma_query_value(None, "user_version", |row| row.get(0))
}
