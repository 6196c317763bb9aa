//! The reference semantics of filters and orders. Every other implementation (SQL, servers) is tested against it.
//!
//! * Missing and null are the same. `eq` of two nulls is true, of one null false; `ne` is its opposite; the other comparisons with
//!   null, or between kinds that do not compare, are false.
//! * `and`, `or`, `not` take everything but `true` as false; there is no third truth value.
//! * Numbers compare exactly, integers beyond 2^53 too; texts by their UTF-8 bytes; words of a declared enum by position; a
//!   text compares with a date, time or date-time by being read as one.
//! * Arithmetic and functions of null or of the wrong kind are null, and so are overflow and division by an integer zero. By a zero of
//!   a declared number, or one that is written with a point, division gives an infinite number.
//! * Years, hours and the like are those of a time's own offset from UTC.
//! * Beyond its budget a query has no answer: what is left of it is null, and whoever counts makes that an error.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::cmp::Ordering;

use super::budget::{Budget, Meter};
use super::value::{Operand, compare_int_float};
use super::{BinaryOp, Direction, Expr, FieldPath, OrderBy, functions};
use crate::name::RecordId;
use crate::record::{Record, members_of};
use crate::schema::{FieldType, TableSchema};
use crate::timestamp::{Date, TimeOfDay, Timestamp};

/// Evaluates expressions on records of one table.
///
/// ```
/// use synctable_core::query::{Evaluator, field};
/// use synctable_core::{Record, TableSchema};
/// let schema = TableSchema::new();
/// let record = Record::from_json(r#"{"id":"a","price":3}"#).unwrap();
/// assert!(Evaluator::new(&schema).matches(&field("price").gt(2.5), &record));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Evaluator<'a> {
    schema: &'a TableSchema,
}

/// The place of a record in an order.
#[derive(Debug, Clone, PartialEq)]
pub struct SortKey {
    /// One value for each term of the order.
    pub values: Vec<SortValue>,
    /// The id, which decides last.
    pub id: RecordId,
}

/// One value of a sort key.
#[derive(Debug, Clone, PartialEq)]
pub enum SortValue {
    /// Null or missing.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Another number.
    Float(f64),
    /// A point in time.
    DateTime(Timestamp),
    /// A date.
    Date(Date),
    /// A time of day.
    Time(TimeOfDay),
    /// A declared word by its position.
    Enum(u32),
    /// A text.
    Text(String),
    /// A point, array or object; they are all equal.
    Other,
}

impl<'a> Evaluator<'a> {
    /// An evaluator for records declared as `schema`.
    pub fn new(schema: &'a TableSchema) -> Self {
        Self { schema }
    }

    /// True when the filter holds for the record. One that makes longer texts than the default [`Budget`] allows does not; a
    /// [`Judge`](super::Judge) makes an error of that.
    pub fn matches(&self, filter: &Expr, record: &Record) -> bool {
        let meter = Meter::new(Budget::default());
        let truth = Row::new(self.schema, record, &meter).truth(filter);
        truth && meter.excess().is_none()
    }

    /// The place of a record in an order.
    pub fn sort_key(&self, order: &[OrderBy], record: &Record) -> SortKey {
        // Fields alone take nothing.
        let meter = Meter::new(Budget::default());
        Row::new(self.schema, record, &meter).sort_key(order)
    }
}

/// A record whose members are split at most once.
pub(super) struct Row<'r> {
    schema: &'r TableSchema,
    record: &'r Record,
    meter: &'r Meter<'r>,
    members: OnceCell<Vec<(Cow<'r, str>, &'r str)>>,
}

/// What is left to do once the truth of an operand is known.
enum Pending<'e> {
    Not,
    Right(BinaryOp, &'e Expr),
}

impl<'r> Row<'r> {
    pub(super) fn new(schema: &'r TableSchema, record: &'r Record, meter: &'r Meter<'r>) -> Self {
        Self {
            schema,
            record,
            meter,
            members: OnceCell::new(),
        }
    }

    /// Shorter than the order where the meter has no room for more.
    pub(super) fn sort_key(&self, order: &[OrderBy]) -> SortKey {
        let value = |term: &OrderBy| {
            let value = self.field(&term.path);
            // A text is copied.
            let text = value.as_text().map_or(0, str::len);
            let fits = self.meter.take(Budget::steps_for(text));
            fits.then(|| SortValue::from(value))
        };
        SortKey {
            values: order.iter().map_while(value).collect(),
            id: self.record.id().clone(),
        }
    }

