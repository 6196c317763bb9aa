//! What an application declares about its tables: the schema, and what its device and its server do with it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::fields::is_false;
use super::{
    FieldOptions, FieldType, Fields, IndexSpec, MergeRule, MergeRules, Schema, SchemaError,
    TableSchema, rules,
};
use crate::name::TableName;
use crate::words;

/// The declared tables, each with all that is declared about it. Serialises to and from the schema file:
///
/// ```
/// # use synctable_core::Declarations;
/// let tables = Declarations::from_json(r#"{"tables": {"movies": {
///     "fields": {"title": "string", "year": "integer", "rating": {"enum": ["G", "PG", "R"]}},
///     "indexes": [["year"]], "softDelete": true, "merge": {"title": "client"}}}}"#).unwrap();
/// assert_eq!(tables.tables().count(), 1);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declarations {
    #[serde(default)]
    tables: BTreeMap<TableName, Declaration>,
}

/// All that is declared about one table. Each part has its reader: the store, the device, the server.
///
/// ```
/// use synctable_core::{Declaration, FieldType, MergeRule};
/// let posts = Declaration::new()
///     .with_field("likes", FieldType::Integer)
///     .with_merge("likes", MergeRule::Counter)
///     .with_soft_delete();
/// assert_eq!(posts.schema.fields.len(), 1);
/// assert!(posts.server.soft_delete && !posts.device.local_only);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
#[non_exhaustive]
pub struct Declaration {
    /// Fields and indexes: what the store needs.
    pub schema: TableSchema,
    /// What a device does with the table.
    pub device: DeviceRules,
    /// What a server does with the table.
    pub server: ServerRules,
}

/// What a device does with a table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[non_exhaustive]
pub struct DeviceRules {
    /// Records of this table are never pushed and it cannot be pulled. Default false.
    #[serde(skip_serializing_if = "is_false")]
    pub local_only: bool,
    /// How members are merged that both sides of a conflict changed. Default: they are left to the user.
    #[serde(skip_serializing_if = "MergeRules::is_empty")]
    pub merge: MergeRules,
}

/// What a server does with a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerRules {
    /// Keep tombstones instead of removing rows. Default false.
    pub soft_delete: bool,
    /// Rows in a page. `None` is the server's default.
    pub page_size: Option<u32>,
    /// The largest `$top`. `None` is the server's default.
    pub max_top: Option<u32>,
    /// A member that is not declared is refused. Default false.
    pub closed: bool,
}

impl Declarations {
    /// No tables.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the schema file's JSON and checks it.
    ///
    /// # Errors
    /// [`Text`](SchemaError::Text) for what is no such file, others as [`check`](Self::check) says.
    pub fn from_json(text: &str) -> Result<Self, SchemaError> {
        let read: Self = serde_json::from_str(text)
            .map_err(|error| SchemaError::Text(words::message(error.to_string())))?;
        read.check()?;
        Ok(read)
    }

    /// The schema file's JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// With `table` declared (replacing an earlier declaration).
    #[must_use]
    pub fn with_table(mut self, name: TableName, table: impl Into<Declaration>) -> Self {
        self.tables.insert(name, table.into());
        self
    }

    /// The declaration of a table.
    pub fn table(&self, name: &TableName) -> Option<&Declaration> {
        self.tables.get(name)
    }

    /// All declared tables by name.
    pub fn tables(&self) -> impl Iterator<Item = (&TableName, &Declaration)> {
        self.tables.iter()
    }

    /// The stores' part of all tables.
    pub fn schema(&self) -> Schema {
        let tables = self.tables.iter();
        tables.fold(Schema::new(), |schema, (name, table)| {
            schema.with_table(name.clone(), table.schema.clone())
        })
    }

    /// Checks names of fields, indexes, and that rules fit the fields that they name.
    pub fn check(&self) -> Result<(), SchemaError> {
        let mut tables = self.tables.iter();
        tables.try_for_each(|(name, table)| table.check(name))
    }

    /// These declarations with what `newer` declares added: tables, fields, indexes and merge rules are added, other rules of tables and options
    /// of the fields that `newer` names are replaced, nothing is removed, and a field cannot change its type (an enum may grow at its end).
    pub fn merged(&self, newer: &Self) -> Result<Self, SchemaError> {
        newer.check()?;
        let mut merged = self.clone();
        for (name, table) in &newer.tables {
            let table = match merged.tables.get(name) {
                Some(old) => old.merged(name, table)?,
                None => table.clone(),
            };
            merged.tables.insert(name.clone(), table);
        }
        Ok(merged)
    }
}

