//! Which tables there are: kept in the store itself, so that it describes itself and other processes see changes.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::Connection;
use synctable_core::store::{Revisions, StoreError, StoreErrorKind};
use synctable_core::{Schema, TableName, TableSchema};

use crate::error::{corrupt, from_sqlite};
use crate::layout::{self, TableLayout};
use crate::rows;

/// Makes the catalogue's own tables in a new store.
pub(crate) const CREATE: &str = "
    CREATE TABLE _synctable_catalogue (name TEXT PRIMARY KEY NOT NULL, declaration TEXT NOT NULL);
    CREATE TABLE _synctable_catalogue_changes (number INTEGER NOT NULL, log INTEGER NOT NULL DEFAULT 0);
    INSERT INTO _synctable_catalogue_changes (number) VALUES (1);";

/// The number that every change of the catalogue raises.
pub(crate) const GENERATION: &str = "SELECT number FROM _synctable_catalogue_changes";

/// The id of the change log that belongs to what is stored; 0 where nobody has written yet.
pub(crate) const LOG: &str = "SELECT log FROM _synctable_catalogue_changes";

/// Goes over to another change log.
pub(crate) const SET_LOG: &str = "UPDATE _synctable_catalogue_changes SET log = ?1";

/// How many rows one step of a rewrite holds in memory.
const REWRITE: usize = 500;

/// The SQL table that holds the rows of one that is redefined; gone when the transaction ends.
const ASIDE: &str = "_synctable_aside";

/// All tables of the store, as of one generation.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    pub(crate) generation: i64,
    tables: HashMap<TableName, Arc<TableLayout>>,
}

impl Catalogue {
    /// Reads the catalogue in the connection's current snapshot.
    pub(crate) fn load(conn: &Connection) -> Result<Self, StoreError> {
        let generation = generation(conn)?;
        let mut statement = conn
            .prepare_cached("SELECT name, declaration FROM _synctable_catalogue")
            .map_err(from_sqlite)?;
        let rows = statement
            .query_map([], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
            })
            .map_err(from_sqlite)?;
        let mut tables = HashMap::new();
        for row in rows {
            let (name, declaration) = row.map_err(from_sqlite)?;
            let name = TableName::stored(&name).map_err(|_| corrupt())?;
            let schema: TableSchema = serde_json::from_str(&declaration).map_err(|_| corrupt())?;
            tables.insert(name.clone(), Arc::new(TableLayout::new(name, schema)));
        }
        Ok(Self { generation, tables })
    }

    /// The table of a name.
    pub(crate) fn table(&self, name: &TableName) -> Result<&Arc<TableLayout>, StoreError> {
        self.tables
            .get(name)
            .ok_or_else(|| StoreError::unknown_table(name))
    }

    /// The declarations of all tables.
    pub(crate) fn schema(&self) -> Schema {
        self.tables.values().fold(Schema::new(), |schema, layout| {
            schema.with_table(layout.name.clone(), layout.schema.clone())
        })
    }
}

/// The catalogue's generation in the connection's current snapshot.
pub(crate) fn generation(conn: &Connection) -> Result<i64, StoreError> {
    conn.prepare_cached(GENERATION)
        .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
        .map_err(from_sqlite)
}

/// The declarations that there are once `schema` is added; `None` where it says nothing new.
pub(crate) fn grown(old: &Schema, schema: &Schema) -> Result<Option<Schema>, StoreError> {
    let merged = old
        .merged(schema)
        .map_err(|error| StoreError::new(StoreErrorKind::Schema, error.to_string()))?;
    Ok((merged != *old).then_some(merged))
}

/// Adds what `schema` declares to the store, inside the caller's transaction. Answers the catalogue as it
/// then is, or `None` when nothing had to change.
pub(crate) fn define(
    conn: &Connection,
    current: &Catalogue,
    schema: &Schema,
    revisions: &mut Revisions,
) -> Result<Option<Catalogue>, StoreError> {
    let Some(merged) = grown(&current.schema(), schema)? else {
        return Ok(None);
    };
    for (name, table) in merged.tables() {
        let layout = TableLayout::new(name.clone(), table.clone());
        match current.tables.get(name) {
            Some(old) if old.schema == *table => continue,
            Some(old) => alter(conn, old, &layout, revisions)?,
            None => create(conn, &layout)?,
        }
        note(conn, name, table)?;
    }
    noted(conn).map(Some)
}

fn note(conn: &Connection, name: &TableName, table: &TableSchema) -> Result<(), StoreError> {
    let declaration = serde_json::to_string(table).map_err(|_| corrupt())?;
    let note = "INSERT INTO _synctable_catalogue VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET declaration = ?2";
    conn.execute(note, [name.as_str(), &declaration])
        .map_err(from_sqlite)
        .map(|_| ())
}