    /// Nests of `and`, `or` and `not` may be of any depth and shape: they take no stack.
    pub(super) fn truth<'e>(&'e self, filter: &'e Expr) -> bool
    where
        'r: 'e,
    {
        let mut pending = Vec::new();
        let mut expr = filter;
        loop {
            let mut truth = loop {
                match expr {
                    Expr::Not(inner) => {
                        pending.push(Pending::Not);
                        expr = inner;
                    }
                    Expr::Binary(op @ (BinaryOp::And | BinaryOp::Or), left, right) => {
                        pending.push(Pending::Right(*op, right));
                        expr = left;
                    }
                    _ => break self.value(expr) == Operand::Bool(true),
                }
            };
            expr = loop {
                match pending.pop() {
                    None => return truth,
                    Some(Pending::Not) => truth = !truth,
                    // The left operand decides `and` when it is false and `or` when it is true.
                    Some(Pending::Right(op, right)) if truth == (op == BinaryOp::And) => {
                        break right;
                    }
                    Some(Pending::Right(..)) => {}
                }
            };
        }
    }

    fn value<'e>(&'e self, expr: &'e Expr) -> Operand<'e>
    where
        'r: 'e,
    {
        if !self.meter.take(1) {
            return Operand::Null;
        }
        match expr {
            Expr::Literal(literal) => Operand::of_literal(literal),
            Expr::Field(path) => self.field(path),
            Expr::Not(_) | Expr::Binary(BinaryOp::And | BinaryOp::Or, ..) => {
                Operand::Bool(self.truth(expr))
            }
            Expr::Negate(inner) => functions::negate(&self.value(inner)),
            Expr::Binary(op, left, right) if op.is_arithmetic() => {
                self.arithmetic_chain(*op, left, right)
            }
            Expr::Binary(op, left, right) => {
                Operand::Bool(compare(*op, &self.value(left), &self.value(right)))
            }
            Expr::In(left, list) => {
                let left = self.value(left);
                Operand::Bool(list.iter().any(|item| left.equals(&self.value(item))))
            }
            Expr::Call(function, arguments) => {
                let arguments: Vec<_> = arguments
                    .iter()
                    .map(|argument| self.value(argument))
                    .collect();
                functions::call(*function, &arguments, self.meter)
            }
        }
    }

    fn arithmetic_chain<'e>(&'e self, op: BinaryOp, left: &'e Expr, right: &'e Expr) -> Operand<'e>
    where
        'r: 'e,
    {
        let mut chain = vec![(op, right)];
        let mut first = left;
        while let Expr::Binary(op, left, right) = first
            && op.is_arithmetic()
        {
            chain.push((*op, right));
            first = left;
        }
        chain
            .into_iter()
            .rev()
            .fold(self.value(first), |value, (op, right)| {
                let operand = match self.value(right) {
                    Operand::Int(0) if self.is_number(right) => Operand::Float(0.0),
                    operand => operand,
                };
                functions::arithmetic(op, &value, &operand)
            })
    }

    /// Whether this is a member that is declared as a number, not as an integer: so its zero is none either.
    fn is_number(&self, expr: &Expr) -> bool {
        matches!(expr, Expr::Field(path) if path.rest().is_empty()
            && self.schema.field(path.head()) == Some(&FieldType::Number))
    }

    fn field(&self, path: &FieldPath) -> Operand<'r> {
        let system = self.record.system();
        // Stores keep the point in time alone.
        let time = |time: Option<Timestamp>| {
            time.map_or(Operand::Null, |time| Operand::DateTime(time.utc()))
        };
        let text = |text: &'r str| Operand::Text(Cow::Borrowed(text));
        let top = match path.head() {
            "id" => text(self.record.id().as_str()),
            "version" => system
                .version
                .as_ref()
                .map_or(Operand::Null, |version| text(version.as_str())),
            "createdAt" => time(system.created_at),
            "updatedAt" => time(system.updated_at),
            "deleted" => Operand::Bool(system.deleted),
            name => match (self.member(name), path.rest()) {
                (Some(json), []) if self.meter.take(steps_of(json)) => {
                    Operand::of_field(json, self.schema.field(name))
                }
                (Some(json), rest @ [_, ..]) => return self.nested(json, rest),
                _ => Operand::Null,
            },
        };
        if path.rest().is_empty() {
            top
        } else {
            Operand::Null
        }
    }

    /// The text of a member. Looking among many takes steps.
    fn member(&self, name: &str) -> Option<&'r str> {
        let members = self.members.get_or_init(|| {
            let body = self.record.body();
            self.meter.work(Budget::steps_for(body.len()));
            members_of(body)
        });
        let many = members.len() as u64 / 16;
        let fits = self.meter.take(many);
        fits.then(|| last(members, name)).flatten()
    }

    /// The value below a member, in its natural kind. Each level is split for each look at it.
    fn nested(&self, json: &'r str, path: &[String]) -> Operand<'r> {
        let below = |json: &'r str, name: &String| {
            let fits = self.meter.take(Budget::steps_for(json.len()));
            fits.then(|| last(&members_of(json), name)).flatten()
        };
        let found = path.iter().try_fold(json, below);
        let found = found.filter(|json| self.meter.take(steps_of(json)));
        found.map_or(Operand::Null, Operand::of_json)
    }
}

