//! Records as rows and back, exactly.

use std::borrow::Cow;
use std::fmt::Write as _;

use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Row, Statement, ToSql};
use synctable_core::store::StoreError;
use synctable_core::{
    Date, FieldType, Record, RecordId, SystemProperties, TimeOfDay, Timestamp, Version,
};

use crate::error::{corrupt, from_sqlite};
use crate::layout::{Column, LEADING, TableLayout, json_text, push_json_text};

/// A value on its way into a column.
#[derive(Debug, Clone, PartialEq)]
enum Slot<'a> {
    Null,
    Int(i64),
    Real(f64),
    Text(Cow<'a, str>),
}

impl ToSql for Slot<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Null => ToSqlOutput::Owned(Value::Null),
            Self::Int(value) => ToSqlOutput::Owned(Value::Integer(*value)),
            Self::Real(value) => ToSqlOutput::Owned(Value::Real(*value)),
            Self::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
        })
    }
}

/// Binds `record` to the parameters of the table's upsert.
pub(crate) fn bind(
    statement: &mut Statement<'_>,
    layout: &TableLayout,
    record: &Record,
) -> rusqlite::Result<()> {
    let row = encode(layout, record);
    let system = record.system();
    statement.raw_bind_parameter(1, record.id().as_str())?;
    statement.raw_bind_parameter(2, system.version.as_ref().map(Version::as_str))?;
    statement.raw_bind_parameter(3, system.created_at.map(Timestamp::ticks))?;
    statement.raw_bind_parameter(4, system.updated_at.map(Timestamp::ticks))?;
    statement.raw_bind_parameter(5, system.deleted)?;
    statement.raw_bind_parameter(6, row.json)?;
    let mut at = LEADING.len();
    for slot in &row.slots {
        at += 1;
        statement.raw_bind_parameter(at, slot)?;
    }
    statement.raw_bind_parameter(at + 1, row.odd.then_some(1))
}

/// The members of a record, spread over columns.
struct Encoded<'a> {
    slots: Vec<Slot<'a>>,
    json: Option<&'a str>,
    odd: bool,
}

fn encode<'a>(layout: &TableLayout, record: &'a Record) -> Encoded<'a> {
    let body = record.body();
    let columns = &layout.columns;
    let mut row = Encoded {
        slots: vec![Slot::Null; columns.len()],
        json: Some(body),
        odd: false,
    };
    if columns.is_empty() {
        return row;
    }
    // `exact` stays true while the columns would print what was read so far.
    let mut exact = true;
    let (mut next, mut present, mut nulls, mut length) = (0, 0_usize, 0_usize, 2);
    for (name, text) in record.members() {
        let expected = columns.get(next).filter(|column| column.name == name);
        let Some(at) = expected.map_or_else(|| layout.position(&name), |_| Some(next)) else {
            exact = false;
            continue;
        };
        let (Some(column), Some(slot)) = (columns.get(at), row.slots.get_mut(at)) else {
            continue;
        };
        exact &= at >= next;
        next = at + 1;
        present += 1;
        length += column.key.len() + text.len() + 1;
        if text == "null" {
            nulls += 1;
            *slot = Slot::Null;
            continue;
        }
        if let Some((value, canonical)) = convert(column, text) {
            *slot = value;
            exact &= canonical;
        } else {
            *slot = Slot::Null;
            exact = false;
            row.odd = true;
        }
    }
    // Any other spelling of the names and any space between members makes the text longer.
    length -= usize::from(present > 0);
    if exact && length == body.len() {
        if nulls == 0 {
            row.json = None;
        } else if present == columns.len() {
            row.json = Some("");
        }
    }
    row
}

/// The column value of a JSON text that is not `null`, and whether the value prints as that same text;
/// `None` where the text does not fit the type.
fn convert<'a>(column: &Column, text: &'a str) -> Option<(Slot<'a>, bool)> {
    match &column.ty {
        FieldType::String | FieldType::Bytes => {
            let (value, canonical) = text_of(text)?;
            Some((Slot::Text(value), canonical))
        }
        FieldType::Integer => Some((Slot::Int(integer_of(text)?), true)),
        FieldType::Number => {
            if let Some(value) = integer_of(text) {
                return Some((Slot::Int(value), true));
            }
            let value: f64 = serde_json::from_str(text).ok()?;
            // -0.0 equals 0.0 in SQL, which would take the two rows for the same.
            let canonical = value != 0.0 || value.is_sign_positive();
            Some((Slot::Real(value), canonical && json_number(value) == text))
        }
        FieldType::Boolean => match text {
            "true" => Some((Slot::Int(1), true)),
            "false" => Some((Slot::Int(0), true)),
            _ => None,
        },
        FieldType::Date => {
            let (text, canonical) = text_of(text)?;
            let date: Date = text.parse().ok()?;
            // A date has one spelling only.
            Some((Slot::Int(date.days().into()), canonical))
        }
        FieldType::Time => {
            let (text, canonical) = text_of(text)?;
            let time: TimeOfDay = text.parse().ok()?;
            let canonical = canonical && prints_as(&time, &text);
            Some((Slot::Int(time.ticks()), canonical))
        }
        FieldType::DateTime => {
            let (text, canonical) = text_of(text)?;
            let time: Timestamp = text.parse().ok()?;
            let canonical = canonical && prints_as(&time, &text);
            Some((Slot::Int(time.ticks()), canonical))
        }
        FieldType::Enum(words) => {
            let (word, canonical) = text_of(text)?;
            let at = words.iter().position(|known| *known == word)?;
            Some((Slot::Int(i64::try_from(at).ok()?), canonical))
        }
        FieldType::GeoPoint => column
            .ty
            .fits(text)
            .then_some((Slot::Text(Cow::Borrowed(text)), true)),
        FieldType::Json => Some((Slot::Text(Cow::Borrowed(text)), true)),
    }
}

