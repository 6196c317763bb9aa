//! A query over one table as statements: what SQL does of it, and what is left to the evaluator.

use std::fmt::Write as _;

use rusqlite::types::Value;
use rusqlite::{CachedStatement, Connection, Row, Rows};
use synctable_core::Record;
use synctable_core::query::{
    Evaluator, Excess, Expr, FieldPath, Judge, Query, Watch as _, Window, page_by,
};
use synctable_core::store::{Page, StoreError};

use crate::error::from_sqlite;
use crate::gauge::Gauge;
use crate::layout::TableLayout;
use crate::rows;
use crate::sql::{Order, Part, Translator, join};

/// A query over a table, split into what SQL does and what is left to the evaluator.
pub(crate) struct Scan<'a> {
    conn: &'a Connection,
    /// Of the connection.
    gauge: &'a Gauge,
    layout: &'a TableLayout,
    query: &'a Query,
    pub(crate) translator: Translator<'a>,
    /// What all wanted records meet, and an index may serve.
    narrow: Option<String>,
    /// What the query is bound to, where SQL can say all of it. Nothing else but `narrow` is looked at in other rows.
    guard: Option<String>,
    /// The rest of what SQL says.
    wanted: Option<String>,
    rest_within: Vec<&'a Expr>,
    rest: Vec<&'a Expr>,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(
        conn: &'a Connection,
        gauge: &'a Gauge,
        layout: &'a TableLayout,
        query: &'a Query,
    ) -> Result<Self, StoreError> {
        let whole = !uses_declared(layout, query) || !any_odd(conn, layout)?;
        let mut translator = Translator::new(layout, whole);
        let scan = |translator: &mut Translator<'a>| {
            if query.within.is_none() {
                let (narrow, rest) = translator.filter(&query.filter);
                return (narrow, None, None, Vec::new(), rest);
            }
            let (narrow, _) = translator.filter(query.narrowing());
            let (guard, rest_within) = translator.filter(&query.within);
            if !rest_within.is_empty() {
                return (
                    narrow,
                    None,
                    None,
                    rest_within,
                    query.filter.iter().collect(),
                );
            }
            let (wanted, rest) = translator.filter(&query.filter);
            (narrow, guard, wanted, rest_within, rest)
        };
        let (narrow, guard, wanted, rest_within, rest) = scan(&mut translator);
        Ok(Self {
            conn,
            gauge,
            layout,
            query,
            translator,
            narrow,
            guard,
            wanted,
            rest_within,
            rest,
        })
    }

    /// Whether SQL says all that the query asks for.
    fn is_whole(&self) -> bool {
        self.rest_within.is_empty() && self.rest.is_empty()
    }

    fn judge(&self) -> Judge<'_> {
        let (within, filter) = (self.rest_within.iter().copied(), self.rest.iter().copied());
        Judge::of_parts(self.query, &self.layout.schema, within, filter).watched(self.gauge)
    }

    /// A row as a record. Copying a long one takes of the lane, too.
    fn decode(&self, row: &Row<'_>) -> Result<Record, StoreError> {
        let record = rows::decode(self.layout, row)?;
        if self.gauge.goes_on(1 + record.body().len() as u64 / 64) {
            Ok(record)
        } else {
            Err(Excess::Stopped.error(self.query.budget))
        }
    }

    /// `WHERE` with the conditions and `more`, which an index may serve or not.
    fn clause(&self, more: &[String], indexed: bool) -> String {
        let mut conditions: Vec<String> = self
            .narrow
            .iter()
            .map(|condition| format!("({condition})"))
            .collect();
        match &self.guard {
            None => conditions.extend_from_slice(more),
            Some(guard) => {
                let mut guarded: Vec<String> = self
                    .wanted
                    .iter()
                    .map(|condition| format!("({condition})"))
                    .collect();
                if self.wanted.is_some() && self.query.budget.steps != u64::MAX {
                    let parts = self.query.filter.iter().flat_map(Expr::walk).count();
                    guarded.push(format!("synctable_spend({parts})"));
                }
                if indexed {
                    conditions.extend_from_slice(more);
                } else {
                    guarded.extend_from_slice(more);
                }
                // SQLite judges the operands of `AND` in any order, but of this nothing before the guard.
                let guarded = join("AND", &guarded);
                conditions.push(format!("CASE WHEN {guard} THEN {guarded} ELSE 0 END"));
            }
        }
        if conditions.is_empty() {
            String::new()
        } else {
            format!(" WHERE {}", join("AND", &conditions))
        }
    }

    /// The statement that finds rows in no order.
    pub(crate) fn found(&self) -> String {
        format!(
            "{}{}",
            self.layout.statements.select,
            self.clause(&[], false)
        )
    }

    /// SQL cannot sort: the reference sorts what SQL finds.
    pub(crate) fn unordered(&self) -> Result<Page, StoreError> {
        let sql = self.found();
        let mut statement = self.conn.prepare_cached(&sql).map_err(from_sqlite)?;
        let mut rows = bound(&mut statement, self.translator.parameters(), &[])?;
        let records = std::iter::from_fn(|| match rows.next() {
            Ok(Some(row)) => Some(self.decode(row)),
            Ok(None) => None,
            Err(error) => Some(Err(from_sqlite(error))),
        });
        page_by(&self.judge(), records)
    }

    pub(crate) fn sorted(&self, more: &[String], order: &Order<'_>) -> String {
        let mut sql = self.layout.statements.select.clone();
        sql.push_str(&self.clause(more, order.indexed));
        sql.push_str(" ORDER BY ");
        sql.push_str(&order.clause());
        sql
    }

    /// SQL sorts; the reading stops at the end of the page.
    pub(crate) fn ordered(&self, order: &Order<'_>) -> Result<Page, StoreError> {
        let query = self.query;
        let parameters = self.translator.parameters();
        let window = Window::of(query)?;
        let parts = match &window.start {
            None => vec![Part::default()],
            Some(start) => match order.behind(start, parameters.len() + 1) {
                Some(parts) => parts,
                None => return self.unordered(),
            },
        };
        // One more tells whether there is a next page.
        let wanted = match window.left {
            Some(left) if left <= window.length as u64 => window.length,
            _ => window.length + 1,
        };
        let judge = self.judge();
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
            if self.is_whole() {
                let first = parameters.len() + more.len() + 1;
                let _ = write!(sql, " LIMIT ?{first} OFFSET ?{}", first + 1);
                more.extend([integer(missing), integer(skip)]);
            }
            let mut statement = self.conn.prepare_cached(&sql).map_err(from_sqlite)?;
            let mut rows = bound(&mut statement, parameters, &more)?;
            while records.len() < wanted
                && let Some(row) = rows.next().map_err(from_sqlite)?
            {
                let record = self.decode(row)?;
                if self.is_whole() {
                    records.push(record);
                } else if judge.wants(&record)? {
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
            let evaluator = Evaluator::new(&self.layout.schema);
            let last = records
                .last()
                .map(|last| evaluator.sort_key(&query.order, last));
            next = window.next(last.as_ref(), records.len());
        }
        Ok(Page::new(records, next))
    }

    pub(crate) fn count(&self) -> Result<u64, StoreError> {
        let clause = self.clause(&[], false);
        let parameters = self.translator.parameters();
        if self.is_whole() {
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
        let judge = self.judge();
        let mut count = 0;
        while let Some(row) = rows.next().map_err(from_sqlite)? {
            let record = self.decode(row)?;
            count += u64::from(judge.wants(&record)?);
        }
        Ok(count)
    }
}

/// Starts a statement with its parameters.
pub(crate) fn bound<'s>(
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
    let filters = query.filter.iter().chain(&query.within);
    filters.flat_map(Expr::walk).any(names) || query.order.iter().any(|term| declared(&term.path))
}

#[cfg(test)]
mod tests;
