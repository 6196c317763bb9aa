//! What is declared about tables: fields and their types, indexes, options.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use thiserror::Error;

use crate::name::TableName;
use crate::record::{Record, SYSTEM_PROPERTIES};
use crate::timestamp::{Date, TimeOfDay, Timestamp};

/// The declared tables. Serialises to and from the schema file:
///
/// ```
/// # use synctable_core::Schema;
/// let schema = Schema::from_json(r#"{"tables": {"movies": {
///     "fields": {"title": "string", "year": "integer", "rating": {"enum": ["G", "PG", "R"]}},
///     "indexes": [["year"]]}}}"#).unwrap();
/// assert_eq!(schema.tables().count(), 1);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schema {
    #[serde(default)]
    tables: BTreeMap<TableName, TableSchema>,
}

/// What is declared about one table. A table without declared fields takes any member.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct TableSchema {
    /// Server: keep tombstones instead of removing rows. Default false.
    pub soft_delete: bool,
    /// Server: rows in a page. `None` is the server's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_size: Option<u32>,
    /// Server: the largest `$top`. `None` is the server's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_top: Option<u32>,
    /// Device: records of this table are never pushed and it cannot be pulled. Default false.
    pub local_only: bool,
    /// The declared fields in their order. Members outside this list stay free.
    pub fields: Fields,
    /// The declared indexes.
    pub indexes: Vec<IndexSpec>,
}

/// A list of declared fields; a JSON object that keeps its order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, FieldType)>);

/// An index over one or more fields, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IndexSpec {
    /// The names of the fields; never empty after [`Schema::check`].
    pub fields: Vec<String>,
}

/// The type of a declared field. `null` and a missing member fit every type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
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

/// A schema that cannot be used, or a record that does not fit it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// The schema text is not valid.
    #[error("not a valid schema: {0}")]
    Text(String),
    /// A declared field has a name that cannot be used.
    #[error("table {table}: the field name '{field}' cannot be declared: {reason}")]
    FieldName {
        /// The table.
        table: TableName,
        /// The field.
        field: String,
        /// Why not.
        reason: &'static str,
    },
    /// An index names a field that is not declared, twice the same, or none.
    #[error("table {table}: the index {index} is not valid: {reason}")]
    Index {
        /// The table.
        table: TableName,
        /// The index as its fields, joined with commas.
        index: String,
        /// Why not.
        reason: &'static str,
    },
    /// A field is declared with another type than before.
    #[error(
        "table {table}: the field '{field}' was declared as {old} and cannot become {new}; choose another name"
    )]
    Retyped {
        /// The table.
        table: TableName,
        /// The field.
        field: String,
        /// The type it has.
        old: String,
        /// The type that was asked for.
        new: String,
    },
    /// A record's member does not fit its declared type.
    #[error("table {table}, field '{field}': expected {expected}")]
    Value {
        /// The table.
        table: TableName,
        /// The field.
        field: String,
        /// What fits.
        expected: String,
    },
}

impl Schema {
    /// A schema without tables.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the schema file's JSON and checks it.
    pub fn from_json(text: &str) -> Result<Self, SchemaError> {
        let schema: Self =
            serde_json::from_str(text).map_err(|error| SchemaError::Text(error.to_string()))?;
        schema.check()?;
        Ok(schema)
    }

    /// The schema file's JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// This schema with `table` declared (replacing an earlier declaration).
    #[must_use]
    pub fn with_table(mut self, name: TableName, table: TableSchema) -> Self {
        self.tables.insert(name, table);
        self
    }

    /// The declaration of a table.
    pub fn table(&self, name: &TableName) -> Option<&TableSchema> {
        self.tables.get(name)
    }

    /// All declared tables by name.
    pub fn tables(&self) -> impl Iterator<Item = (&TableName, &TableSchema)> {
        self.tables.iter()
    }

    /// Checks names of fields and indexes.
    pub fn check(&self) -> Result<(), SchemaError> {
        self.tables
            .iter()
            .try_for_each(|(name, table)| table.check_declaration(name))
    }

