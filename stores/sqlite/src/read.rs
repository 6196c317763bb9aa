//! Reads: by id, by query, and counts. Each answers from one snapshot.

use std::fmt::Write as _;

use rusqlite::types::Value;
use rusqlite::{CachedStatement, Connection, Rows};
use synctable_core::query::{Evaluator, Expr, FieldPath, Query, Window, page_of};
use synctable_core::store::{Page, Plan, StoreError};
use synctable_core::{Record, RecordId, Schema, TableName};

use crate::error::from_sqlite;
use crate::explain;
use crate::layout::{LEADING, TableLayout};
use crate::pool::Shared;
use crate::rows;
use crate::sql::{Order, Part, Translator, join};
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

/// All declared tables.
pub(crate) fn schema(conn: &Connection, shared: &Shared) -> Result<Schema, StoreError> {
    let snapshot = Snapshot::begin(conn)?;
    Ok(shared.catalogue(snapshot.0)?.schema())
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
    let scan = Scan::new(conn, layout, query)?;
    match Order::new(&scan.translator, &query.order) {
        Some(order) => scan.ordered(query, &order),
        None => scan.unordered(query),
    }
}

/// How many records match a filter.
pub(crate) fn count(
    conn: &Connection,
    shared: &Shared,
    table: &TableName,
    query: &Query,
) -> Result<u64, StoreError> {
    let snapshot = Snapshot::begin(conn)?;
    let catalogue = shared.catalogue(snapshot.0)?;
    let layout = catalogue.table(table)?;
    Scan::new(conn, layout, query)?.count()
}

/// How SQLite finds the rows of a query's first page.
pub(crate) fn explain(
    conn: &Connection,
    shared: &Shared,
    table: &TableName,
    query: &Query,
) -> Result<Plan, StoreError> {
    let snapshot = Snapshot::begin(conn)?;
    let catalogue = shared.catalogue(snapshot.0)?;
    let layout = catalogue.table(table)?;
    let scan = Scan::new(conn, layout, query)?;
    let order = Order::new(&scan.translator, &query.order);
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

/// A filter over a table, split into what SQL does and what is left to the evaluator.
struct Scan<'a> {
    conn: &'a Connection,
    layout: &'a TableLayout,
    translator: Translator<'a>,
    condition: Option<String>,
    rest: Vec<&'a Expr>,
}

impl<'a> Scan<'a> {
    fn new(
        conn: &'a Connection,
        layout: &'a TableLayout,
        query: &'a Query,
    ) -> Result<Self, StoreError> {
        let whole = !uses_declared(layout, query) || !any_odd(conn, layout)?;
        let mut translator = Translator::new(layout, whole);
        let (condition, rest) = translator.filter(query.filter.as_ref());
        Ok(Self {
            conn,
            layout,
            translator,
            condition,
            rest,
        })
    }

    fn matches(&self, evaluator: Evaluator<'_>, record: &Record) -> bool {
        self.rest
            .iter()
            .all(|filter| evaluator.matches(filter, record))
    }

    /// `WHERE` with the condition and `more`.
    fn clause(&self, more: &[String]) -> String {
        let conditions: Vec<String> = self
            .condition
            .iter()
            .map(|condition| format!("({condition})"))
            .chain(more.iter().cloned())
            .collect();
        if conditions.is_empty() {
            String::new()
        } else {
            format!(" WHERE {}", join("AND", &conditions))
        }
    }

    /// The statement that finds rows in no order.
    fn found(&self) -> String {
        format!("{}{}", self.layout.statements.select, self.clause(&[]))
    }

    /// SQL cannot sort: the reference sorts what SQL finds.
    fn unordered(&self, query: &Query) -> Result<Page, StoreError> {
        let sql = self.found();
        let mut statement = self.conn.prepare_cached(&sql).map_err(from_sqlite)?;
        let mut rows = bound(&mut statement, self.translator.parameters(), &[])?;
        let records = std::iter::from_fn(|| match rows.next() {
            Ok(Some(row)) => Some(rows::decode(self.layout, row)),
            Ok(None) => None,
            Err(error) => Some(Err(from_sqlite(error))),
        });
        page_of(query, &self.layout.schema, records)
    }

    fn sorted(&self, more: &[String], order: &Order<'_>) -> String {
        let mut sql = self.layout.statements.select.clone();
        sql.push_str(&self.clause(more));
        sql.push_str(" ORDER BY ");
        sql.push_str(&order.clause());
        sql
    }

