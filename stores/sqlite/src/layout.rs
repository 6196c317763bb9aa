//! How a table lies in SQLite: one SQL table, one column per declared field, two columns of our own.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;

use synctable_core::{FieldType, IndexSpec, TableName, TableSchema, push_json_text};

use crate::catalogue::GENERATION;

/// The columns in front of the declared fields, in the order of every select list.
pub(crate) const LEADING: [&str; 7] = [
    "id",
    "version",
    "createdAt",
    "updatedAt",
    "deleted",
    JSON,
    REVISION,
];

/// The column that keeps the body text of a row whose columns do not print it exactly.
///
/// `NULL`: the columns print the body, fields that are `NULL` being left out. Empty: the same, fields that
/// are `NULL` being printed as `null`. Otherwise: the body.
pub(crate) const JSON: &str = "__json";

/// The column that keeps the revision of a row.
///
/// `NULL`: the revision is that of the content. So it is in rows of release 0.1, and in those that another program inserted.
pub(crate) const REVISION: &str = "__rev";

/// The column that is 1 where a member does not fit its declared type, else `NULL`.
pub(crate) const ODD: &str = "__odd";

/// A table with its columns and the statements that do not depend on a query.
#[derive(Debug)]
pub(crate) struct TableLayout {
    pub(crate) name: TableName,
    pub(crate) schema: TableSchema,
    pub(crate) columns: Vec<Column>,
    positions: HashMap<String, usize>,
    pub(crate) statements: Statements,
}

/// The column of a declared field.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) ty: FieldType,
    /// The name as a JSON member: `"title":`.
    pub(crate) key: String,
    /// The words of an enum as JSON texts.
    pub(crate) words: Vec<String>,
}

/// SQL that is written once per table.
#[derive(Debug)]
pub(crate) struct Statements {
    /// `SELECT columns FROM table AS t`, without a condition.
    pub(crate) select: String,
    /// Generation of the catalogue and the row with an id.
    pub(crate) get: String,
    /// The row with an id.
    pub(crate) one: String,
    pub(crate) revision: String,
    pub(crate) exists: String,
    pub(crate) put: String,
    /// As `put`, but a row that is there stays, and none counts as changed.
    pub(crate) insert: String,
    pub(crate) delete: String,
    pub(crate) clear: String,
    /// `SELECT count(*) FROM table AS t`, without a condition.
    pub(crate) count: String,
    /// One row if any row is odd.
    pub(crate) any_odd: String,
}

impl TableLayout {
    pub(crate) fn new(name: TableName, schema: TableSchema) -> Self {
        let columns: Vec<Column> = schema
            .fields
            .iter()
            .map(|(name, ty)| Column::new(name, ty))
            .collect();
        let positions = columns
            .iter()
            .enumerate()
            .map(|(at, column)| (column.name.clone(), at))
            .collect();
        let statements = Statements::new(&name, &columns);
        Self {
            name,
            schema,
            columns,
            positions,
            statements,
        }
    }

    /// The place of a declared field among the columns.
    pub(crate) fn position(&self, field: &str) -> Option<usize> {
        self.positions.get(field).copied()
    }
}

impl Column {
    fn new(name: &str, ty: &FieldType) -> Self {
        let words = match ty {
            FieldType::Enum(words) => words.iter().map(|word| json_text(word)).collect(),
            _ => Vec::new(),
        };
        Self {
            name: name.to_owned(),
            ty: ty.clone(),
            key: format!("{}:", json_text(name)),
            words,
        }
    }
}

