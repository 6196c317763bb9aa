//! Building queries in Rust: `field("done").eq(false)`.

use super::{BinaryOp, Cursor, Direction, Expr, FieldPath, Function, Literal, OrderBy, Query};
use crate::timestamp::{Date, TimeOfDay, Timestamp};

/// A member of a record, the start of most filters.
///
/// ```
/// use synctable_core::query::field;
/// let filter = field("title").contains("milk").or(field("due").is_null());
/// ```
pub fn field(name: impl Into<FieldPath>) -> Field {
    Field(Expr::Field(name.into()))
}

/// A value that can be compared; made by [`field`].
#[derive(Debug, Clone, PartialEq)]
pub struct Field(Expr);

impl Query {
    /// All records.
    pub fn all() -> Self {
        Self::default()
    }

    /// Only records that match; several filters must all match.
    #[must_use]
    pub fn filter(mut self, filter: impl Into<Expr>) -> Self {
        let filter = filter.into();
        self.filter = Some(match self.filter.take() {
            Some(earlier) => earlier.and(filter),
            None => filter,
        });
        self
    }

    /// Only records that whoever asks may know of: see [`Query::within`](Self::within). Several rules must all match.
    #[must_use]
    pub fn within(mut self, rule: impl Into<Expr>) -> Self {
        let rule = rule.into();
        self.within = Some(match self.within.take() {
            Some(earlier) => earlier.and(rule),
            None => rule,
        });
        self
    }

    /// Ordered by `path`, small first; after the orders already given.
    #[must_use]
    pub fn order_by(self, path: impl Into<FieldPath>) -> Self {
        self.ordered(path.into(), Direction::Ascending)
    }

    /// Ordered by `path`, large first; after the orders already given.
    #[must_use]
    pub fn order_by_desc(self, path: impl Into<FieldPath>) -> Self {
        self.ordered(path.into(), Direction::Descending)
    }

    fn ordered(mut self, path: FieldPath, direction: Direction) -> Self {
        self.order.push(OrderBy { path, direction });
        self
    }

    /// Without the first `count` records of the result.
    #[must_use]
    pub fn skip(mut self, count: u64) -> Self {
        self.skip = count;
        self
    }

    /// At most `count` records in the whole result.
    #[must_use]
    pub fn top(mut self, count: u64) -> Self {
        self.top = Some(count);
        self
    }

    /// At most `count` records a page.
    #[must_use]
    pub fn page(mut self, count: u32) -> Self {
        self.page = Some(count);
        self
    }

    /// Starting behind a position of an earlier page.
    #[must_use]
    pub fn after(mut self, cursor: Option<Cursor>) -> Self {
        self.after = cursor;
        self
    }
}

impl Expr {
    /// Both must hold.
    #[must_use]
    pub fn and(self, other: impl Into<Self>) -> Self {
        self.binary(BinaryOp::And, other.into())
    }

    /// One must hold.
    #[must_use]
    pub fn or(self, other: impl Into<Self>) -> Self {
        self.binary(BinaryOp::Or, other.into())
    }

    /// Must not hold.
    #[must_use]
    #[expect(
        clippy::should_implement_trait,
        reason = "reads as the operator of the filter language"
    )]
    pub fn not(self) -> Self {
        Self::Not(Box::new(self))
    }

    pub(crate) fn binary(self, op: BinaryOp, other: Self) -> Self {
        Self::Binary(op, Box::new(self), Box::new(other))
    }
}

macro_rules! comparisons {
    ($($(#[$doc:meta])* $name:ident => $op:ident;)*) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $name(self, other: impl Into<Expr>) -> Expr {
            self.0.binary(BinaryOp::$op, other.into())
        }
    )*};
}

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident => $function:ident;)*) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $name(self, other: impl Into<Expr>) -> Expr {
            Expr::Call(Function::$function, vec![self.0, other.into()])
        }
    )*};
}

macro_rules! derived {
    ($($(#[$doc:meta])* $name:ident => $function:ident;)*) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $name(self) -> Self {
            Self(Expr::Call(Function::$function, vec![self.0]))
        }
    )*};
}

