//! Values that expressions work on, and how they compare.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::Value;

use super::Literal;
use crate::record::same_value;
use crate::schema::{FieldType, geo_point};
use crate::timestamp::{Date, TimeOfDay, Timestamp};

/// A value while an expression is evaluated. It borrows from the record, the schema or the expression.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Operand<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Cow<'a, str>),
    Guid(&'a str),
    DateTime(Timestamp),
    Date(Date),
    Time(TimeOfDay),
    /// A declared word by its position.
    Enum {
        position: usize,
        words: &'a [String],
    },
    /// Longitude and latitude.
    Point(f64, f64),
    /// The text of an array or object.
    Json(&'a str),
}

impl<'a> Operand<'a> {
    /// The value of a constant.
    pub(crate) fn of_literal(literal: &'a Literal) -> Self {
        match literal {
            Literal::Null => Self::Null,
            Literal::Bool(value) => Self::Bool(*value),
            Literal::Int(value) => Self::Int(*value),
            Literal::Float(value) => Self::Float(*value),
            Literal::String(text) => Self::Text(Cow::Borrowed(text)),
            Literal::DateTime(time) => Self::DateTime(*time),
            Literal::Date(date) => Self::Date(*date),
            Literal::Time(time) => Self::Time(*time),
            Literal::Guid(text) => Self::Guid(text),
            Literal::Point {
                longitude,
                latitude,
            } => Self::Point(*longitude, *latitude),
        }
    }

    /// The value of JSON text in its natural kind.
    pub(crate) fn of_json(text: &'a str) -> Self {
        match text.as_bytes().first() {
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            Some(b'{' | b'[') => Self::Json(text),
            Some(b'"') => match text.get(1..text.len() - 1) {
                Some(inner) if !inner.contains('\\') => Self::Text(Cow::Borrowed(inner)),
                _ => serde_json::from_str::<String>(text)
                    .map_or(Self::Null, |text| Self::Text(Cow::Owned(text))),
            },
            Some(b'-' | b'0'..=b'9') => match text.parse::<i64>() {
                Ok(number) => Self::Int(number),
                // Not serde_json: it may miss the nearest float by one, and constants are read exactly.
                Err(_) => {
                    let finite = text.parse::<f64>().ok().filter(|float| float.is_finite());
                    finite.map_or(Self::Null, Self::Float)
                }
            },
            _ => Self::Null,
        }
    }

    /// The value of JSON text in a field of a declared type; one that does not fit keeps its natural kind.
    pub(crate) fn of_field(text: &'a str, ty: Option<&'a FieldType>) -> Self {
        let natural = Self::of_json(text);
        let typed = match (ty, &natural) {
            (Some(FieldType::DateTime), Self::Text(text)) => text.parse().ok().map(Self::DateTime),
            (Some(FieldType::Date), Self::Text(text)) => text.parse().ok().map(Self::Date),
            (Some(FieldType::Time), Self::Text(text)) => text.parse().ok().map(Self::Time),
            (Some(FieldType::Enum(words)), Self::Text(text)) => {
                position(words, text).map(|position| Self::Enum { position, words })
            }
            (Some(FieldType::GeoPoint), Self::Json(text)) => {
                point(text).map(|(longitude, latitude)| Self::Point(longitude, latitude))
            }
            _ => None,
        };
        typed.unwrap_or(natural)
    }

    /// The text of a text or a declared word.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Guid(text) => Some(text),
            Self::Enum { position, words } => words.get(*position).map(String::as_str),
            _ => None,
        }
    }

    /// The point of a point or of GeoJSON.
    pub(crate) fn as_point(&self) -> Option<(f64, f64)> {
        match self {
            Self::Point(longitude, latitude) => Some((*longitude, *latitude)),
            Self::Json(text) => point(text),
            _ => None,
        }
    }

    /// Equal in the sense of `eq`: two nulls are equal, values of kinds that do not compare are not.
    pub(crate) fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Json(a), Self::Json(b)) => {
                let (a, b): (Option<Value>, Option<Value>) =
                    (serde_json::from_str(a).ok(), serde_json::from_str(b).ok());
                a.zip(b).is_some_and(|(a, b)| same_value(&a, &b))
            }
            #[expect(clippy::float_cmp, reason = "the same coordinates, not near ones")]
            (Self::Point(a, b), Self::Point(c, d)) => a == c && b == d,
            _ => self.compare(other) == Some(Ordering::Equal),
        }
    }

    /// The order of two values, `None` for null and for kinds that do not compare.
    pub(crate) fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => Some(a.cmp(b)),
            (Self::Int(_) | Self::Float(_), Self::Int(_) | Self::Float(_)) => {
                self.compare_numbers(other)
            }
            (Self::Text(a), Self::Text(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
            (Self::Guid(a), Self::Text(_) | Self::Guid(_)) => {
                other.as_text().map(|b| compare_guids(a, b))
            }
            (Self::Text(a), Self::Guid(b)) => Some(compare_guids(a, b)),
            (Self::DateTime(a), Self::DateTime(b)) => Some(a.cmp(b)),
            (Self::Date(a), Self::Date(b)) => Some(a.cmp(b)),
            (Self::Time(a), Self::Time(b)) => Some(a.cmp(b)),
            (Self::DateTime(a), Self::Date(b)) => Some(a.cmp(&Timestamp::at_midnight(*b))),
            (Self::Date(a), Self::DateTime(b)) => Some(Timestamp::at_midnight(*a).cmp(b)),
            (Self::DateTime(a), Self::Text(b)) => Some(a.cmp(&read_datetime(b)?)),
            (Self::Date(a), Self::Text(b)) => Some(a.cmp(&b.parse().ok()?)),
            (Self::Time(a), Self::Text(b)) => Some(a.cmp(&b.parse().ok()?)),
            (
                Self::Enum {
                    position: a,
                    words: left,
                },
                Self::Enum {
                    position: b,
                    words: right,
                },
            ) if left == right => Some(a.cmp(b)),
            (Self::Enum { .. }, Self::Enum { .. }) => {
                Some(self.as_text()?.as_bytes().cmp(other.as_text()?.as_bytes()))
            }
            (Self::Enum { position: a, words }, Self::Text(b)) => Some(a.cmp(&position(words, b)?)),
            (
                Self::Text(_),
                Self::DateTime(_) | Self::Date(_) | Self::Time(_) | Self::Enum { .. },
            ) => other.compare(self).map(Ordering::reverse),
            _ => None,
        }
    }

    fn compare_numbers(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(b)),
            (Self::Int(a), Self::Float(b)) => Some(compare_int_float(*a, *b)),
            (Self::Float(a), Self::Int(b)) => Some(compare_int_float(*b, *a).reverse()),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(b),
            _ => None,
        }
    }
}

