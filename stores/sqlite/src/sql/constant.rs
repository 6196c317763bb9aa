//! Constants, as seen from what they are compared with.

use rusqlite::types::Value;
use synctable_core::query::Literal;
use synctable_core::{Date, TimeOfDay, Timestamp};

/// Ticks of 100 ns in a day: what turns a date into the date-time of its midnight.
pub(crate) const TICKS_PER_DAY: i64 = 864_000_000_000;
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
    let ticks = |time: Timestamp| Value::Integer(time.ticks());
    let days = |date: Date| Value::Integer(date.days().into());
    let clock = |time: TimeOfDay| Value::Integer(time.ticks());
    let times_day = || format!(" * {TICKS_PER_DAY})");
    let parsed = |value: Option<Value>| value.map_or(Constant::Incomparable, Constant::Plain);
    Some(match (kind, literal) {
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
        (Kind::Other | Kind::Any, _) | (_, Literal::Guid(_) | Literal::Null) => return None,
        _ => Constant::Incomparable,
    })
}

/// A text as a date-time, or as a date at its midnight.
pub(crate) fn date_time(text: &str) -> Option<Timestamp> {
    text.parse().ok().or_else(|| {
        let date: Date = text.parse().ok()?;
        Some(Timestamp::at_midnight(date))
    })
}