/// The text of a JSON string, and whether it prints as it came.
fn text_of(text: &str) -> Option<(Cow<'_, str>, bool)> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        let value: String = serde_json::from_str(text).ok()?;
        let canonical = json_text(&value) == text;
        Some((Cow::Owned(value), canonical))
    } else {
        Some((Cow::Borrowed(inner), true))
    }
}

/// The integer of a JSON text. `-0` is none: it stands for a floating-point zero.
fn integer_of(text: &str) -> Option<i64> {
    if text == "-0" {
        return None;
    }
    text.parse().ok()
}

fn json_number(value: f64) -> String {
    serde_json::Value::from(value).to_string()
}

/// Compares what `value` displays with `text`, without building a text.
fn prints_as(value: &impl std::fmt::Display, text: &str) -> bool {
    struct Rest<'a>(&'a str);
    impl std::fmt::Write for Rest<'_> {
        fn write_str(&mut self, part: &str) -> std::fmt::Result {
            self.0 = self.0.strip_prefix(part).ok_or(std::fmt::Error)?;
            Ok(())
        }
    }
    let mut rest = Rest(text);
    write!(rest, "{value}").is_ok() && rest.0.is_empty()
}

/// The record of a row that starts with the select list of `layout`.
pub(crate) fn decode(layout: &TableLayout, row: &Row<'_>) -> Result<Record, StoreError> {
    let value = |at| row.get_ref(at).map_err(from_sqlite);
    let id = RecordId::system(required_text(value(0)?)?);
    let system = SystemProperties {
        version: text(value(1)?)?.map(Version::new),
        created_at: integer(value(2)?)?.map(Timestamp::from_ticks),
        updated_at: integer(value(3)?)?.map(Timestamp::from_ticks),
        deleted: integer(value(4)?)? == Some(1),
    };
    match text(value(5)?)? {
        None => Ok(Record::from_stored(id, system, print(layout, row, false)?)),
        Some("") => Ok(Record::from_stored(id, system, print(layout, row, true)?)),
        Some(body) => Ok(Record::from_stored(id, system, body)),
    }
}

/// The body that the columns print.
fn print(layout: &TableLayout, row: &Row<'_>, nulls: bool) -> Result<String, StoreError> {
    let mut out = String::with_capacity(256);
    out.push('{');
    for (at, column) in layout.columns.iter().enumerate() {
        let value = row.get_ref(LEADING.len() + at).map_err(from_sqlite)?;
        if value == ValueRef::Null && !nulls {
            continue;
        }
        if out.len() > 1 {
            out.push(',');
        }
        out.push_str(&column.key);
        print_value(&mut out, column, value)?;
    }
    out.push('}');
    Ok(out)
}

fn print_value(out: &mut String, column: &Column, value: ValueRef<'_>) -> Result<(), StoreError> {
    let printed = match (&column.ty, value) {
        (_, ValueRef::Null) => {
            out.push_str("null");
            Ok(())
        }
        (FieldType::String | FieldType::Bytes, value) => {
            push_json_text(out, required_text(value)?);
            Ok(())
        }
        (FieldType::GeoPoint | FieldType::Json, value) => {
            out.push_str(required_text(value)?);
            Ok(())
        }
        (FieldType::Number, ValueRef::Real(value)) => write!(out, "{}", json_number(value)),
        (ty, value) => {
            let value = integer(value)?.ok_or_else(corrupt)?;
            match ty {
                FieldType::Boolean => write!(out, "{}", value != 0),
                FieldType::Date => {
                    let days = i32::try_from(value).map_err(|_| corrupt())?;
                    write!(out, "\"{}\"", Date::from_days(days))
                }
                FieldType::Time => write!(out, "\"{}\"", TimeOfDay::from_ticks(value)),
                FieldType::DateTime => write!(out, "\"{}\"", Timestamp::from_ticks(value)),
                FieldType::Enum(_) => {
                    let word = usize::try_from(value)
                        .ok()
                        .and_then(|at| column.words.get(at))
                        .ok_or_else(corrupt)?;
                    out.push_str(word);
                    Ok(())
                }
                _ => write!(out, "{value}"),
            }
        }
    };
    printed.map_err(|_| corrupt())
}

fn required_text(value: ValueRef<'_>) -> Result<&str, StoreError> {
    text(value)?.ok_or_else(corrupt)
}

fn text(value: ValueRef<'_>) -> Result<Option<&str>, StoreError> {
    match value {
        ValueRef::Null => Ok(None),
        ValueRef::Text(bytes) => std::str::from_utf8(bytes).map(Some).map_err(|_| corrupt()),
        _ => Err(corrupt()),
    }
}

fn integer(value: ValueRef<'_>) -> Result<Option<i64>, StoreError> {
    match value {
        ValueRef::Null => Ok(None),
        ValueRef::Integer(value) => Ok(Some(value)),
        _ => Err(corrupt()),
    }
}
