//! The types of fields.

use std::fmt;

use base64::Engine as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::timestamp::{Date, TimeOfDay, Timestamp};

/// The type of a declared field. `null` and a missing member fit every type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum FieldType {
    /// Text.
    String,
    /// A whole number from -2^63 to 2^63 - 1.
    Integer,
    /// Any number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// A calendar date as text: `2026-01-31`.
    Date,
    /// A time of day as text: `12:30:00.000`.
    Time,
    /// A point in time as text with an offset: `2026-01-31T12:30:00.000Z`.
    DateTime,
    /// Bytes as base64 text.
    Bytes,
    /// A GeoJSON point: `{"type":"Point","coordinates":[longitude,latitude]}`.
    GeoPoint,
    /// Any JSON value.
    Json,
    /// One of a list of words, ordered by their place in the list.
    Enum(Vec<String>),
}

impl FieldType {
    /// True when the JSON text of a value fits this type; `null` fits every type.
    pub fn fits(&self, text: &str) -> bool {
        let Ok(value) = serde_json::from_str::<Value>(text) else {
            return false;
        };
        match (self, &value) {
            (_, Value::Null)
            | (Self::Json, _)
            | (Self::String, Value::String(_))
            | (Self::Boolean, Value::Bool(_))
            | (Self::Number, Value::Number(_)) => true,
            (Self::Integer, Value::Number(number)) => number.is_i64(),
            (Self::Date, Value::String(text)) => text.parse::<Date>().is_ok(),
            (Self::Time, Value::String(text)) => text.parse::<TimeOfDay>().is_ok(),
            (Self::DateTime, Value::String(text)) => text.parse::<Timestamp>().is_ok(),
            (Self::Bytes, Value::String(text)) => base64::engine::general_purpose::STANDARD
                .decode(text)
                .is_ok(),
            (Self::GeoPoint, value) => geo_point(value).is_some(),
            (Self::Enum(words), Value::String(text)) => words.contains(text),
            _ => false,
        }
    }
}

/// Longitude and latitude of a GeoJSON point, in degrees and in range.
pub(crate) fn geo_point(value: &Value) -> Option<(f64, f64)> {
    let object = value.as_object()?;
    if object.get("type")?.as_str()? != "Point" {
        return None;
    }
    match object.get("coordinates")?.as_array()?.as_slice() {
        [longitude, latitude] => {
            let (longitude, latitude) = (longitude.as_f64()?, latitude.as_f64()?);
            (longitude.abs() <= 180.0 && latitude.abs() <= 90.0).then_some((longitude, latitude))
        }
        _ => None,
    }
}

impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String => f.write_str("text"),
            Self::Integer => f.write_str("an integer from -2^63 to 2^63-1"),
            Self::Number => f.write_str("a number"),
            Self::Boolean => f.write_str("true or false"),
            Self::Date => f.write_str("a date such as 2026-01-31"),
            Self::Time => f.write_str("a time of day such as 12:30:00"),
            Self::DateTime => {
                f.write_str("a date-time with offset such as 2026-01-31T12:30:00.000Z")
            }
            Self::Bytes => f.write_str("bytes as base64 text"),
            Self::GeoPoint => f.write_str("a GeoJSON point"),
            Self::Json => f.write_str("any JSON value"),
            Self::Enum(words) => write!(f, "one of {}", words.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_judge_values() {
        let cases = [
            (FieldType::Integer, "9223372036854775807", true),
            (FieldType::Integer, "9223372036854775808", false),
            (FieldType::Integer, "1.0", false),
            (FieldType::Number, "1.0", true),
            (FieldType::String, "1", false),
            (FieldType::Date, "\"2024-02-30\"", false),
            (FieldType::Bytes, "\"AAAA\"", true),
            (FieldType::Bytes, "\"*\"", false),
            (
                FieldType::GeoPoint,
                r#"{"type":"Point","coordinates":[1,2]}"#,
                true,
            ),
            (
                FieldType::GeoPoint,
                r#"{"type":"Point","coordinates":[1,200]}"#,
                false,
            ),
            (FieldType::Enum(vec!["G".into()]), "\"R\"", false),
            (FieldType::Boolean, "null", true),
        ];
        for (ty, text, fits) in cases {
            assert_eq!(ty.fits(text), fits, "{ty} {text}");
        }
    }
}
