//! Positions between records in an ordered result.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::OrderBy;
use super::eval::{SortKey, SortValue};
use crate::name::RecordId;
use crate::store::{StoreError, StoreErrorKind};
use crate::timestamp::{Date, TimeOfDay, Timestamp};

/// A position behind one record of an ordered result; the next page starts there.
///
/// It holds the record's place in the order by value, so it stays good when records come and go.
/// Its text is opaque and can be kept.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Cursor(Arc<str>);

/// A cursor read back.
#[derive(Debug, Clone, PartialEq)]
pub struct Position {
    /// The place of the last record that was seen.
    pub key: SortKey,
    /// How many records the query's `top` has left behind it.
    pub left: Option<u64>,
}

/// Text that is not a cursor, or a cursor of a query with another order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the page cursor does not belong to this query; start again from the first page")]
pub struct CursorError;

impl Cursor {
    /// The position behind the record with this place in the order; `left` is what `top` has left.
    pub fn new(key: &SortKey, left: Option<u64>) -> Self {
        let values = key.values.iter().map(Stored::from).collect();
        let text = Text {
            values,
            id: key.id.as_str().to_owned(),
            left,
        };
        // Texts, whole and finite numbers always have a JSON form.
        Self(serde_json::to_string(&text).unwrap_or_default().into())
    }

    /// The position behind the record with this id, in a query without an order.
    pub fn behind(id: RecordId) -> Self {
        let values = Vec::new();
        Self::new(&SortKey { values, id }, None)
    }

    /// Wraps text that [`as_str`](Self::as_str) gave. Whether it fits a query shows when it is used.
    pub fn from_text(text: &str) -> Self {
        Self(text.into())
    }

    /// The cursor as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads the cursor for a query with this order.
    pub fn position(&self, order: &[OrderBy]) -> Result<Position, CursorError> {
        let text: Text = serde_json::from_str(&self.0).map_err(|_| CursorError)?;
        if text.values.len() != order.len() {
            return Err(CursorError);
        }
        let values = text
            .values
            .into_iter()
            .map(SortValue::try_from)
            .collect::<Result<_, _>>()?;
        Ok(Position {
            key: SortKey {
                values,
                // Not checked: it is only compared, and the engine's own tables have ids of other forms.
                id: RecordId::system(&text.id),
            },
            left: text.left,
        })
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cursor(..)")
    }
}

impl From<CursorError> for StoreError {
    fn from(error: CursorError) -> Self {
        let message = "the page asked for cannot be found";
        Self::new(StoreErrorKind::Other, message).with_source(error)
    }
}

/// The text form. Short names: cursors travel in URLs.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    #[serde(rename = "k", default, skip_serializing_if = "Vec::is_empty")]
    values: Vec<Stored>,
    #[serde(rename = "i")]
    id: String,
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    left: Option<u64>,
}

#[derive(Serialize, Deserialize)]
enum Stored {
    #[serde(rename = "n")]
    Null,
    #[serde(rename = "b")]
    Bool(bool),
    #[serde(rename = "i")]
    Int(i64),
    /// The bits: the text of a float need not read back as the same float everywhere.
    #[serde(rename = "f")]
    Float(u64),
    #[serde(rename = "z")]
    DateTime(i64),
    #[serde(rename = "d")]
    Date(i32),
    #[serde(rename = "t")]
    Time(i64),
    #[serde(rename = "e")]
    Enum(u32),
    #[serde(rename = "s")]
    Text(String),
    #[serde(rename = "o")]
    Other,
}

impl From<&SortValue> for Stored {
    fn from(value: &SortValue) -> Self {
        match value {
            SortValue::Null => Self::Null,
            SortValue::Bool(value) => Self::Bool(*value),
            SortValue::Int(value) => Self::Int(*value),
            SortValue::Float(value) => Self::Float(value.to_bits()),
            SortValue::DateTime(time) => Self::DateTime(time.ticks()),
            SortValue::Date(date) => Self::Date(date.days()),
            SortValue::Time(time) => Self::Time(time.ticks()),
            SortValue::Enum(position) => Self::Enum(*position),
            SortValue::Text(text) => Self::Text(text.clone()),
            SortValue::Other => Self::Other,
        }
    }
}

impl TryFrom<Stored> for SortValue {
    type Error = CursorError;

    fn try_from(value: Stored) -> Result<Self, CursorError> {
        Ok(match value {
            Stored::Null => Self::Null,
            Stored::Bool(value) => Self::Bool(value),
            Stored::Int(value) => Self::Int(value),
            Stored::Float(bits) => Self::Float(
                Some(f64::from_bits(bits))
                    .filter(|f| f.is_finite())
                    .ok_or(CursorError)?,
            ),
            Stored::DateTime(ticks) => Self::DateTime(Timestamp::from_ticks(ticks)),
            Stored::Date(days) => Self::Date(Date::from_days(days)),
            Stored::Time(ticks) => Self::Time(TimeOfDay::from_ticks(ticks)),
            Stored::Enum(position) => Self::Enum(position),
            Stored::Text(text) => Self::Text(text),
            Stored::Other => Self::Other,
        })
    }
}