impl Statements {
    fn new(table: &TableName, columns: &[Column]) -> Self {
        let table = quoted(&sql_table(table));
        let names: Vec<String> = LEADING
            .iter()
            .copied()
            .chain(columns.iter().map(|column| column.name.as_str()))
            .map(quoted)
            .collect();
        let list = names
            .iter()
            .map(|name| format!("t.{name}"))
            .collect::<Vec<_>>()
            .join(",");
        Self {
            select: format!("SELECT {list} FROM {table} AS t"),
            get: format!("SELECT {list},({GENERATION}) FROM {table} AS t WHERE t.\"id\"=?1"),
            one: format!("SELECT {list} FROM {table} AS t WHERE t.\"id\"=?1"),
            revision: format!("SELECT \"{REVISION}\" FROM {table} WHERE \"id\"=?1"),
            exists: format!("SELECT 1 FROM {table} WHERE \"id\"=?1"),
            put: put(&table, &names),
            insert: format!("{} ON CONFLICT (\"id\") DO NOTHING", insert(&table, &names)),
            delete: format!("DELETE FROM {table} WHERE \"id\"=?1"),
            clear: format!("DELETE FROM {table}"),
            count: format!("SELECT count(*) FROM {table} AS t"),
            any_odd: format!("SELECT 1 FROM {table} WHERE \"{ODD}\" IS NOT NULL LIMIT 1"),
        }
    }
}

/// The insert: parameters in the order of `names`, then the odd flag.
fn insert(table: &str, names: &[String]) -> String {
    let values = (1..=names.len() + 1)
        .map(|at| format!("?{at}"))
        .collect::<Vec<_>>()
        .join(",");
    format!(
        "INSERT INTO {table} AS t ({},\"{ODD}\") VALUES ({values})",
        names.join(",")
    )
}

/// The upsert. A row that says the same already is written all the same, as it gets a new revision.
fn put(table: &str, names: &[String]) -> String {
    let insert = insert(table, names);
    let odd = quoted(ODD);
    let changed = names.iter().skip(1).chain([&odd]);
    let set = changed
        .map(|name| format!("{name}=excluded.{name}"))
        .collect::<Vec<_>>()
        .join(",");
    format!("{insert} ON CONFLICT (\"id\") DO UPDATE SET {set}")
}

/// The statements that make the SQL table of `layout` from nothing.
pub(crate) fn create_table(layout: &TableLayout) -> String {
    let table = quoted(&sql_table(&layout.name));
    let mut sql = format!(
        "CREATE TABLE {table} (\"id\" TEXT PRIMARY KEY NOT NULL, \"version\" TEXT, \"createdAt\" INTEGER, \
         \"updatedAt\" INTEGER, \"deleted\" INTEGER NOT NULL, \"{REVISION}\" INTEGER"
    );
    for column in &layout.columns {
        let _ = write!(sql, ", {}", column_definition(column));
    }
    let _ = write!(sql, ", \"{ODD}\" INTEGER, \"{JSON}\" TEXT)");
    if layout.name.is_system() {
        // The engine's rows are short and come by ascending ids: one b-tree instead of two. For the
        // random ids of user's tables that would be far slower.
        sql.push_str(" WITHOUT ROWID");
    }
    sql
}

/// Gives an SQL table another name.
pub(crate) fn rename_table(table: &TableName, new: &TableName) -> String {
    let (table, new) = (sql_table(table), sql_table(new));
    format!("ALTER TABLE {} RENAME TO {}", quoted(&table), quoted(&new))
}

pub(crate) fn drop_table(table: &TableName) -> String {
    format!("DROP TABLE {}", quoted(&sql_table(table)))
}

/// Removes the indexes and the trigger of a table.
pub(crate) fn drop_attachments(layout: &TableLayout) -> Vec<String> {
    let sql_name = sql_table(&layout.name);
    let odd = [ODD.to_owned()];
    let declared = layout.schema.indexes.iter();
    let names = declared.map(|index| index.fields.join("/")).chain(odd);
    let drop = |name| {
        format!(
            "DROP INDEX IF EXISTS {}",
            quoted(&format!("ix_{sql_name}/{name}"))
        )
    };
    let mut drops: Vec<String> = names.map(drop).collect();
    let trigger = quoted(&format!("tr_{sql_name}/{REVISION}"));
    drops.push(format!("DROP TRIGGER IF EXISTS {trigger}"));
    drops
}

