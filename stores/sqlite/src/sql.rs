//! Filters as SQL, where SQL agrees with the reference evaluation exactly; what is not translated here is
//! left to the evaluator.
//!
//! Three-valued logic stays inside: a condition that is `NULL` counts as false wherever it is used, and a
//! condition that is used as a value goes through `IS TRUE` first.

use rusqlite::types::Value;
use synctable_core::query::{BinaryOp, Expr, FieldPath, Function, Literal};
use synctable_core::{Date, FieldType, TimeOfDay, Timestamp};

use crate::layout::{TableLayout, quoted};

/// Ticks of 100 ns in a day: what turns a date into the date-time of its midnight.
const TICKS_PER_DAY: i64 = 864_000_000_000;
/// The deepest nesting that is translated; SQLite allows 1000 levels.
const DEPTH: usize = 60;
/// The most constants that are bound; SQLite allows 32766.
const PARAMETERS: usize = 10_000;

/// Translates expressions over one table; the constants met on the way become parameters.
#[derive(Debug)]
pub(crate) struct Translator<'a> {
    layout: &'a TableLayout,
    /// Whether the columns of declared fields hold all values: false while the table has odd rows.
    declared: bool,
    parameters: Vec<Value>,
    depth: usize,
}

/// What kind of values a column or expression has, `NULL` aside.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind<'a> {
    Bool,
    Number,
    Text,
    DateTime,
    Date,
    Time,
    Enum(&'a [String]),
    /// A point or any JSON value: only whether it is there can be said.
    Other,
    /// Any JSON value; not even its kind is known.
    Any,
}

/// A translated operand.
#[derive(Debug)]
enum Operand<'a> {
    /// A constant, bound once it is known what it is compared with.
    Constant(&'a Literal),
    Column {
        sql: String,
        kind: Kind<'a>,
    },
    /// A computed value.
    Value {
        sql: String,
        kind: Kind<'a>,
    },
}

/// A constant as seen from the kind it is compared with.
enum Constant {
    /// Comparable as it is.
    Plain(Value),
    /// Comparable with a transformed operand: text in front of and behind it.
    Through(&'static str, Value, String),
    /// Never equal, smaller or greater.
    Incomparable,
}

const NULL: Operand<'static> = Operand::Constant(&Literal::Null);

impl<'a> Translator<'a> {
    pub(crate) fn new(layout: &'a TableLayout, declared: bool) -> Self {
        Self {
            layout,
            declared,
            parameters: Vec::new(),
            depth: 0,
        }
    }