/// The catalogue after a change of it, which others notice.
fn noted(conn: &Connection) -> Result<Catalogue, StoreError> {
    conn.execute(
        "UPDATE _synctable_catalogue_changes SET number = number + 1",
        [],
    )
    .map_err(from_sqlite)?;
    Catalogue::load(conn)
}

/// Replaces the declaration of a table, inside the caller's transaction: the rows move from the SQL table as it was to one of the new layout. Answers
/// as [`define`] does.
pub(crate) fn redefine(
    conn: &Connection,
    current: &Catalogue,
    name: &TableName,
    table: &TableSchema,
    revisions: &mut Revisions,
) -> Result<Option<Catalogue>, StoreError> {
    let old = current.table(name)?;
    if old.schema == *table {
        return Ok(None);
    }
    let schema = Schema::new().with_table(name.clone(), table.clone());
    schema
        .check()
        .map_err(|error| StoreError::new(StoreErrorKind::Schema, error.to_string()))?;
    let run = |sql: String| conn.execute_batch(&sql).map_err(from_sqlite);
    // They would keep their names on the table that is renamed.
    for sql in layout::drop_attachments(old) {
        run(sql)?;
    }
    let aside = TableLayout::new(TableName::system(ASIDE), old.schema.clone());
    run(layout::rename_table(name, &aside.name))?;
    let new = TableLayout::new(name.clone(), table.clone());
    create(conn, &new)?;
    copy(conn, &aside, &new, "", revisions)?;
    run(layout::drop_table(&aside.name))?;
    note(conn, name, table)?;
    noted(conn).map(Some)
}

fn create(conn: &Connection, layout: &TableLayout) -> Result<(), StoreError> {
    let run = |sql: String| conn.execute_batch(&sql).map_err(from_sqlite);
    run(layout::create_table(layout))?;
    if let Some(trigger) = layout::create_trigger(&layout.name) {
        run(trigger)?;
    }
    if !layout.columns.is_empty() {
        run(layout::create_odd_index(&layout.name))?;
    }
    for index in &layout.schema.indexes {
        run(layout::create_index(layout, index))?;
    }
    Ok(())
}

fn alter(
    conn: &Connection,
    old: &TableLayout,
    new: &TableLayout,
    revisions: &mut Revisions,
) -> Result<(), StoreError> {
    let run = |sql: String| conn.execute_batch(&sql).map_err(from_sqlite);
    for column in new.columns.get(old.columns.len()..).unwrap_or_default() {
        run(layout::add_column(&new.name, column))?;
    }
    if old.columns.is_empty() && !new.columns.is_empty() {
        run(layout::create_odd_index(&new.name))?;
    }
    if old.schema.fields != new.schema.fields {
        rewrite(conn, old, new, revisions)?;
    }
    for index in &new.schema.indexes {
        if !old.schema.indexes.contains(index) {
            run(layout::create_index(new, index))?;
        }
    }
    Ok(())
}

/// Writes again the rows whose text holds more than the old columns: their members may have a column now.
fn rewrite(
    conn: &Connection,
    old: &TableLayout,
    new: &TableLayout,
    revisions: &mut Revisions,
) -> Result<(), StoreError> {
    let wanted = format!("t.\"{}\" IS NOT NULL AND ", layout::JSON);
    copy(conn, old, new, &wanted, revisions)
}

/// Writes rows of one layout that `wanted` selects in another.
fn copy(
    conn: &Connection,
    old: &TableLayout,
    new: &TableLayout,
    wanted: &str,
    revisions: &mut Revisions,
) -> Result<(), StoreError> {
    let select = format!(
        "{} WHERE {wanted}t.\"id\" > ?1 ORDER BY t.\"id\" LIMIT {REWRITE}",
        old.statements.select
    );
    let mut select = conn.prepare(&select).map_err(from_sqlite)?;
    let mut put = conn.prepare(&new.statements.put).map_err(from_sqlite)?;
    let mut last = String::new();
    loop {
        let mut records = Vec::with_capacity(REWRITE);
        let mut rows = select.query([&last]).map_err(from_sqlite)?;
        while let Some(row) = rows.next().map_err(from_sqlite)? {
            records.push(rows::decode(old, row)?);
        }
        for record in &records {
            rows::bind(&mut put, new, record, revisions.next_number())
                .and_then(|()| put.raw_execute())
                .map_err(from_sqlite)?;
        }
        match records.pop() {
            Some(record) => last = record.id().to_string(),
            None => return Ok(()),
        }
    }
}