/// Exact, also where the integer has no float of its own. `float` is a number.
pub(crate) fn compare_int_float(int: i64, float: f64) -> Ordering {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0; // 2^63
    if float >= LIMIT {
        return Ordering::Less;
    }
    if float < -LIMIT {
        return Ordering::Greater;
    }
    let whole = float.trunc();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a whole number within the range of i64"
    )]
    let order = int.cmp(&(whole as i64));
    let rest = (float - whole).partial_cmp(&0.0).unwrap_or(Ordering::Equal);
    order.then(rest.reverse())
}

/// The place of a word among the declared ones.
pub(crate) fn position(words: &[String], text: &str) -> Option<usize> {
    words.iter().position(|word| word == text)
}

/// A date-time, or a date at midnight.
pub(crate) fn read_datetime(text: &str) -> Option<Timestamp> {
    text.parse()
        .ok()
        .or_else(|| text.parse().ok().map(Timestamp::at_midnight))
}

fn compare_guids(left: &str, right: &str) -> Ordering {
    let left = left.bytes().map(|byte| byte.to_ascii_lowercase());
    left.cmp(right.bytes().map(|byte| byte.to_ascii_lowercase()))
}

fn point(text: &str) -> Option<(f64, f64)> {
    geo_point(&serde_json::from_str(text).ok()?)
}