    /// Splits `filter` at its outermost `and`: one SQL condition of all parts that can be translated, and the rest.
    pub(crate) fn filter(&mut self, filter: Option<&'a Expr>) -> (Option<String>, Vec<&'a Expr>) {
        let mut parts = Vec::new();
        if let Some(filter) = filter {
            operands(BinaryOp::And, filter, &mut parts);
        }
        let mut conditions = Vec::new();
        let mut rest = Vec::new();
        for part in parts {
            let bound = self.parameters.len();
            match self.condition(part) {
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
        let kind = match head {
            "id" | "version" => Kind::Text,
            "createdAt" | "updatedAt" => Kind::DateTime,
            "deleted" => Kind::Bool,
            _ => {
                let at = self.layout.position(head).filter(|_| self.declared)?;
                match &self.layout.columns.get(at)?.ty {
                    FieldType::String | FieldType::Bytes => Kind::Text,
                    FieldType::Integer | FieldType::Number => Kind::Number,
                    FieldType::Boolean => Kind::Bool,
                    FieldType::Date => Kind::Date,
                    FieldType::Time => Kind::Time,
                    FieldType::DateTime => Kind::DateTime,
                    FieldType::Enum(words) => Kind::Enum(words),
                    FieldType::GeoPoint => Kind::Other,
                    FieldType::Json => Kind::Any,
                }
            }
        };
        let sql = format!("t.{}", quoted(head));
        path.rest().is_empty().then_some((sql, kind))
    }

    /// The parameter that stands for `value`.
    fn bind(&mut self, value: Value) -> String {
        self.parameters.push(value);
        format!("?{}", self.parameters.len())
    }

    /// An SQL condition that is true exactly where `expr` is, and else false or `NULL`.
    fn condition(&mut self, expr: &'a Expr) -> Option<String> {
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
            _ => match self.operand(expr)? {
                Operand::Constant(literal) => Some(truth(*literal == Literal::Bool(true))),
                // Written so that an index on the column serves.
                Operand::Column {
                    sql,
                    kind: Kind::Bool,
                } => Some(format!("{sql} = 1")),
                Operand::Value {
                    sql,
                    kind: Kind::Bool,
                } => Some(sql),
                Operand::Column { kind, .. } | Operand::Value { kind, .. } => {
                    (kind != Kind::Any).then(|| truth(false))
                }
            },
        }
    }

    fn is_in(&mut self, value: &'a Expr, list: &'a [Expr]) -> Option<String> {
        let value = self.operand(value)?;
        let mut conditions = Vec::new();
        let mut plain = Vec::new();
        for item in list {
            let item = self.operand(item)?;
            match (&value, &item) {
                (
                    Operand::Column { kind, .. } | Operand::Value { kind, .. },
                    Operand::Constant(literal),
                ) if **literal != Literal::Null => match constant(*kind, literal)? {
                    Constant::Plain(item) => plain.push(self.bind(item)),
                    Constant::Incomparable => {}
                    Constant::Through(..) => {
                        conditions.push(self.compare(BinaryOp::Eq, &value, &item)?);
                    }
                },
                _ => conditions.push(self.compare(BinaryOp::Eq, &value, &item)?),
            }
        }
        if let Operand::Column { sql, .. } | Operand::Value { sql, .. } = &value
            && !plain.is_empty()
        {
            conditions.push(format!("{sql} IN ({})", plain.join(",")));
        }
        if conditions.is_empty() {
            return Some(truth(false));
        }
        Some(format!("({})", join("OR", &conditions)))
    }

    fn compare(&mut self, op: BinaryOp, left: &Operand<'a>, right: &Operand<'a>) -> Option<String> {
        let (op, value, other) = match left {
            Operand::Constant(_) => (mirrored(op), right, left),
            _ => (op, left, right),
        };
        let (Operand::Column { sql, kind } | Operand::Value { sql, kind }) = value else {
            // Two constants.
            return None;
        };
        match other {
            Operand::Constant(Literal::Null) => Some(match op {
                BinaryOp::Eq => format!("{sql} IS NULL"),
                BinaryOp::Ne => format!("{sql} IS NOT NULL"),
                _ => truth(false),
            }),
            Operand::Constant(literal) => {
                let (sql, parameter) = match constant(*kind, literal)? {
                    Constant::Plain(value) => (sql.clone(), self.bind(value)),
                    Constant::Through(before, value, after) => {
                        (format!("{before}{sql}{after}"), self.bind(value))
                    }
                    Constant::Incomparable => return Some(truth(op == BinaryOp::Ne)),
                };
                Some(match op {
                    BinaryOp::Ne => format!("({sql} = {parameter}) IS NOT TRUE"),
                    _ => format!("{sql} {} {parameter}", symbol(op)),
                })
            }
            Operand::Column {
                sql: other,
                kind: other_kind,
            }
            | Operand::Value {
                sql: other,
                kind: other_kind,
            } => {
                let midnight = |sql: &str| format!("({sql} * {TICKS_PER_DAY})");
                let (left, right) = match (kind, other_kind) {
                    (Kind::DateTime, Kind::Date) => (sql.clone(), midnight(other)),
                    (Kind::Date, Kind::DateTime) => (midnight(sql), other.clone()),
                    (Kind::Other | Kind::Any, _) => return None,
                    (a, b) if a == b => (sql.clone(), other.clone()),
                    _ => return None,
                };
                Some(match op {
                    BinaryOp::Eq => format!("{left} IS {right}"),
                    BinaryOp::Ne => format!("{left} IS NOT {right}"),
                    _ => format!("{left} {} {right}", symbol(op)),
                })
            }
        }
    }

    /// The value of an expression; `None` where SQL cannot say it.
    fn operand(&mut self, expr: &'a Expr) -> Option<Operand<'a>> {
        self.depth += 1;
        let operand = if self.depth > DEPTH {
            None
        } else {
            self.operand_of(expr)
        };
        self.depth -= 1;
        operand
    }

    fn operand_of(&mut self, expr: &'a Expr) -> Option<Operand<'a>> {
        match expr {
            Expr::Literal(literal) => Some(Operand::Constant(literal)),
            Expr::Field(path) => self
                .column(path)
                .map(|(sql, kind)| Operand::Column { sql, kind }),
            Expr::Negate(inner) => {
                let inner = self.operand(inner)?;
                self.numeric("synctable_negate", &[inner])
            }
            Expr::Binary(op, left, right) if op.is_arithmetic() => {
                let operands = [self.operand(left)?, self.operand(right)?];
                let function = match op {
                    BinaryOp::Add => "synctable_add",
                    BinaryOp::Sub => "synctable_sub",
                    BinaryOp::Mul => "synctable_mul",
                    BinaryOp::Div => "synctable_div",
                    _ => "synctable_mod",
                };
                self.numeric(function, &operands)
            }
            Expr::Call(function, arguments) => self.call(*function, arguments),
            Expr::Not(_) | Expr::Binary(..) | Expr::In(..) => Some(Operand::Value {
                sql: format!("(({}) IS TRUE)", self.condition(expr)?),
                kind: Kind::Bool,
            }),
        }
    }

    fn call(&mut self, function: Function, arguments: &'a [Expr]) -> Option<Operand<'a>> {
        use Function as F;
        let (fewest, most) = function.arity();
        if !(fewest..=most).contains(&arguments.len()) {
            return None;
        }
        let operands: Option<Vec<Operand<'a>>> = arguments
            .iter()
            .map(|argument| self.operand(argument))
            .collect();
        let operands = operands?;
        let kind = match function {
            F::Floor | F::Ceiling | F::Round => {
                return self.numeric(&format!("synctable_{}", function.name()), &operands);
            }
            F::Year | F::Month | F::Day | F::Hour | F::Minute | F::Second => {
                return self.part(function, operands.first()?);
            }
            F::GeoDistance => return None,
            F::ToLower | F::ToUpper | F::Trim | F::Concat | F::Substring | F::Replace => Kind::Text,
            F::Length | F::IndexOf => Kind::Number,
            F::StartsWith | F::EndsWith | F::Contains => Kind::Bool,
        };
        if let (
            F::StartsWith,
            [
                Operand::Column {
                    sql,
                    kind: Kind::Text,
                },
                Operand::Constant(Literal::String(prefix)),
            ],
        ) = (function, operands.as_slice())
        {
            return Some(self.starts_with(sql, prefix));
        }
        let mut values = Vec::with_capacity(operands.len());
        for (at, operand) in operands.iter().enumerate() {
            let value = if function == F::Substring && at > 0 {
                self.number(operand)?
            } else {
                self.text(operand)?
            };
            match value {
                Some(value) => values.push(value),
                None => return Some(NULL),
            }
        }
        let sql = match (function, values.as_slice()) {
            (F::Contains, [text, part]) => format!("(instr({text},{part}) > 0)"),
            _ => format!("synctable_{}({})", function.name(), values.join(",")),
        };
        Some(Operand::Value { sql, kind })
    }

    /// A prefix is a range, which an index on the column serves.
    fn starts_with(&mut self, column: &str, prefix: &str) -> Operand<'a> {
        let mut sql = format!("({column} >= {}", self.bind(prefix.to_owned().into()));
        if let Some(end) = behind_prefix(prefix) {
            sql.push_str(&format!(" AND {column} < {}", self.bind(end.into())));
        }
        sql.push(')');
        Operand::Value {
            sql,
            kind: Kind::Bool,
        }
    }

    fn part(&mut self, function: Function, operand: &Operand<'a>) -> Option<Operand<'a>> {
        let (sql, kind) = match operand {
            Operand::Constant(_) => return None,
            Operand::Column { sql, kind } | Operand::Value { sql, kind } => (sql, *kind),
        };
        let kind = match kind {
            Kind::DateTime => "datetime",
            Kind::Date => "date",
            Kind::Time => "time",
            Kind::Text => "text",
            Kind::Bool | Kind::Number => return Some(NULL),
            Kind::Enum(_) | Kind::Other | Kind::Any => return None,
        };
        Some(Operand::Value {
            sql: format!("synctable_{}('{kind}',{sql})", function.name()),
            kind: Kind::Number,
        })
    }

    fn numeric(&mut self, function: &str, operands: &[Operand<'a>]) -> Option<Operand<'a>> {
        let mut values = Vec::with_capacity(operands.len());
        for operand in operands {
            match self.number(operand)? {
                Some(value) => values.push(value),
                None => return Some(NULL),
            }
        }
        Some(Operand::Value {
            sql: format!("{function}({})", values.join(",")),
            kind: Kind::Number,
        })
    }

    /// The operand where a number is wanted; `Some(None)` where it is something else for certain.
    fn number(&mut self, operand: &Operand<'a>) -> Option<Option<String>> {
        match operand {
            Operand::Constant(Literal::Int(value)) => Some(Some(self.bind((*value).into()))),
            Operand::Constant(Literal::Float(value)) => Some(Some(self.bind((*value).into()))),
            Operand::Column {
                sql,
                kind: Kind::Number,
            }
            | Operand::Value {
                sql,
                kind: Kind::Number,
            } => Some(Some(sql.clone())),
            Operand::Column {
                kind: Kind::Any, ..
            }
            | Operand::Value {
                kind: Kind::Any, ..
            } => None,
            _ => Some(None),
        }
    }

    /// The operand where a text is wanted; `Some(None)` where it is something else for certain.
    fn text(&mut self, operand: &Operand<'a>) -> Option<Option<String>> {
        match operand {
            Operand::Constant(Literal::String(value)) => {
                Some(Some(self.bind(value.clone().into())))
            }
            Operand::Constant(Literal::Guid(_)) => None,
            Operand::Column { sql, kind } | Operand::Value { sql, kind } => match kind {
                Kind::Text => Some(Some(sql.clone())),
                Kind::Enum(words) => {
                    let mut case = format!("(CASE {sql}");
                    for (at, word) in words.iter().enumerate() {
                        let word = self.bind(word.clone().into());
                        case.push_str(&format!(" WHEN {at} THEN {word}"));
                    }
                    case.push_str(" END)");
                    Some(Some(case))
                }
                Kind::Any => None,
                _ => Some(None),
            },
            Operand::Constant(_) => Some(None),
        }
    }
}

/// How a constant compares with values of a kind; `None` where SQL cannot say it. The constant is not null.
fn constant(kind: Kind<'_>, literal: &Literal) -> Option<Constant> {
    let ticks = |time: Timestamp| Value::Integer(time.ticks());
    let days = |date: Date| Value::Integer(date.days().into());
    let clock = |time: TimeOfDay| Value::Integer(time.ticks());
    let times_day = || format!(" * {TICKS_PER_DAY})");
    let parsed = |value: Option<Value>| value.map_or(Constant::Incomparable, Constant::Plain);
    let known = match (kind, literal) {
        (Kind::Other | Kind::Any, _) => return None,
        (Kind::Bool, Literal::Bool(value)) => Constant::Plain((*value).into()),
        (Kind::Number, Literal::Int(value)) => Constant::Plain((*value).into()),
        (Kind::Number, Literal::Float(value)) => Constant::Plain((*value).into()),
        (Kind::Text, Literal::String(value)) => Constant::Plain(value.clone().into()),
        (Kind::Text, Literal::Guid(value)) => {
            // SQLite's `lower` changes ASCII letters only, which is what is meant here.
            Constant::Through("lower(", value.to_ascii_lowercase().into(), ")".into())
        }
        (Kind::Text, Literal::DateTime(value)) => {
            Constant::Through("synctable_datetime(", ticks(*value), ")".into())
        }
        (Kind::Text, Literal::Date(value)) => {
            Constant::Through("synctable_date(", days(*value), ")".into())
        }
        (Kind::Text, Literal::Time(value)) => {
            Constant::Through("synctable_time(", clock(*value), ")".into())
        }
        (Kind::DateTime, Literal::DateTime(value)) => Constant::Plain(ticks(*value)),
        (Kind::DateTime, Literal::Date(value)) => {
            Constant::Plain(ticks(Timestamp::at_midnight(*value)))
        }
        (Kind::DateTime, Literal::String(text)) => parsed(date_time(text).map(ticks)),
        (Kind::Date, Literal::Date(value)) => Constant::Plain(days(*value)),
        (Kind::Date, Literal::DateTime(value)) => {
            Constant::Through("(", ticks(*value), times_day())
        }
        (Kind::Date, Literal::String(text)) => parsed(text.parse().ok().map(days)),
        (Kind::Time, Literal::Time(value)) => Constant::Plain(clock(*value)),
        (Kind::Time, Literal::String(text)) => parsed(text.parse().ok().map(clock)),
        (Kind::Enum(words), Literal::String(text)) => {
            let at = words.iter().position(|word| word == text);
            parsed(at.and_then(|at| i64::try_from(at).ok()).map(Value::Integer))
        }
        (_, Literal::Guid(_)) => return None,
        _ => Constant::Incomparable,
    };
    Some(known)
}

/// A text as a date-time, or as a date at its midnight.
pub(crate) fn date_time(text: &str) -> Option<Timestamp> {
    text.parse().ok().or_else(|| {
        let date: Date = text.parse().ok()?;
        Some(Timestamp::at_midnight(date))
    })
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

/// The first text behind all texts with this prefix, where there is one.
fn behind_prefix(prefix: &str) -> Option<String> {
    let mut end: Vec<char> = prefix.chars().collect();
    while let Some(last) = end.pop() {
        // Surrogates are no characters.
        let next = match last {
            '\u{d7ff}' => Some('\u{e000}'),
            _ => char::from_u32(u32::from(last) + 1),
        };
        if let Some(next) = next {
            end.push(next);
            return Some(end.into_iter().collect());
        }
    }
    None
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
