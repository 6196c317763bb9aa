//! Which members a query names, and whether a table declares them.

use thiserror::Error;

use super::Query;
use crate::record::SYSTEM_PROPERTIES;
use crate::schema::TableSchema;
use crate::words::quote;

/// A query names a member that the table does not declare.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("there is no property '{}'", quote(.name).escape_debug())]
pub struct UnknownField {
    /// The name.
    pub name: String,
}

impl Query {
    /// Checks that the query of a table with declared fields names only those and system properties. What is below a member is free, and
    /// a table without declared fields takes any name.
    ///
    /// ```
    /// use synctable_core::query::{Query, field};
    /// use synctable_core::{FieldType, TableSchema};
    /// let schema = TableSchema::new().with_field("title", FieldType::String);
    /// assert!(Query::all().order_by("title").check_fields(&schema).is_ok());
    /// assert!(Query::all().filter(field("titel").eq("Milk")).check_fields(&schema).is_err());
    /// ```
    ///
    /// # Errors
    /// The first name that is not there.
    pub fn check_fields(&self, schema: &TableSchema) -> Result<(), UnknownField> {
        self.heads().try_for_each(|name| check_name(name, schema))
    }
}

/// Checks one name.
pub(super) fn check_name(name: &str, schema: &TableSchema) -> Result<(), UnknownField> {
    let known = schema.fields.is_empty()
        || SYSTEM_PROPERTIES.contains(&name)
        || schema.field(name).is_some();
    if known {
        Ok(())
    } else {
        Err(UnknownField {
            name: name.to_owned(),
        })
    }
}
