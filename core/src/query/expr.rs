//! The expression tree of a filter. It says what is meant; OData text and SQL are translations of it.

use std::fmt;

use crate::Timestamp;
use crate::timestamp::{Date, TimeOfDay};

/// A filter expression. Build one with [`field`](crate::query::field) or parse OData text.
#[derive(Debug, PartialEq)]
#[non_exhaustive]
pub enum Expr {
    /// A constant.
    Literal(Literal),
    /// A member of the record, perhaps nested.
    Field(FieldPath),
    /// Logical negation.
    Not(Box<Expr>),
    /// Arithmetic negation.
    Negate(Box<Expr>),
    /// Two operands and an operator.
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
    /// `left in (a, b, c)`; the list is never empty.
    In(Box<Expr>, Vec<Expr>),
    /// A function call with the number of arguments that [`Function::arity`] allows.
    Call(Function, Vec<Expr>),
}

impl Clone for Expr {
    fn clone(&self) -> Self {
        // Long chains lean to the left; walking them in a loop keeps the stack flat.
        let mut chain = Vec::new();
        let mut first = self;
        while let Self::Binary(op, left, right) = first {
            chain.push((*op, right));
            first = left;
        }
        let first = match first {
            Self::Literal(literal) => Self::Literal(literal.clone()),
            Self::Field(path) => Self::Field(path.clone()),
            Self::Not(inner) => Self::Not(inner.clone()),
            Self::Negate(inner) => Self::Negate(inner.clone()),
            Self::Binary(op, left, right) => Self::Binary(*op, left.clone(), right.clone()),
            Self::In(value, list) => Self::In(value.clone(), list.clone()),
            Self::Call(function, arguments) => Self::Call(*function, arguments.clone()),
        };
        chain.into_iter().rev().fold(first, |left, (op, right)| {
            Self::Binary(op, Box::new(left), right.clone())
        })
    }
}

/// A path to a member: `["title"]`, or `["address", "city"]` for a nested one. Never empty.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldPath(Vec<String>);

/// A constant in an expression.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Literal {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// Any other number, perhaps infinite, never NaN.
    Float(f64),
    /// Text.
    String(String),
    /// A point in time.
    DateTime(Timestamp),
    /// A calendar date.
    Date(Date),
    /// A time of day.
    Time(TimeOfDay),
    /// A GUID in its text form. Compared as text, letters in either case being equal.
    Guid(String),
    /// A point on the globe, degrees.
    Point {
        /// Longitude, -180 to 180.
        longitude: f64,
        /// Latitude, -90 to 90.
        latitude: f64,
    },
}

/// Operators with two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BinaryOp {
    /// Logical or.
    Or,
    /// Logical and.
    And,
    /// Equal; two nulls are equal.
    Eq,
    /// Not equal; a null differs from any value.
    Ne,
    /// Greater.
    Gt,
    /// Greater or equal.
    Ge,
    /// Less.
    Lt,
    /// Less or equal.
    Le,
    /// Sum.
    Add,
    /// Difference.
    Sub,
    /// Product.
    Mul,
    /// Quotient; of two integers the integer quotient, cut towards zero.
    Div,
    /// Remainder, with the sign of the dividend.
    Mod,
}

impl BinaryOp {
    /// All operators.
    pub const ALL: [Self; 13] = [
        Self::Or,
        Self::And,
        Self::Eq,
        Self::Ne,
        Self::Gt,
        Self::Ge,
        Self::Lt,
        Self::Le,
        Self::Add,
        Self::Sub,
        Self::Mul,
        Self::Div,
        Self::Mod,
    ];

    /// The operator as OData writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Or => "or",
            Self::And => "and",
            Self::Eq => "eq",
            Self::Ne => "ne",
            Self::Gt => "gt",
            Self::Ge => "ge",
            Self::Lt => "lt",
            Self::Le => "le",
            Self::Add => "add",
            Self::Sub => "sub",
            Self::Mul => "mul",
            Self::Div => "div",
            Self::Mod => "mod",
        }
    }

    /// True for `eq`, `ne`, `gt`, `ge`, `lt` and `le`.
    pub fn is_comparison(self) -> bool {
        matches!(
            self,
            Self::Eq | Self::Ne | Self::Gt | Self::Ge | Self::Lt | Self::Le
        )
    }

    /// True for `add`, `sub`, `mul`, `div` and `mod`.
    pub fn is_arithmetic(self) -> bool {
        matches!(
            self,
            Self::Add | Self::Sub | Self::Mul | Self::Div | Self::Mod
        )
    }
}

