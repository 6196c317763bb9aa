//! Orders and positions in them as SQL.

use rusqlite::types::Value;
use synctable_core::query::{Direction, Query, SortKey, SortValue, ValueKind as Kind};

use super::condition::Translator;
use super::constant::column_value;

/// An order as SQL columns; the id follows all of them.
#[derive(Debug)]
pub(crate) struct Order<'a> {
    terms: Vec<Term<'a>>,
    /// Whether an index may give the order, and the place where a page starts.
    pub(crate) indexed: bool,
}

#[derive(Debug)]
struct Term<'a> {
    sql: String,
    kind: Kind<'a>,
    direction: Direction,
}

/// A part of the rows behind a position: a run of equal leading columns and one range, which an index serves
/// from its first row on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Part {
    pub(crate) conditions: Vec<String>,
    pub(crate) parameters: Vec<Value>,
}

const ID: &str = "t.\"id\"";

impl<'a> Order<'a> {
    /// `None` where a term is no column, or one whose values SQL orders differently.
    pub(crate) fn new(translator: &Translator<'a>, query: &Query) -> Option<Self> {
        let fields: Vec<String> = query
            .order
            .iter()
            .map(|term| term.path.to_string())
            .collect();
        let indexed = query.may_follow(&fields, 0);
        let terms: Option<Vec<Term>> = query
            .order
            .iter()
            .map(|term| {
                let (sql, kind) = translator.column(&term.path)?;
                // Behind a sign SQLite does not take it for a column of an index.
                let sql = if indexed { sql } else { format!("+{sql}") };
                let sql = match kind {
                    Kind::Any => return None,
                    // Points are equal among themselves.
                    Kind::Other => format!("({sql} IS NOT NULL)"),
                    _ => sql,
                };
                Some(Term {
                    sql,
                    kind,
                    direction: term.direction,
                })
            })
            .collect();
        Some(Self {
            terms: terms?,
            indexed,
        })
    }

    /// The list of an `ORDER BY`. SQLite places `NULL` as we do: first, or last when descending.
    pub(crate) fn clause(&self) -> String {
        let mut clause = String::new();
        for term in &self.terms {
            if term.sql == ID && term.direction == Direction::Ascending {
                // Named twice, SQLite would sort for the second time.
                break;
            }
            clause.push_str(&term.sql);
            clause.push_str(match term.direction {
                Direction::Ascending => ",",
                Direction::Descending => " DESC,",
            });
        }
        clause + ID
    }

    /// The rows behind `key`, as parts that follow each other; `None` where a value of the key is of
    /// another kind than its column. Parameters are numbered from `first` in each part.
    pub(crate) fn behind(&self, key: &SortKey, first: usize) -> Option<Vec<Part>> {
        if key.values.len() != self.terms.len() {
            return None;
        }
        let mut parts = Vec::new();
        let mut equal = Part::default();
        for (term, value) in self.terms.iter().zip(&key.values) {
            let value = term.value(value)?;
            // What differs in a later column comes before what differs in an earlier one.
            parts.splice(0..0, equal.behind(term, &value, first));
            if value == Value::Null {
                equal.conditions.push(format!("{} IS NULL", term.sql));
            } else {
                equal.compare(&term.sql, "=", &value, first);
            }
        }
        equal.compare(ID, ">", &Value::Text(key.id.to_string()), first);
        parts.insert(0, equal);
        Some(parts)
    }
}

impl Term<'_> {
    /// A value of a sort key as the column holds it.
    fn value(&self, value: &SortValue) -> Option<Value> {
        Some(match (self.kind, value) {
            (Kind::Other, SortValue::Null) => Value::Integer(0),
            (Kind::Other, SortValue::Other) => Value::Integer(1),
            (_, SortValue::Null) => Value::Null,
            (kind, value) if kind.holds(value) => return column_value(value),
            _ => return None,
        })
    }
}

impl Part {
    fn compare(&mut self, sql: &str, operator: &str, value: &Value, first: usize) {
        let number = first + self.parameters.len();
        self.conditions.push(format!("{sql} {operator} ?{number}"));
        self.parameters.push(value.clone());
    }

    /// These rows, as far as `term` is behind `value` in them.
    fn behind(&self, term: &Term<'_>, value: &Value, first: usize) -> Vec<Self> {
        let sql = &term.sql;
        let with = |condition: &str| {
            let mut part = self.clone();
            part.conditions.push(format!("{sql} {condition}"));
            part
        };
        let compared = |operator| {
            let mut part = self.clone();
            part.compare(sql, operator, value, first);
            part
        };
        match (term.direction, value) {
            (Direction::Ascending, Value::Null) => vec![with("IS NOT NULL")],
            (Direction::Ascending, _) => vec![compared(">")],
            (Direction::Descending, Value::Null) => Vec::new(),
            (Direction::Descending, _) => vec![compared("<"), with("IS NULL")],
        }
    }
}