    /// SQL sorts; the reading stops at the end of the page.
    fn ordered(&self, query: &Query, order: &Order<'_>) -> Result<Page, StoreError> {
        let parameters = self.translator.parameters();
        let window = Window::of(query)?;
        let parts = match &window.start {
            None => vec![Part::default()],
            Some(start) => match order.behind(start, parameters.len() + 1) {
                Some(parts) => parts,
                None => return self.unordered(query),
            },
        };
        // One more tells whether there is a next page.
        let wanted = match window.left {
            Some(left) if left <= window.length as u64 => window.length,
            _ => window.length + 1,
        };
        let evaluator = Evaluator::new(&self.layout.schema);
        let mut skip = window.skip;
        let mut records = Vec::new();
        for Part {
            conditions,
            parameters: more,
        } in parts
        {
            let missing = wanted - records.len();
            if missing == 0 {
                break;
            }
            let mut sql = self.sorted(&conditions, order);
            let mut more = more;
            if self.rest.is_empty() {
                let first = parameters.len() + more.len() + 1;
                let _ = write!(sql, " LIMIT ?{first} OFFSET ?{}", first + 1);
                more.extend([integer(missing), integer(skip)]);
            }
            let mut statement = self.conn.prepare_cached(&sql).map_err(from_sqlite)?;
            let mut rows = bound(&mut statement, parameters, &more)?;
            while records.len() < wanted
                && let Some(row) = rows.next().map_err(from_sqlite)?
            {
                let record = rows::decode(self.layout, row)?;
                if self.rest.is_empty() {
                    records.push(record);
                } else if self.matches(evaluator, &record) {
                    match skip.checked_sub(1) {
                        Some(left) => skip = left,
                        None => records.push(record),
                    }
                }
            }
        }
        let mut next = None;
        if records.len() > window.length {
            records.truncate(window.length);
            let last = records
                .last()
                .map(|last| evaluator.sort_key(&query.order, last));
            next = window.next(last.as_ref(), records.len());
        }
        Ok(Page::new(records, next))
    }

    fn count(&self) -> Result<u64, StoreError> {
        let clause = self.clause(&[]);
        let parameters = self.translator.parameters();
        if self.rest.is_empty() {
            let sql = self.layout.statements.count.clone() + &clause;
            let mut statement = self.conn.prepare_cached(&sql).map_err(from_sqlite)?;
            let mut rows = bound(&mut statement, parameters, &[])?;
            let row = rows.next().map_err(from_sqlite)?;
            return row.map_or(Ok(0), |row| row.get(0).map_err(from_sqlite));
        }
        let mut statement = self
            .conn
            .prepare_cached(&self.found())
            .map_err(from_sqlite)?;
        let mut rows = bound(&mut statement, parameters, &[])?;
        let evaluator = Evaluator::new(&self.layout.schema);
        let mut count = 0;
        while let Some(row) = rows.next().map_err(from_sqlite)? {
            let record = rows::decode(self.layout, row)?;
            count += u64::from(self.matches(evaluator, &record));
        }
        Ok(count)
    }
}

/// Starts a statement with its parameters.
fn bound<'s>(
    statement: &'s mut CachedStatement<'_>,
    parameters: &[Value],
    more: &[Value],
) -> Result<Rows<'s>, StoreError> {
    // A constant of a part that came out as plain true or false has no place in the statement.
    let count = statement.parameter_count();
    for (at, value) in parameters.iter().chain(more).take(count).enumerate() {
        statement
            .raw_bind_parameter(at + 1, value)
            .map_err(from_sqlite)?;
    }
    Ok(statement.raw_query())
}

fn integer(value: usize) -> Value {
    Value::Integer(i64::try_from(value).unwrap_or(i64::MAX))
}

/// True when a row of the table holds a value that its column cannot.
fn any_odd(conn: &Connection, layout: &TableLayout) -> Result<bool, StoreError> {
    conn.prepare_cached(&layout.statements.any_odd)
        .and_then(|mut statement| statement.exists([]))
        .map_err(from_sqlite)
}

