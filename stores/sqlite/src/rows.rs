//! Records as rows and back, exactly.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt::Write as _;
use std::sync::Arc;

use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Row, Statement, ToSql};
use serde_json::Number;
use synctable_core::store::{Revision, StoreError};
use synctable_core::{
    Date, FieldType, Record, RecordId, SystemProperties, TimeOfDay, Timestamp, Version,
    push_json_text,
};

use crate::error::{corrupt, from_sqlite};
use crate::layout::{Column, LEADING, TableLayout, json_text};

/// The most bytes of a printed body that are kept for the next one.
const MOST_ROOM: usize = 64 << 10;

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

/// Binds `record` with its new revision to the parameters of the table's upsert.
pub(crate) fn bind(
    statement: &mut Statement<'_>,
    layout: &TableLayout,
    record: &Record,
    revision: u64,
) -> rusqlite::Result<()> {
    let row = encode(layout, record);
    let system = record.system();
    statement.raw_bind_parameter(1, record.id().as_str())?;
    statement.raw_bind_parameter(2, system.version.as_ref().map(Version::as_str))?;
    statement.raw_bind_parameter(3, system.created_at.map(Timestamp::ticks))?;
    statement.raw_bind_parameter(4, system.updated_at.map(Timestamp::ticks))?;
    statement.raw_bind_parameter(5, system.deleted)?;
    statement.raw_bind_parameter(6, row.json)?;
    statement.raw_bind_parameter(7, revision.cast_signed())?;
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
        FieldType::Integer => integer_of(text),
        FieldType::Number => integer_of(text).or_else(|| {
            let value: f64 = text.parse().ok().filter(|value: &f64| value.is_finite())?;
            // -0.0 equals 0.0 in SQL, which would take the two rows for the same.
            let canonical = value != 0.0 || value.is_sign_positive();
            let printed = || Number::from_f64(value).is_some_and(|value| prints_as(&value, text));
            Some((Slot::Real(value), canonical && printed()))
        }),
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
        // Points, any JSON, and types that this store does not know: by their text.
        ty => ty
            .fits(text)
            .then_some((Slot::Text(Cow::Borrowed(text)), true)),
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

/// The column value of a JSON integer, and whether it prints as it came.
fn integer_of(text: &str) -> Option<(Slot<'_>, bool)> {
    Some((Slot::Int(text.parse().ok()?), text != "-0"))
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
    let body = match text(value(5)?)? {
        None => printed(layout, row, false)?,
        Some("") => printed(layout, row, true)?,
        Some(body) => body.into(),
    };
    let record = Record::from_stored(id, system, body);
    let revision = match integer(value(6)?)? {
        Some(number) => Revision::from_number(number.cast_unsigned()),
        None => Revision::of_content(&record),
    };
    Ok(record.at(revision))
}

/// The body that the columns print.
fn printed(layout: &TableLayout, row: &Row<'_>, nulls: bool) -> Result<Arc<str>, StoreError> {
    // One row after the other is printed in the same room, and copied into as much as it needs.
    thread_local!(static ROOM: Cell<String> = const { Cell::new(String::new()) });
    let mut room = ROOM.try_with(Cell::take).unwrap_or_default();
    room.clear();
    print(&mut room, layout, row, nulls)?;
    let body = Arc::from(room.as_str());
    if room.capacity() <= MOST_ROOM {
        let _ = ROOM.try_with(|it| it.set(room));
    }
    Ok(body)
}

fn print(
    out: &mut String,
    layout: &TableLayout,
    row: &Row<'_>,
    nulls: bool,
) -> Result<(), StoreError> {
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
        print_value(out, column, value)?;
    }
    out.push('}');
    Ok(())
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
        (FieldType::Number, ValueRef::Real(value)) => {
            let number = Number::from_f64(value).ok_or_else(corrupt)?;
            write!(out, "{number}")
        }
        (ty, value) => {
            let value = integer(value)?.ok_or_else(corrupt)?;
            match ty {
                FieldType::Boolean => {
                    out.push_str(if value == 0 { "false" } else { "true" });
                    Ok(())
                }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rusqlite::Connection;
    use synctable_core::{TableName, TableSchema};
    use synctable_testkit::arb;

    use super::*;
    use crate::layout::{self, JSON, ODD};

    fn table(schema: &TableSchema) -> (Connection, TableLayout) {
        let layout = TableLayout::new(TableName::new("t").unwrap(), schema.clone());
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(&layout::create_table(&layout)).unwrap();
        (conn, layout)
    }

    fn put(conn: &Connection, layout: &TableLayout, record: &Record) {
        let mut put = conn.prepare(&layout.statements.put).unwrap();
        bind(&mut put, layout, record, 1).unwrap();
        put.raw_execute().unwrap();
    }

    fn get(conn: &Connection, layout: &TableLayout) -> Record {
        conn.query_row(&layout.statements.select, [], |row| {
            Ok(decode(layout, row).unwrap())
        })
        .unwrap()
    }

    /// What `__json` and `__odd` hold for a body, and whether the body comes back.
    fn kept(schema: &TableSchema, body: &str) -> (Option<String>, Option<i64>) {
        let (conn, layout) = table(schema);
        let id = RecordId::new("a").unwrap();
        let record = Record::from_stored(id, SystemProperties::default(), body);
        put(&conn, &layout, &record);
        assert_eq!(get(&conn, &layout).body(), body);
        let sql = format!("SELECT \"{JSON}\", \"{ODD}\" FROM t");
        conn.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
    }

    fn schema() -> TableSchema {
        let words = ["PG", "G"].map(str::to_owned).to_vec();
        TableSchema::new()
            .with_field("title", FieldType::String)
            .with_field("score", FieldType::Number)
            .with_field("seen", FieldType::DateTime)
            .with_field("rating", FieldType::Enum(words))
            .with_field("back\\slash", FieldType::Boolean)
    }

    #[test]
    fn usual_bodies_are_kept_in_columns_alone() {
        for body in [
            "{}",
            r#"{"title":"a \"b\" é","score":1.5,"seen":"2024-02-29T11:30:00.500Z","rating":"G","back\\slash":true}"#,
            r#"{"title":"","rating":"PG"}"#,
            r#"{"score":9007199254740993}"#,
        ] {
            assert_eq!(kept(&schema(), body), (None, None), "{body}");
        }
        let nulls = r#"{"title":null,"score":1,"seen":null,"rating":null,"back\\slash":null}"#;
        assert_eq!(kept(&schema(), nulls), (Some(String::new()), None));
    }

    #[test]
    fn unusual_bodies_are_kept_as_text_and_misfits_are_marked() {
        for (body, odd) in [
            (r#"{"score":1.50}"#, None),
            (r#"{"score":1e2}"#, None),
            (r#"{"score":-0.0}"#, None),
            (r#"{"score":-0}"#, None),
            (r#"{"score":12345678901234567890}"#, None),
            (r#"{"seen":"2024-02-29T11:30:00Z"}"#, None),
            (r#"{"title":"\u0061"}"#, None),
            (r#"{"score":1,"title":"a"}"#, None),
            (r#"{"title":null}"#, None),
            (r#"{"title":"a","free":1}"#, None),
            (r#"{ "title":"a"}"#, None),
            (r#"{"title":"a" }"#, None),
            (r#"{"t\u0069tle":"a"}"#, None),
            (r#"{"title":1}"#, Some(1)),
            (r#"{"rating":"R"}"#, Some(1)),
            (r#"{"seen":"2024-02-30T00:00:00Z"}"#, Some(1)),
        ] {
            assert_eq!(
                kept(&schema(), body),
                (Some(body.to_owned()), odd),
                "{body}"
            );
        }
    }

    proptest! {
        #[test]
        fn every_record_comes_back_exactly(
            (schema, records) in arb::schema().prop_flat_map(|schema| {
                let records = prop::collection::vec(arb::record(&schema), 1..4);
                (Just(schema), records)
            })
        ) {
            let (conn, layout) = table(&schema);
            for record in records {
                // Under one id, so that each replaces the one before.
                let record = record.with_id(RecordId::system("a"));
                put(&conn, &layout, &record);
                prop_assert_eq!(get(&conn, &layout).to_json(), record.to_json());
            }
        }
    }
}
