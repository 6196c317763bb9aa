//! Conditions, and how much of a filter they can say.

use rusqlite::types::Value;
use synctable_core::query::{
    BinaryOp, Budget, Expr, FieldPath, Function, Literal, ValueKind as Kind,
};

use super::constant::{Constant, TICKS_PER_DAY, constant};
use super::operand::{Operand, Typed};
use crate::layout::{TableLayout, quoted};

/// The deepest nesting that is translated; SQLite allows 1000 levels.
pub(crate) const DEPTH: usize = 60;
/// The most constants that are bound; SQLite allows 32766.
const PARAMETERS: usize = 10_000;

/// Translates expressions over one table; the constants met on the way become parameters.
#[derive(Debug)]
pub(crate) struct Translator<'a> {
    pub(crate) layout: &'a TableLayout,
    /// Whether the columns of declared fields hold all values: false while the table has odd rows.
    declared: bool,
    parameters: Vec<Value>,
    pub(crate) depth: usize,
}

impl<'a> Translator<'a> {
    pub(crate) fn new(layout: &'a TableLayout, declared: bool) -> Self {
        Self {
            layout,
            declared,
            parameters: Vec::new(),
            depth: 0,
        }
    }

    /// Splits filters that must all hold at their outermost `and`: one SQL condition of all parts that can be translated, and the rest.
    pub(crate) fn filter(
        &mut self,
        filters: impl IntoIterator<Item = &'a Expr>,
    ) -> (Option<String>, Vec<&'a Expr>) {
        let mut parts = Vec::new();
        for filter in filters {
            operands(BinaryOp::And, filter, &mut parts);
        }
        let mut conditions = Vec::new();
        let mut rest = Vec::new();
        for part in parts {
            let bound = self.parameters.len();
            let condition = if makes_few_texts(part) {
                self.condition(part)
            } else {
                None
            };
            match condition {
                Some(condition) if self.parameters.len() <= PARAMETERS => {
                    conditions.push(condition);
                }
                _ => {
                    self.parameters.truncate(bound);
                    rest.push(part);
                }
            }
        }
        let condition = (!conditions.is_empty()).then(|| join("AND", &conditions));
        (condition, rest)
    }

    /// The values of the parameters, in their order.
    pub(crate) fn parameters(&self) -> &[Value] {
        &self.parameters
    }

    /// The column of a path and its kind, where the path leads to a column whose values are all alike.
    pub(crate) fn column(&self, path: &FieldPath) -> Option<(String, Kind<'a>)> {
        let head = path.head();
        let kind = match Kind::of_system(head) {
            Some(kind) => kind,
            None => {
                let at = self.layout.position(head).filter(|_| self.declared)?;
                Kind::of_type(&self.layout.columns.get(at)?.ty)
            }
        };
        let sql = format!("t.{}", quoted(head));
        path.rest().is_empty().then_some((sql, kind))
    }

    /// The parameter that stands for `value`.
    pub(crate) fn bind(&mut self, value: Value) -> String {
        self.parameters.push(value);
        format!("?{}", self.parameters.len())
    }

    /// An SQL condition that is true exactly where `expr` is, and else false or `NULL`.
    pub(crate) fn condition(&mut self, expr: &'a Expr) -> Option<String> {
        self.depth += 1;
        let condition = if self.depth > DEPTH {
            None
        } else {
            self.condition_of(expr)
        };
        self.depth -= 1;
        condition
    }