    /// This schema with what `newer` declares added: tables, fields and indexes are added, options replaced,
    /// nothing is removed, and a field cannot change its type (an enum may grow at its end).
    pub fn merged(&self, newer: &Self) -> Result<Self, SchemaError> {
        newer.check()?;
        let mut merged = self.clone();
        for (name, table) in &newer.tables {
            let merged_table = match merged.tables.get(name) {
                Some(old) => old.merged(name, table)?,
                None => table.clone(),
            };
            merged.tables.insert(name.clone(), merged_table);
        }
        Ok(merged)
    }
}

impl TableSchema {
    /// A table without declared fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// With the field `name` of type `ty` added.
    #[must_use]
    pub fn with_field(mut self, name: impl Into<String>, ty: FieldType) -> Self {
        self.fields.0.push((name.into(), ty));
        self
    }

    /// With an index over `fields`.
    #[must_use]
    pub fn with_index<S: Into<String>>(mut self, fields: impl IntoIterator<Item = S>) -> Self {
        self.indexes.push(IndexSpec {
            fields: fields.into_iter().map(Into::into).collect(),
        });
        self
    }

    /// With soft delete on.
    #[must_use]
    pub fn with_soft_delete(mut self) -> Self {
        self.soft_delete = true;
        self
    }

    /// Kept on this device: no operations, no pull.
    #[must_use]
    pub fn with_local_only(mut self) -> Self {
        self.local_only = true;
        self
    }

    /// The type of a declared field.
    pub fn field(&self, name: &str) -> Option<&FieldType> {
        self.fields.get(name)
    }

    /// Checks that each declared member of `record` has its type.
    pub fn check_record(&self, table: &TableName, record: &Record) -> Result<(), SchemaError> {
        if self.fields.0.is_empty() {
            return Ok(());
        }
        for (name, text) in record.members() {
            let Some(ty) = self.field(&name) else {
                continue;
            };
            if !ty.fits(text) {
                return Err(SchemaError::Value {
                    table: table.clone(),
                    field: name.into_owned(),
                    expected: ty.to_string(),
                });
            }
        }
        Ok(())
    }

    fn check_declaration(&self, table: &TableName) -> Result<(), SchemaError> {
        let mut seen = Vec::new();
        for (name, ty) in &self.fields.0 {
            let folded = name.to_lowercase();
            let reason = if SYSTEM_PROPERTIES
                .iter()
                .any(|system| system.eq_ignore_ascii_case(name))
            {
                Some("it is a system property")
            } else if name.is_empty() || name.len() > 128 || name.starts_with("__") {
                Some("use 1 to 128 bytes that do not start with '__'")
            } else if name.contains(|c: char| c.is_control() || c == '/' || c == '"') {
                Some("control characters, '/' and '\"' cannot be used")
            } else if seen.contains(&folded) {
                Some("it differs from another only in case, or not at all")
            } else if matches!(ty, FieldType::Enum(words) if words.is_empty()) {
                Some("an enum needs at least one word")
            } else {
                None
            };
            if let Some(reason) = reason {
                return Err(SchemaError::FieldName {
                    table: table.clone(),
                    field: name.clone(),
                    reason,
                });
            }
            seen.push(folded);
        }
        for index in &self.indexes {
            let unknown = |field: &String| {
                self.field(field).is_none() && !SYSTEM_PROPERTIES.contains(&field.as_str())
            };
            let reason = if index.fields.is_empty() {
                Some("it names no field")
            } else if index.fields.iter().any(unknown) {
                Some("it names a field that is not declared")
            } else if index
                .fields
                .iter()
                .enumerate()
                .any(|(at, field)| index.fields.iter().skip(at + 1).any(|f| f == field))
            {
                Some("it names a field twice")
            } else {
                None
            };
            if let Some(reason) = reason {
                return Err(SchemaError::Index {
                    table: table.clone(),
                    index: index.fields.join(","),
                    reason,
                });
            }
        }
        Ok(())
    }

