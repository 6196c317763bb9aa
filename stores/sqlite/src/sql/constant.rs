//! Constants, as seen from what they are compared with.

use rusqlite::types::Value;
use synctable_core::query::{Counterpart, Literal, SortValue, ValueKind as Kind};
use synctable_core::{Date, Timestamp};

/// Ticks of 100 ns in a day: what turns a date into the date-time of its midnight.
pub(crate) const TICKS_PER_DAY: i64 = 864_000_000_000;
/// A constant as seen from the kind it is compared with.
pub(crate) enum Constant {
    /// Comparable as it is.
    Plain(Value),
    /// Comparable with a transformed operand: text in front of and behind it.
    Through(&'static str, Value, String),
    /// Never equal, smaller or greater.
    Incomparable,
}

/// How a constant compares with values of a kind; `None` where SQL cannot say it. A null is compared elsewhere.
pub(crate) fn constant(kind: Kind<'_>, literal: &Literal) -> Option<Constant> {
    let through =
        |before, value: i64, after: &str| Constant::Through(before, value.into(), after.into());
    Some(match kind.counterpart(literal) {
        Counterpart::Value(value) => Constant::Plain(column_value(&value)?),
        Counterpart::Never => Constant::Incomparable,
        Counterpart::Depends => match (kind, literal) {
            (Kind::Text, Literal::Guid(value)) => {
                // SQLite's `lower` changes ASCII letters only, which is what is meant here.
                Constant::Through("lower(", value.to_ascii_lowercase().into(), ")".into())
            }
            (Kind::Text, Literal::DateTime(value)) => {
                through("synctable_datetime(", value.ticks(), ")")
            }
            (Kind::Text, Literal::Date(value)) => {
                through("synctable_date(", value.days().into(), ")")
            }
            (Kind::Text, Literal::Time(value)) => through("synctable_time(", value.ticks(), ")"),
            (Kind::Date, Literal::DateTime(value)) => {
                through("(", value.ticks(), &format!(" * {TICKS_PER_DAY})"))
            }
            _ => return None,
        },
    })
}

/// A value as the column of its kind holds it.
pub(crate) fn column_value(value: &SortValue) -> Option<Value> {
    Some(match value {
        SortValue::Null => Value::Null,
        SortValue::Bool(value) => Value::Integer((*value).into()),
        SortValue::Int(value) => Value::Integer(*value),
        SortValue::Float(value) => Value::Real(*value),
        SortValue::Text(value) => Value::Text(value.clone()),
        SortValue::DateTime(value) => Value::Integer(value.ticks()),
        SortValue::Date(value) => Value::Integer(value.days().into()),
        SortValue::Time(value) => Value::Integer(value.ticks()),
        SortValue::Enum(value) => Value::Integer((*value).into()),
        SortValue::Other => return None,
    })
}

/// A text as a date-time, or as a date at its midnight.
pub(crate) fn date_time(text: &str) -> Option<Timestamp> {
    text.parse().ok().or_else(|| {
        let date: Date = text.parse().ok()?;
        Some(Timestamp::at_midnight(date))
    })
}