    fn condition_of(&mut self, expr: &'a Expr) -> Option<String> {
        match expr {
            Expr::Not(inner) => Some(format!("({}) IS NOT TRUE", self.condition(inner)?)),
            Expr::Binary(op @ (BinaryOp::And | BinaryOp::Or), ..) => {
                let mut parts = Vec::new();
                operands(*op, expr, &mut parts);
                let conditions: Option<Vec<String>> =
                    parts.into_iter().map(|part| self.condition(part)).collect();
                let word = if *op == BinaryOp::And { "AND" } else { "OR" };
                Some(format!("({})", join(word, &conditions?)))
            }
            Expr::Binary(op, left, right) if op.is_comparison() => {
                let (left, right) = (self.operand(left)?, self.operand(right)?);
                self.compare(*op, &left, &right)
            }
            Expr::In(value, list) => self.is_in(value, list),
            _ => Some(match self.operand(expr)? {
                Operand::Constant(literal) => truth(*literal == Literal::Bool(true)),
                Operand::Value(value) => match value.kind {
                    // Written so that an index on the column serves.
                    Kind::Bool if value.column => format!("{} = 1", value.sql),
                    Kind::Bool => value.sql,
                    Kind::Any => return None,
                    _ => truth(false),
                },
            }),
        }
    }

    fn is_in(&mut self, value: &'a Expr, list: &'a [Expr]) -> Option<String> {
        let value = self.operand(value)?;
        let mut conditions = Vec::new();
        let mut plain = Vec::new();
        for item in list {
            let item = self.operand(item)?;
            if let (Operand::Value(value), Operand::Constant(literal)) = (&value, &item)
                && let Some(Constant::Plain(item)) = constant(value.kind, literal)
            {
                plain.push(self.bind(item));
            } else {
                conditions.push(self.compare(BinaryOp::Eq, &value, &item)?);
            }
        }
        if let Operand::Value(value) = &value
            && !plain.is_empty()
        {
            conditions.push(format!("{} IN ({})", value.sql, plain.join(",")));
        }
        Some(format!("({})", join("OR", &conditions)))
    }

    fn compare(&mut self, op: BinaryOp, left: &Operand<'a>, right: &Operand<'a>) -> Option<String> {
        match (left, right) {
            (Operand::Constant(_), Operand::Constant(_)) => None,
            (Operand::Value(value), Operand::Constant(literal)) => {
                self.compare_constant(op, value, literal)
            }
            (Operand::Constant(literal), Operand::Value(value)) => {
                self.compare_constant(mirrored(op), value, literal)
            }
            (Operand::Value(left), Operand::Value(right)) => compare_values(op, left, right),
        }
    }

    fn compare_constant(
        &mut self,
        op: BinaryOp,
        value: &Typed<'a>,
        literal: &Literal,
    ) -> Option<String> {
        let sql = &value.sql;
        if *literal == Literal::Null {
            return Some(match op {
                BinaryOp::Eq => format!("{sql} IS NULL"),
                BinaryOp::Ne => format!("{sql} IS NOT NULL"),
                _ => truth(false),
            });
        }
        let (operand, parameter) = match constant(value.kind, literal)? {
            Constant::Plain(value) => (sql.clone(), self.bind(value)),
            Constant::Through(before, value, after) => {
                (format!("{before}{sql}{after}"), self.bind(value))
            }
            Constant::Incomparable => return Some(truth(op == BinaryOp::Ne)),
        };
        Some(match op {
            BinaryOp::Ne => format!("({operand} = {parameter}) IS NOT TRUE"),
            _ => format!("{operand} {} {parameter}", symbol(op)),
        })
    }
}

/// SQLite holds all texts that a condition makes of a row at the same time, and nobody adds them up there.
fn makes_few_texts(expr: &Expr) -> bool {
    let makes = |part: &&Expr| matches!(part, Expr::Call(Function::Concat | Function::Replace, _));
    expr.walk().filter(makes).count() <= Budget::TEXTS
}

