//! What is declared about tables: fields and their types, indexes, options.

mod fit;
mod rules;
mod types;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::name::TableName;
use crate::record::SYSTEM_PROPERTIES;

pub use rules::{MergeRule, MergeRules};
pub(crate) use types::geo_point;
pub use types::{FieldType, Fields};

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
    /// How members are merged that both sides of a conflict changed. Default: they are left to the user.
    #[serde(skip_serializing_if = "MergeRules::is_empty")]
    pub merge: MergeRules,
}

/// An index over one or more fields, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IndexSpec {
    /// The names of the fields; never empty after [`Schema::check`].
    pub fields: Vec<String>,
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
    /// A rule for merging does not fit the field it names.
    #[error("table {table}: the merge rule for '{path}' cannot be used: {reason}")]
    MergeRule {
        /// The table.
        table: TableName,
        /// The field, or the path into it.
        path: String,
        /// Why not.
        reason: &'static str,
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

    /// With a rule for the member at `path` where both sides of a conflict changed it.
    #[must_use]
    pub fn with_merge(mut self, path: impl Into<String>, rule: MergeRule) -> Self {
        self.merge = self.merge.with(path, rule);
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
        for (path, rule) in self.merge.iter() {
            if let Some(reason) = rules::misfit(path, rule, self) {
                return Err(SchemaError::MergeRule {
                    table: table.clone(),
                    path: path.to_owned(),
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
            merge: self.merge.clone().merged(&newer.merge),
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

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{"tables": {"movies": {"softDelete": true, "pageSize": 100, "maxTop": 1000, "localOnly": false,
      "fields": {"title": "string", "year": "integer", "score": "number", "winner": "boolean", "released": "date", "at": "time",
                 "seen": "datetime", "blob": "bytes", "place": "geopoint", "extra": "json", "rating": {"enum": ["G", "PG", "R"]}},
      "indexes": [["year"], ["rating", "title"]],
      "merge": {"score": "max", "extra/tags": "set", "views": "counter", "*": "client"}}}}"#;

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
        for rules in [
            r#"{"":"max"}"#,
            r#"{"version":"max"}"#,
            r#"{"a":"counter"}"#,
            r#"{"a":"set"}"#,
            r#"{"a":"sum"}"#,
            r#"{"a/b":"max"}"#,
        ] {
            let file =
                format!(r#"{{"tables":{{"t":{{"fields":{{"a":"string"}},"merge":{rules}}}}}}}"#);
            assert!(Schema::from_json(&file).is_err(), "{rules}");
        }
        for indexes in ["[[]]", r#"[["nope"]]"#, r#"[["a","a"]]"#] {
            let file = format!(
                r#"{{"tables":{{"t":{{"fields":{{"a":"string"}},"indexes":{indexes}}}}}}}"#
            );
            assert!(Schema::from_json(&file).is_err(), "{indexes}");
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
        let rule = |path: &str, rule| table(TableSchema::new().with_merge(path, rule));
        let rules = rule("a", MergeRule::Max)
            .merged(&rule("b", MergeRule::Set))
            .and_then(|rules| rules.merged(&rule("a", MergeRule::Min)))
            .unwrap();
        let rules = &rules.tables().next().unwrap().1.merge;
        assert_eq!(rules.find("a"), Some(MergeRule::Min));
        assert_eq!(rules.find("b"), Some(MergeRule::Set));
        let retyped = table(TableSchema::new().with_field("a", FieldType::Integer));
        assert!(matches!(
            old.merged(&retyped),
            Err(SchemaError::Retyped { .. })
        ));
    }
}
