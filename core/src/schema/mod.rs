//! What is declared about tables: fields and their types, indexes, options.

mod declare;
mod error;
mod fields;
mod fill;
mod fit;
mod rules;
mod types;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::name::TableName;
use crate::words;

pub use error::SchemaError;
use fields::{Field, is_false};
pub use fields::{FieldOptions, Fields};
pub(crate) use fill::Defaults;
pub use rules::{MergeRule, MergeRules};
pub use types::FieldType;
pub(crate) use types::geo_point;

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
    /// Server: a member that is not declared is refused. Default false.
    #[serde(skip_serializing_if = "is_false")]
    pub closed: bool,
    /// The declared fields in their order. Members outside this list stay free, unless the table is closed.
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

impl Schema {
    /// A schema without tables.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the schema file's JSON and checks it.
    pub fn from_json(text: &str) -> Result<Self, SchemaError> {
        let schema: Self = serde_json::from_str(text)
            .map_err(|error| SchemaError::Text(words::message(error.to_string())))?;
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

    /// This schema with what `newer` declares added: tables, fields and indexes are added, options of tables and of the fields that
    /// `newer` names are replaced, nothing is removed, and a field cannot change its type (an enum may grow at its end).
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
    pub fn with_field(self, name: impl Into<String>, ty: FieldType) -> Self {
        self.with_field_options(name, ty, FieldOptions::new())
    }

    /// With the field `name` of type `ty` added, and what is declared about it beside the type.
    #[must_use]
    pub fn with_field_options(
        mut self,
        name: impl Into<String>,
        ty: FieldType,
        options: FieldOptions,
    ) -> Self {
        let name = name.into();
        self.fields.0.push(Field { name, ty, options });
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

    /// Closed: the server refuses members that are not declared.
    #[must_use]
    pub fn with_closed(mut self) -> Self {
        self.closed = true;
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
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{"tables": {"movies": {"softDelete": true, "pageSize": 100, "maxTop": 1000, "localOnly": false,
      "fields": {"title": "string", "year": "integer", "score": "number", "winner": "boolean", "released": "date", "at": "time",
                 "code": {"type": "string", "required": true, "maxLength": 8, "unique": true}, "mood": {"enum": ["Calm", "Happy"], "default": "Calm"},
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
            r#"{"a":{"type":"text"}}"#,
            r#"{"a":{"required":true}}"#,
            r#"{"a":{"type":"string","enum":["x"]}}"#,
            r#"{"a":{"type":"string","length":5}}"#,
            r#"{"a":{"type":"boolean","default":0}}"#,
            r#"{"a":{"enum":["G"],"default":"X"}}"#,
            r#"{"a":{"type":"integer","maxLength":5}}"#,
            r#"{"a":{"type":"string","maxLength":2,"default":"abc"}}"#,
            r#"{"a":{"type":"string","required":true,"default":" "}}"#,
            r#"{"a":{"type":"integer","unique":true,"default":0}}"#,
            r#"{"a":{"type":"json","unique":true}}"#,
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
        let with = |options| {
            let field = TableSchema::new().with_field_options("a", FieldType::String, options);
            table(field)
        };
        let short = FieldOptions::new().with_max_length(5).with_default("x");
        let long = FieldOptions::new().with_default("y");
        let options = old
            .merged(&with(short.clone()))
            .and_then(|merged| merged.merged(&table(TableSchema::new())));
        let (old_name, _) = old.tables().next().unwrap();
        let of_a = |schema: &Schema| {
            let table = schema.table(old_name).unwrap();
            table.fields.options("a").cloned().unwrap()
        };
        let kept = options.unwrap();
        assert_eq!(of_a(&kept), short);
        assert_eq!(of_a(&kept.merged(&with(long.clone())).unwrap()), long);
        let retyped = table(TableSchema::new().with_field("a", FieldType::Integer));
        assert!(matches!(
            old.merged(&retyped),
            Err(SchemaError::Retyped { .. })
        ));
    }
}