fn compare_values(op: BinaryOp, left: &Typed<'_>, right: &Typed<'_>) -> Option<String> {
    let midnight = |sql: &str| format!("({sql} * {TICKS_PER_DAY})");
    let (left, right) = match (left.kind, right.kind) {
        (Kind::Other | Kind::Any, _) => return None,
        (Kind::DateTime, Kind::Date) => (left.sql.clone(), midnight(&right.sql)),
        (Kind::Date, Kind::DateTime) => (midnight(&left.sql), right.sql.clone()),
        (a, b) if a == b => (left.sql.clone(), right.sql.clone()),
        _ => return None,
    };
    let operator = match op {
        BinaryOp::Eq => "IS",
        BinaryOp::Ne => "IS NOT",
        _ => symbol(op),
    };
    Some(format!("{left} {operator} {right}"))
}

/// The operands of a chain of one operator.
fn operands<'e>(op: BinaryOp, expr: &'e Expr, into: &mut Vec<&'e Expr>) {
    let mut waiting = vec![expr];
    while let Some(expr) = waiting.pop() {
        match expr {
            Expr::Binary(inner, left, right) if *inner == op => {
                waiting.push(right);
                waiting.push(left);
            }
            _ => into.push(expr),
        }
    }
}

/// Conditions joined as a balanced tree, since SQLite limits the depth of an expression.
pub(crate) fn join(word: &str, conditions: &[String]) -> String {
    match conditions {
        [] => truth(word == "AND"),
        [one] => one.clone(),
        many => {
            let (left, right) = many.split_at(many.len() / 2);
            let part = |part: &[String]| match part {
                [one] => one.clone(),
                several => format!("({})", join(word, several)),
            };
            format!("{} {word} {}", part(left), part(right))
        }
    }
}

fn truth(value: bool) -> String {
    String::from(if value { "1" } else { "0" })
}

fn symbol(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::Lt => "<",
        BinaryOp::Le => "<=",
        BinaryOp::Gt => ">",
        BinaryOp::Ge => ">=",
        _ => "=",
    }
}