/// True when the filter or order of `query` names a declared field.
fn uses_declared(layout: &TableLayout, query: &Query) -> bool {
    let declared = |path: &FieldPath| layout.position(path.head()).is_some();
    let names = |part: &Expr| matches!(part, Expr::Field(path) if declared(path));
    query.filter.iter().flat_map(Expr::walk).any(names)
        || query.order.iter().any(|term| declared(&term.path))
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

#[cfg(test)]
mod tests {
    use synctable_core::query::odata::{parse_filter, parse_order_by};
    use synctable_core::query::{SortKey, SortValue};
    use synctable_core::{FieldType, TableSchema};

    use super::*;
    use crate::layout;

    /// How SQLite reads each part of a page.
    fn plans(filter: &str, order: &str, start: &[SortValue]) -> Vec<String> {
        let words = ["PG", "G"].map(str::to_owned).to_vec();
        let schema = TableSchema::new()
            .with_field("title", FieldType::String)
            .with_field("year", FieldType::Integer)
            .with_field("done", FieldType::Boolean)
            .with_field("rating", FieldType::Enum(words))
            .with_index(["title"])
            .with_index(["year"])
            .with_index(["done"])
            .with_index(["rating", "title"]);
        let layout = TableLayout::new(TableName::new("t").unwrap(), schema);
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(&layout::create_table(&layout)).unwrap();
        conn.execute_batch(&layout::create_odd_index(&layout.name))
            .unwrap();
        for index in &layout.schema.indexes {
            conn.execute_batch(&layout::create_index(&layout, index))
                .unwrap();
        }
        let mut query = Query::all();
        if !filter.is_empty() {
            query = query.filter(parse_filter(filter).unwrap());
        }
        if !order.is_empty() {
            query.order = parse_order_by(order).unwrap();
        }
        let scan = Scan::new(&conn, &layout, &query).unwrap();
        assert!(scan.rest.is_empty());
        let order = Order::new(&scan.translator, &query.order).unwrap();
        let bound = scan.translator.parameters().len();
        let mut parts = vec![Part::default()];
        if !start.is_empty() {
            let key = SortKey {
                values: start.to_vec(),
                id: RecordId::new("x").unwrap(),
            };
            parts = order.behind(&key, bound + 1).unwrap();
        }
        let explain = |part: Part| {
            let sql = format!(
                "EXPLAIN QUERY PLAN {}",
                scan.sorted(&part.conditions, &order)
            );
            let mut statement = conn.prepare(&sql).unwrap();
            let count = statement.parameter_count();
            assert_eq!(count, bound + part.parameters.len());
            for at in 1..=count {
                statement.raw_bind_parameter(at, 1).unwrap();
            }
            let mut rows = statement.raw_query();
            let mut steps = Vec::new();
            while let Some(row) = rows.next().unwrap() {
                steps.push(row.get::<_, String>(3).unwrap());
            }
            steps.join("; ")
        };
        parts.into_iter().map(explain).collect()
    }

    #[test]
    fn declared_indexes_serve_filters_orders_and_pages() {
        const SORTED: &str = "; USE TEMP B-TREE FOR ORDER BY";
        const TIES: &str = "; USE TEMP B-TREE FOR LAST TERM OF ORDER BY";
        let search = |what: &str| format!("SEARCH t USING INDEX ix_t/{what}");
        for (filter, order, start, expected) in [
            (
                "title eq 'a'",
                "",
                vec![],
                vec![search("title (title=?)") + SORTED],
            ),
            (
                "title eq null",
                "",
                vec![],
                vec![search("title (title=?)") + SORTED],
            ),
            // The id is part of an index whose values are few.
            ("done", "", vec![], vec![search("done (done=?)")]),
            (
                "year gt 5 and year le 9",
                "year",
                vec![],
                vec![search("year (year>? AND year<?)") + TIES],
            ),
            (
                "startswith(title,'a')",
                "title",
                vec![],
                vec![search("title (title>? AND title<?)") + TIES],
            ),
            (
                "rating eq 'G'",
                "title",
                vec![],
                vec![search("rating/title (rating=?)") + TIES],
            ),
            (
                "id eq 'a'",
                "",
                vec![],
                vec!["SEARCH t USING INDEX sqlite_autoindex_t_1 (id=?)".into()],
            ),
            (
                "",
                "",
                vec![],
                vec!["SCAN t USING INDEX sqlite_autoindex_t_1".into()],
            ),
            (
                "",
                "year desc",
                vec![SortValue::Int(5)],
                vec![
                    search("year (year=?)") + TIES,
                    search("year (year<?)") + TIES,
                    search("year (year=?)") + TIES,
                ],
            ),
            (
                "",
                "rating,title",
                vec![SortValue::Enum(1), SortValue::Null],
                vec![
                    search("rating/title (rating=? AND title=?)") + TIES,
                    search("rating/title (rating=? AND title>?)") + TIES,
                    search("rating/title (rating>?)") + TIES,
                ],
            ),
        ] {
            assert_eq!(plans(filter, order, &start), expected, "{filter} {order}");
        }
    }
}