impl Declaration {
    /// A table without declared fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// With the field `name` of type `ty` added.
    #[must_use]
    pub fn with_field(mut self, name: impl Into<String>, ty: FieldType) -> Self {
        self.schema = self.schema.with_field(name, ty);
        self
    }

    /// With the field `name` of type `ty` added, and what is declared about it beside the type.
    #[must_use]
    pub fn with_field_options(
        mut self,
        name: impl Into<String>,
        ty: FieldType,
        options: FieldOptions,
    ) -> Self {
        self.schema = self.schema.with_field_options(name, ty, options);
        self
    }

    /// With an index over `fields`.
    #[must_use]
    pub fn with_index<S: Into<String>>(mut self, fields: impl IntoIterator<Item = S>) -> Self {
        self.schema = self.schema.with_index(fields);
        self
    }

    /// With a rule for the member at `path` where both sides of a conflict changed it.
    #[must_use]
    pub fn with_merge(mut self, path: impl Into<String>, rule: MergeRule) -> Self {
        self.device.merge = self.device.merge.with(path, rule);
        self
    }

    /// Kept on this device: no operations, no pull.
    #[must_use]
    pub fn with_local_only(mut self) -> Self {
        self.device.local_only = true;
        self
    }

    /// The server keeps tombstones.
    #[must_use]
    pub fn with_soft_delete(mut self) -> Self {
        self.server.soft_delete = true;
        self
    }

    /// Closed: the server refuses members that are not declared.
    #[must_use]
    pub fn with_closed(mut self) -> Self {
        self.server.closed = true;
        self
    }

    /// With so many rows in a page of the server.
    #[must_use]
    pub fn with_page_size(mut self, rows: u32) -> Self {
        self.server.page_size = Some(rows);
        self
    }

    /// With this as the largest `$top` that the server takes.
    #[must_use]
    pub fn with_max_top(mut self, rows: u32) -> Self {
        self.server.max_top = Some(rows);
        self
    }

    fn check(&self, table: &TableName) -> Result<(), SchemaError> {
        self.schema.check_declaration(table)?;
        for (path, rule) in self.device.merge.iter() {
            if let Some(reason) = rules::misfit(path, rule, &self.schema) {
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
        let merged = Self {
            schema: self.schema.merged(table, &newer.schema)?,
            device: self.device.merged(&newer.device),
            server: newer.server.clone(),
        };
        merged.check(table)?;
        Ok(merged)
    }
}

impl DeviceRules {
    /// These rules with those of a newer declaration put over them.
    pub(crate) fn merged(&self, newer: &Self) -> Self {
        Self {
            local_only: newer.local_only,
            merge: self.merge.clone().merged(&newer.merge),
        }
    }
}

impl From<TableSchema> for Declaration {
    fn from(schema: TableSchema) -> Self {
        Self {
            schema,
            ..Self::default()
        }
    }
}

impl From<Schema> for Declarations {
    fn from(schema: Schema) -> Self {
        let tables = schema.tables.into_iter();
        Self {
            tables: tables.map(|(name, table)| (name, table.into())).collect(),
        }
    }
}

/// A table as it stands in a schema file: all parts in one object. Stores of before keep one in their catalogue, too.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Written {
    soft_delete: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    page_size: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_top: Option<u32>,
    local_only: bool,
    #[serde(skip_serializing_if = "is_false")]
    closed: bool,
    fields: Fields,
    indexes: Vec<IndexSpec>,
    #[serde(skip_serializing_if = "MergeRules::is_empty")]
    merge: MergeRules,
}

impl From<Written> for Declaration {
    fn from(written: Written) -> Self {
        Self {
            schema: TableSchema {
                fields: written.fields,
                indexes: written.indexes,
            },
            device: DeviceRules {
                local_only: written.local_only,
                merge: written.merge,
            },
            server: ServerRules {
                soft_delete: written.soft_delete,
                page_size: written.page_size,
                max_top: written.max_top,
                closed: written.closed,
            },
        }
    }
}

impl From<Declaration> for Written {
    fn from(declaration: Declaration) -> Self {
        let Declaration {
            schema,
            device,
            server,
        } = declaration;
        Self {
            soft_delete: server.soft_delete,
            page_size: server.page_size,
            max_top: server.max_top,
            local_only: device.local_only,
            closed: server.closed,
            fields: schema.fields,
            indexes: schema.indexes,
            merge: device.merge,
        }
    }
}

impl From<Written> for TableSchema {
    fn from(written: Written) -> Self {
        Declaration::from(written).schema
    }
}

#[cfg(test)]
mod tests;