/// The operator with its operands exchanged.
fn mirrored(op: BinaryOp) -> BinaryOp {
    match op {
        BinaryOp::Lt => BinaryOp::Gt,
        BinaryOp::Le => BinaryOp::Ge,
        BinaryOp::Gt => BinaryOp::Lt,
        BinaryOp::Ge => BinaryOp::Le,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use synctable_core::query::odata::parse_filter;
    use synctable_core::{FieldType, TableName, TableSchema};

    use super::*;

    fn layout() -> TableLayout {
        let words = ["PG", "G"].map(str::to_owned).to_vec();
        let schema = TableSchema::new()
            .with_field("title", FieldType::String)
            .with_field("year", FieldType::Integer)
            .with_field("score", FieldType::Number)
            .with_field("done", FieldType::Boolean)
            .with_field("day", FieldType::Date)
            .with_field("at", FieldType::Time)
            .with_field("seen", FieldType::DateTime)
            .with_field("rating", FieldType::Enum(words))
            .with_field("place", FieldType::GeoPoint)
            .with_field("extra", FieldType::Json);
        TableLayout::new(TableName::new("t").unwrap(), schema)
    }

    /// The condition for a filter, its constants put in, and how many parts are left to the evaluator.
    fn translated(filter: &str) -> (Option<String>, usize) {
        let layout = layout();
        let filter = parse_filter(filter).unwrap();
        let mut translator = Translator::new(&layout, true);
        let (condition, rest) = translator.filter(Some(&filter));
        let condition = condition.map(|mut condition| {
            for (at, value) in translator.parameters().iter().enumerate().rev() {
                let value = match value {
                    Value::Integer(value) => value.to_string(),
                    Value::Real(value) => format!("{value:?}"),
                    Value::Text(value) => format!("'{value}'"),
                    other => panic!("{other:?}"),
                };
                condition = condition.replace(&format!("?{}", at + 1), &value);
            }
            condition.replace("t.\"", "").replace('"', "")
        });
        (condition, rest.len())
    }

    #[test]
    fn filters_become_conditions_that_an_index_can_serve() {
        for (filter, expected) in [
            ("title eq 'a'", "title = 'a'"),
            ("'a' eq title", "title = 'a'"),
            ("2000 lt year", "year > 2000"),
            ("title eq null", "title IS NULL"),
            ("title ne null", "title IS NOT NULL"),
            ("title ne 'a'", "(title = 'a') IS NOT TRUE"),
            ("title lt null", "0"),
            ("title eq 5", "0"),
            ("title ne 5", "1"),
            ("year ge 9223372036854775807", "year >= 9223372036854775807"),
            ("score lt 1.5", "score < 1.5"),
            ("score eq year", "score IS year"),
            ("done", "done = 1"),
            ("title", "0"),
            ("not done", "(done = 1) IS NOT TRUE"),
            ("day eq 1970-01-02", "day = 1"),
            ("seen ge 1970-01-02", "seen >= 864000000000"),
            ("seen gt 1970-01-01T00:00:00.001Z", "seen > 10000"),
            ("seen gt day", "seen > (day * 864000000000)"),
            ("at eq 00:00:01", "at = 10000000"),
            ("rating ge 'G'", "rating >= 1"),
            ("rating ge 'X'", "0"),
            ("year in (1,2)", "(year IN (1,2))"),
            ("title in ('a',null)", "(title IS NULL OR title IN ('a'))"),
            ("startswith(title,'ab')", "(title >= 'ab' AND title < 'ac')"),
            ("contains(title,'b')", "synctable_contains(title,'b')"),
            ("tolower(title) eq 'a'", "synctable_tolower(title) = 'a'"),
            ("year add 1 gt 5", "synctable_add(year,1) > 5"),
            ("(year gt 5) eq true", "((year > 5) IS TRUE) = 1"),
            (
                "year gt 5 and (done or title eq 'a') and id eq 'x'",
                "year > 5 AND ((done = 1 OR title = 'a') AND id = 'x')",
            ),
        ] {
            assert_eq!(
                translated(filter),
                (Some(expected.to_owned()), 0),
                "{filter}"
            );
        }
    }

    #[test]
    fn what_sql_cannot_say_is_left_to_the_evaluator() {
        for filter in [
            "free eq 1",
            "extra eq 1",
            "extra/a eq 1",
            "title/a eq 1",
            "geo.distance(place,geography'POINT(1 2)') lt 5",
            "1 eq 1",
            "free eq 1 or year eq 1",
        ] {
            assert_eq!(translated(filter), (None, 1), "{filter}");
        }
        let mixed = "free eq 1 and year eq 1 and extra/a eq 2 and done";
        assert_eq!(translated(mixed), (Some("year = 1 AND done = 1".into()), 2));
    }

    #[test]
    fn long_chains_stay_shallow() {
        let terms = |word: &str| {
            let terms: Vec<String> = (0..2000).map(|n| format!("year eq {n}")).collect();
            let mut chain = Expr::from(false);
            for term in &terms {
                let term = parse_filter(term).unwrap();
                chain = if word == "or" {
                    chain.or(term)
                } else {
                    chain.and(term)
                };
            }
            chain
        };
        let layout = layout();
        for word in ["or", "and"] {
            let filter = terms(word);
            let mut translator = Translator::new(&layout, true);
            let (condition, rest) = translator.filter(Some(&filter));
            assert!(rest.is_empty());
            let conn = rusqlite::Connection::open_in_memory().unwrap();
            conn.execute_batch(&crate::layout::create_table(&layout))
                .unwrap();
            let sql = format!("{} WHERE {}", layout.statements.select, condition.unwrap());
            conn.prepare(&sql).unwrap();
        }
    }

    #[test]
    fn deep_filters_are_left_to_the_evaluator() {
        let layout = layout();
        let deep = (0..DEPTH).fold(parse_filter("done").unwrap(), |inner, _| inner.not());
        let mut translator = Translator::new(&layout, true);
        assert_eq!(translator.filter(Some(&deep)).1.len(), 1);
        assert!(translator.parameters().is_empty());
    }
}
