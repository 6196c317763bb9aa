//! What is declared about tables: fields and their types, indexes, options.

mod declaration;
mod declare;
mod error;
mod fields;
mod fill;
mod fit;
mod rules;
mod steps;
mod types;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::name::TableName;

use declaration::Written;
pub use declaration::{Declaration, Declarations, DeviceRules, ServerRules};
pub use error::SchemaError;
use fields::Field;
pub use fields::{FieldOptions, Fields};
pub(crate) use fill::Defaults;
pub use rules::{MergeRule, MergeRules};
pub use steps::{Placeless, Step, Steps};
pub use types::FieldType;
pub(crate) use types::geo_point;

/// The tables of a store: their fields and indexes. All that an application declares about its tables is [`Declarations`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schema {
    #[serde(default)]
    tables: BTreeMap<TableName, TableSchema>,
}

/// The fields and indexes of one table. A table without declared fields takes any member.
///
/// Stores of earlier releases kept more in their catalogue; the other members of a [`Declaration`] are read and left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written")]
#[non_exhaustive]
pub struct TableSchema {
    /// The declared fields in their order. Members outside this list stay free.
    pub fields: Fields,
    /// The declared indexes.
    pub indexes: Vec<IndexSpec>,
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

    /// This schema with what `newer` declares added: tables, fields and indexes are added, options of the fields that `newer` names
    /// are replaced, nothing is removed, and a field cannot change its type (an enum may grow at its end).
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

    /// The type of a declared field.
    pub fn field(&self, name: &str) -> Option<&FieldType> {
        self.fields.get(name)
    }
}
