//! What is wrong with a schema, or with a record that does not fit it.

use thiserror::Error;

use crate::name::TableName;
use crate::words::{brief, quote};

/// A schema that cannot be used, or a record that does not fit it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// The schema text is not valid.
    #[error("not a valid schema: {0}")]
    Text(String),
    /// A declared field has a name that cannot be used.
    #[error("table {table}: the field name '{}' cannot be declared: {reason}", quote(.field))]
    FieldName {
        /// The table.
        table: TableName,
        /// The field.
        field: String,
        /// Why not.
        reason: &'static str,
    },
    /// An index names a field that is not declared, twice the same, or none.
    #[error("table {table}: the index {} is not valid: {reason}", quote(.index))]
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
        "table {table}: the field '{}' was declared as {} and cannot become {}; choose another name",
        quote(.field), brief(.old, 200), brief(.new, 200)
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
    /// What is declared about a field beside its type does not fit it.
    #[error("table {table}: the field '{}' cannot be declared so: {reason}", quote(.field))]
    Options {
        /// The table.
        table: TableName,
        /// The field.
        field: String,
        /// Why not.
        reason: &'static str,
    },
    /// A rule for merging does not fit the field it names.
    #[error("table {table}: the merge rule for '{}' cannot be used: {reason}", quote(.path))]
    MergeRule {
        /// The table.
        table: TableName,
        /// The field, or the path into it.
        path: String,
        /// Why not.
        reason: &'static str,
    },
    /// A step of a changed schema cannot be used.
    #[error("step {number} of the schema cannot be used: {reason}")]
    Step {
        /// Its number.
        number: u32,
        /// Why not.
        reason: &'static str,
    },
    /// A record's member does not fit its declared type.
    #[error("table {table}, field '{}': expected {}", quote(.field), brief(.expected, 400))]
    Value {
        /// The table.
        table: TableName,
        /// The field.
        field: String,
        /// What fits.
        expected: String,
    },
    /// A record lacks a value that is required.
    #[error("table {table}, field '{}': a value is required", quote(.field))]
    Required {
        /// The table.
        table: TableName,
        /// The field.
        field: String,
    },
    /// A record's text is too long.
    #[error("table {table}, field '{}': expected text of at most {most} characters", quote(.field))]
    TooLong {
        /// The table.
        table: TableName,
        /// The field.
        field: String,
        /// The most characters, counted as UTF-16.
        most: u32,
    },
    /// A record has a member that a closed table does not declare.
    #[error("table {table}: the member '{}' is not declared", quote(.field))]
    Undeclared {
        /// The table.
        table: TableName,
        /// The member.
        field: String,
    },
}