macro_rules! combined {
    ($($(#[$doc:meta])* $name:ident($other:ident) => |$left:ident| $value:expr;)*) => {$(
        $(#[$doc])*
        #[must_use]
        #[allow(clippy::should_implement_trait, reason = "reads as the operator of the filter language")]
        pub fn $name(self, $other: impl Into<Expr>) -> Self {
            let ($left, $other) = (self.0, $other.into());
            Self($value)
        }
    )*};
}

impl Field {
    comparisons! {
        /// Equal; `null` equals `null`.
        eq => Eq;
        /// Not equal; `null` differs from every value.
        ne => Ne;
        /// Greater.
        gt => Gt;
        /// Greater or equal.
        ge => Ge;
        /// Less.
        lt => Lt;
        /// Less or equal.
        le => Le;
    }

    texts! {
        /// The text contains `other`.
        contains => Contains;
        /// The text starts with `other`.
        starts_with => StartsWith;
        /// The text ends with `other`.
        ends_with => EndsWith;
    }

    derived! {
        /// The text in lower case.
        to_lower => ToLower;
        /// The text in upper case.
        to_upper => ToUpper;
        /// The text without white space at its ends.
        trim => Trim;
        /// The number of characters of the text.
        length => Length;
        /// The year.
        year => Year;
        /// The month, 1 to 12.
        month => Month;
        /// The day of the month, 1 to 31.
        day => Day;
        /// The hour, 0 to 23.
        hour => Hour;
        /// The minute, 0 to 59.
        minute => Minute;
        /// The second, 0 to 59.
        second => Second;
        /// The date, by the time's own offset.
        date => Date;
        /// The time of day, by the time's own offset.
        time => Time;
        /// A number, truth value or time as text.
        cast_text => CastText;
        /// The next whole number below.
        floor => Floor;
        /// The next whole number above.
        ceiling => Ceiling;
        /// The nearest whole number; a half goes away from zero.
        round => Round;
    }

    combined! {
        /// The text with `other` behind it.
        concat(other) => |text| Expr::Call(Function::Concat, vec![text, other]);
        /// Where `other` starts in the text, counted from 0; -1 where it is not in it.
        index_of(other) => |text| Expr::Call(Function::IndexOf, vec![text, other]);
        /// The text from a place on, counted from 0.
        substring(start) => |text| Expr::Call(Function::Substring, vec![text, start]);
        /// The kilometres to a point.
        distance(point) => |place| Expr::Call(Function::GeoDistance, vec![place, point]);
        /// The sum.
        add(other) => |number| number.binary(BinaryOp::Add, other);
        /// The difference.
        sub(other) => |number| number.binary(BinaryOp::Sub, other);
        /// The product.
        mul(other) => |number| number.binary(BinaryOp::Mul, other);
        /// The quotient; that of two whole numbers is whole.
        div(other) => |number| number.binary(BinaryOp::Div, other);
        /// The remainder.
        rem(other) => |number| number.binary(BinaryOp::Mod, other);
    }

    /// The text with every `from` turned into `to`.
    #[must_use]
    pub fn replace(self, from: impl Into<Expr>, to: impl Into<Expr>) -> Self {
        let arguments = vec![self.0, from.into(), to.into()];
        Self(Expr::Call(Function::Replace, arguments))
    }

    /// Missing or null.
    #[must_use]
    pub fn is_null(self) -> Expr {
        self.eq(Literal::Null)
    }

    /// Neither missing nor null.
    #[must_use]
    pub fn is_not_null(self) -> Expr {
        self.ne(Literal::Null)
    }

    /// Equal to one of `values`. Without values nothing matches.
    #[must_use]
    pub fn is_in<E: Into<Expr>>(self, values: impl IntoIterator<Item = E>) -> Expr {
        let values: Vec<Expr> = values.into_iter().map(Into::into).collect();
        if values.is_empty() {
            Expr::from(false)
        } else {
            Expr::In(Box::new(self.0), values)
        }
    }
}

impl From<Field> for Expr {
    fn from(field: Field) -> Self {
        field.0
    }
}

impl From<Literal> for Expr {
    fn from(literal: Literal) -> Self {
        Self::Literal(literal)
    }
}

macro_rules! literals {
    ($($ty:ty => |$value:ident| $literal:expr;)*) => {$(
        impl From<$ty> for Expr {
            fn from($value: $ty) -> Self {
                Self::Literal($literal)
            }
        }
    )*};
}
literals! {
    bool => |value| Literal::Bool(value);
    i32 => |value| Literal::Int(value.into());
    u32 => |value| Literal::Int(value.into());
    i64 => |value| Literal::Int(value);
    f64 => |value| if value.is_nan() { Literal::Null } else { Literal::Float(value) };
    &str => |value| Literal::String(value.to_owned());
    String => |value| Literal::String(value);
    &String => |value| Literal::String(value.clone());
    Timestamp => |value| Literal::DateTime(value);
    Date => |value| Literal::Date(value);
    TimeOfDay => |value| Literal::Time(value);
}