/// Gives a row a new revision that another program changes with SQL. None for the engine's own tables, where that has no business.
pub(crate) fn create_trigger(table: &TableName) -> Option<String> {
    if table.is_system() {
        return None;
    }
    let sql_name = sql_table(table);
    let (name, table) = (
        quoted(&format!("tr_{sql_name}/{REVISION}")),
        quoted(&sql_name),
    );
    Some(format!(
        "CREATE TRIGGER {name} AFTER UPDATE ON {table} WHEN NEW.\"{REVISION}\" IS OLD.\"{REVISION}\" \
         BEGIN UPDATE {table} SET \"{REVISION}\" = random() WHERE \"id\" = NEW.\"id\"; END"
    ))
}

/// Adds the revisions to a table of release 0.1.
pub(crate) fn add_revisions(table: &TableName) -> String {
    let name = quoted(&sql_table(table));
    format!("ALTER TABLE {name} ADD COLUMN \"{REVISION}\" INTEGER")
}

/// Shows a table of release 0.1, under the same name, as one whose rows have no revision yet.
pub(crate) fn view_of_first(table: &TableName) -> String {
    let name = quoted(&sql_table(table));
    format!("CREATE TEMP VIEW {name} AS SELECT *, NULL AS \"{REVISION}\" FROM main.{name};")
}

/// Makes the small index that finds odd rows.
pub(crate) fn create_odd_index(table: &TableName) -> String {
    let sql_name = sql_table(table);
    format!(
        "CREATE INDEX {} ON {}(\"{ODD}\") WHERE \"{ODD}\" IS NOT NULL",
        quoted(&format!("ix_{sql_name}/{ODD}")),
        quoted(&sql_name)
    )
}

/// Adds the column of one field.
pub(crate) fn add_column(table: &TableName, column: &Column) -> String {
    format!(
        "ALTER TABLE {} ADD COLUMN {}",
        quoted(&sql_table(table)),
        column_definition(column)
    )
}

/// Makes a declared index.
///
/// Where its fields have few values, the id follows them: then many rows share one, and a page of them in the
/// order of ids needs no sorting. Elsewhere that would make each write dearer for nothing.
pub(crate) fn create_index(layout: &TableLayout, index: &IndexSpec) -> String {
    let sql_name = sql_table(&layout.name);
    // Neither tables nor fields have a '/' in their names, so no two indexes share a name.
    let name = format!("ix_{sql_name}/{}", index.fields.join("/"));
    let mut fields: Vec<String> = index.fields.iter().map(|field| quoted(field)).collect();
    let few_values = |field: &String| {
        let ty = layout.schema.field(field);
        field == "deleted" || matches!(ty, Some(FieldType::Boolean | FieldType::Enum(_)))
    };
    if index.fields.iter().all(few_values) {
        fields.push(quoted("id"));
    }
    format!(
        "CREATE INDEX {} ON {}({})",
        quoted(&name),
        quoted(&sql_name),
        fields.join(",")
    )
}

/// A column with its SQL type. `number` has none: SQLite would turn 1.0 into 1.
fn column_definition(column: &Column) -> String {
    let ty = match column.ty {
        FieldType::Number => "",
        FieldType::Integer
        | FieldType::Boolean
        | FieldType::Date
        | FieldType::Time
        | FieldType::DateTime
        | FieldType::Enum(_) => " INTEGER",
        // Strings, and what is kept as its JSON.
        _ => " TEXT",
    };
    format!("{}{ty}", quoted(&column.name))
}

/// The name of the SQL table: the table's own, but SQLite keeps names that start with `sqlite_` to itself.
pub(crate) fn sql_table(table: &TableName) -> Cow<'_, str> {
    let name = table.as_str();
    if name.starts_with("sqlite_") {
        Cow::Owned(format!("_{name}"))
    } else {
        Cow::Borrowed(name)
    }
}

/// A name as an SQL identifier.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as JSON.
pub(crate) fn json_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    push_json_text(&mut out, text);
    out
}