/// What reading a value takes: a short one nothing.
fn steps_of(json: &str) -> u64 {
    json.len() as u64 / 64
}

/// The text of a member; of one that occurs twice the last counts, as for JSON readers.
fn last<'r>(members: &[(Cow<'r, str>, &'r str)], name: &str) -> Option<&'r str> {
    let found = members.iter().rfind(|(key, _)| key == name);
    found.map(|(_, json)| *json)
}

fn compare(op: BinaryOp, left: &Operand<'_>, right: &Operand<'_>) -> bool {
    let order = || left.compare(right);
    match op {
        BinaryOp::Eq => left.equals(right),
        BinaryOp::Ne => !left.equals(right),
        BinaryOp::Lt => order() == Some(Ordering::Less),
        BinaryOp::Gt => order() == Some(Ordering::Greater),
        BinaryOp::Le => order().is_some_and(Ordering::is_le),
        BinaryOp::Ge => order().is_some_and(Ordering::is_ge),
        _ => false,
    }
}

impl From<Operand<'_>> for SortValue {
    fn from(operand: Operand<'_>) -> Self {
        match operand {
            Operand::Null => Self::Null,
            Operand::Bool(value) => Self::Bool(value),
            Operand::Int(value) => Self::Int(value),
            Operand::Float(value) => Self::Float(value),
            Operand::Text(text) => Self::Text(text.into_owned()),
            Operand::Guid(text) => Self::Text(text.to_owned()),
            Operand::DateTime(time) => Self::DateTime(time),
            Operand::Date(date) => Self::Date(date),
            Operand::Time(time) => Self::Time(time),
            Operand::Enum { position, .. } => {
                Self::Enum(u32::try_from(position).unwrap_or(u32::MAX))
            }
            Operand::Point(..) | Operand::Json(_) => Self::Other,
        }
    }
}

impl SortValue {
    /// The total order of values: by kind, then by value.
    pub fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::Int(a), Self::Float(b)) => compare_int_float(*a, *b),
            (Self::Float(a), Self::Int(b)) => compare_int_float(*b, *a).reverse(),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(b).unwrap_or(Ordering::Equal),
            (Self::DateTime(a), Self::DateTime(b)) => a.cmp(b),
            (Self::Date(a), Self::Date(b)) => a.cmp(b),
            (Self::Time(a), Self::Time(b)) => a.cmp(b),
            (Self::Enum(a), Self::Enum(b)) => a.cmp(b),
            (Self::Text(a), Self::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
            _ => self.kind().cmp(&other.kind()),
        }
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Bool(_) => 1,
            Self::Int(_) | Self::Float(_) => 2,
            Self::DateTime(_) => 3,
            Self::Date(_) => 4,
            Self::Time(_) => 5,
            Self::Enum(_) => 6,
            Self::Text(_) => 7,
            Self::Other => 8,
        }
    }
}

impl SortKey {
    /// Which of two records comes first in `order`; ids decide last, always ascending.
    pub fn compare(&self, other: &Self, order: &[OrderBy]) -> Ordering {
        self.compare_counted(other, order, || true)
    }

    /// The same; `goes_on` is asked before each term.
    pub(super) fn compare_counted(
        &self,
        other: &Self,
        order: &[OrderBy],
        mut goes_on: impl FnMut() -> bool,
    ) -> Ordering {
        for ((left, right), term) in self.values.iter().zip(&other.values).zip(order) {
            if !goes_on() {
                break;
            }
            let ordering = match term.direction {
                Direction::Ascending => left.compare(right),
                Direction::Descending => right.compare(left),
            };
            if ordering.is_ne() {
                return ordering;
            }
        }
        self.id.cmp(&other.id)
    }
}