    fn merged(&self, table: &TableName, newer: &Self) -> Result<Self, SchemaError> {
        let mut merged = Self {
            fields: self.fields.clone(),
            indexes: self.indexes.clone(),
            ..newer.clone()
        };
        for (name, ty) in &newer.fields.0 {
            match merged.fields.0.iter_mut().find(|(field, _)| field == name) {
                None => merged.fields.0.push((name.clone(), ty.clone())),
                Some((_, old)) if old == ty => {}
                Some((_, FieldType::Enum(old))) if matches!(ty, FieldType::Enum(new) if new.starts_with(old)) => {
                    if let FieldType::Enum(new) = ty {
                        old.clone_from(new);
                    }
                }
                Some((_, old)) => {
                    return Err(SchemaError::Retyped {
                        table: table.clone(),
                        field: name.clone(),
                        old: old.to_string(),
                        new: ty.to_string(),
                    });
                }
            }
        }
        for index in &newer.indexes {
            if !merged.indexes.contains(index) {
                merged.indexes.push(index.clone());
            }
        }
        merged.check_declaration(table)?;
        Ok(merged)
    }
}

impl Fields {
    /// The type of a field.
    pub fn get(&self, name: &str) -> Option<&FieldType> {
        self.0
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, ty)| ty)
    }

    /// Names and types in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &FieldType)> {
        self.0.iter().map(|(name, ty)| (name.as_str(), ty))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when no field is declared.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
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

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, ty) in &self.0 {
            map.serialize_entry(name, ty)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of field names and types")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    fields.push(entry);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(FieldsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{"tables": {"movies": {"softDelete": true, "pageSize": 100, "maxTop": 1000, "localOnly": false,
      "fields": {"title": "string", "year": "integer", "score": "number", "winner": "boolean", "released": "date", "at": "time",
                 "seen": "datetime", "blob": "bytes", "place": "geopoint", "extra": "json", "rating": {"enum": ["G", "PG", "R"]}},
      "indexes": [["year"], ["rating", "title"]]}}}"#;

    #[test]
    fn the_documented_file_reads_and_writes_back() {
        let schema = Schema::from_json(FILE).unwrap();
        assert_eq!(Schema::from_json(&schema.to_json()).unwrap(), schema);
        let (_, table) = schema.tables().next().unwrap();
        assert_eq!(
            table.fields.iter().next().unwrap(),
            ("title", &FieldType::String)
        );
    }

    #[test]
    fn bad_declarations_are_refused() {
        for fields in [
            r#"{"ID":"string"}"#,
            r#"{"a":"string","A":"string"}"#,
            r#"{"__x":"string"}"#,
            r#"{"a":"text"}"#,
            r#"{"a":{"enum":[]}}"#,
        ] {
            let file = format!(r#"{{"tables":{{"t":{{"fields":{fields}}}}}}}"#);
            assert!(Schema::from_json(&file).is_err(), "{fields}");
        }
        for indexes in ["[[]]", r#"[["nope"]]"#, r#"[["a","a"]]"#] {
            let file = format!(
                r#"{{"tables":{{"t":{{"fields":{{"a":"string"}},"indexes":{indexes}}}}}}}"#
            );
            assert!(Schema::from_json(&file).is_err(), "{indexes}");
        }
    }

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

    #[test]
    fn merging_adds_and_never_retypes() {
        let table = |schema| Schema::new().with_table(TableName::new("t").unwrap(), schema);
        let old = table(TableSchema::new().with_field("a", FieldType::String));
        let newer = table(
            TableSchema::new()
                .with_field("b", FieldType::Integer)
                .with_index(["b"]),
        );
        let merged = old.merged(&newer).unwrap();
        assert_eq!(merged.tables().next().unwrap().1.fields.len(), 2);
        let retyped = table(TableSchema::new().with_field("a", FieldType::Integer));
        assert!(matches!(
            old.merged(&retyped),
            Err(SchemaError::Retyped { .. })
        ));
    }
}