/// The functions of the filter language, under the names of OData version 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Function {
    /// Lower case of a text.
    ToLower,
    /// Upper case of a text.
    ToUpper,
    /// Text without white space at both ends.
    Trim,
    /// Number of characters (Unicode scalar values).
    Length,
    /// Two texts joined.
    Concat,
    /// `indexof(text, part)`: position in characters, from 0; -1 where it does not occur.
    IndexOf,
    /// `substring(text, start[, length])`, in characters, from 0; out of range is cut.
    Substring,
    /// `replace(text, find, by)`: every occurrence.
    Replace,
    /// `startswith(text, part)`.
    StartsWith,
    /// `endswith(text, part)`.
    EndsWith,
    /// `contains(text, part)`; the older dialect writes `substringof(part, text)`.
    Contains,
    /// Year of a date or date-time; all parts of a date-time are those of its own offset.
    Year,
    /// Month, 1 to 12.
    Month,
    /// Day of the month, 1 to 31.
    Day,
    /// Hour, 0 to 23.
    Hour,
    /// Minute, 0 to 59.
    Minute,
    /// Second, 0 to 59.
    Second,
    /// Date of a date-time, by its own offset.
    Date,
    /// Time of day of a date-time, by its own offset.
    Time,
    /// Largest integer not above.
    Floor,
    /// Smallest integer not below.
    Ceiling,
    /// Nearest integer; a half goes away from zero.
    Round,
    /// `geo.distance(a, b)`: great-circle distance of two points in kilometres.
    GeoDistance,
    /// `cast(value, Edm.String)`: a number, truth value or time as text.
    CastText,
    /// The time at which the question is asked. Whoever answers puts it in ([`Query::at`](crate::query::Query::at)); otherwise it is null.
    Now,
}

impl Function {
    /// All functions.
    pub const ALL: [Self; 25] = [
        Self::ToLower,
        Self::ToUpper,
        Self::Trim,
        Self::Length,
        Self::Concat,
        Self::IndexOf,
        Self::Substring,
        Self::Replace,
        Self::StartsWith,
        Self::EndsWith,
        Self::Contains,
        Self::Year,
        Self::Month,
        Self::Day,
        Self::Hour,
        Self::Minute,
        Self::Second,
        Self::Date,
        Self::Time,
        Self::Floor,
        Self::Ceiling,
        Self::Round,
        Self::GeoDistance,
        Self::CastText,
        Self::Now,
    ];

    /// The fewest and the most arguments.
    pub fn arity(self) -> (usize, usize) {
        match self {
            Self::Concat
            | Self::IndexOf
            | Self::StartsWith
            | Self::EndsWith
            | Self::Contains
            | Self::GeoDistance => (2, 2),
            Self::Substring => (2, 3),
            Self::Replace => (3, 3),
            Self::Now => (0, 0),
            _ => (1, 1),
        }
    }

    /// The name in OData version 4.
    pub fn name(self) -> &'static str {
        match self {
            Self::ToLower => "tolower",
            Self::ToUpper => "toupper",
            Self::Trim => "trim",
            Self::Length => "length",
            Self::Concat => "concat",
            Self::IndexOf => "indexof",
            Self::Substring => "substring",
            Self::Replace => "replace",
            Self::StartsWith => "startswith",
            Self::EndsWith => "endswith",
            Self::Contains => "contains",
            Self::Year => "year",
            Self::Month => "month",
            Self::Day => "day",
            Self::Hour => "hour",
            Self::Minute => "minute",
            Self::Second => "second",
            Self::Date => "date",
            Self::Time => "time",
            Self::Floor => "floor",
            Self::Ceiling => "ceiling",
            Self::Round => "round",
            Self::GeoDistance => "geo.distance",
            Self::CastText => "cast",
            Self::Now => "now",
        }
    }
}

impl FieldPath {
    /// The path to a top-level member.
    pub fn new(name: impl Into<String>) -> Self {
        Self(vec![name.into()])
    }

    /// A path of one or more members; `None` for an empty list.
    pub fn nested(names: Vec<String>) -> Option<Self> {
        (!names.is_empty()).then_some(Self(names))
    }

    /// The name of the top-level member.
    pub fn head(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }

    /// The members below the top level.
    pub fn rest(&self) -> &[String] {
        self.0.get(1..).unwrap_or_default()
    }

    /// All members, outermost first.
    pub fn segments(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("/"))
    }
}

impl fmt::Debug for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl From<&str> for FieldPath {
    /// Splits at `/`.
    fn from(text: &str) -> Self {
        Self(text.split('/').map(str::to_owned).collect())
    }
}

impl From<String> for FieldPath {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}
