//! Which members a query names, and whether a table declares them.

use thiserror::Error;

use super::{Expr, Query};
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

/// Checks that a query on a table with declared fields names only those and system properties. What is below a member is free, and a
/// table without declared fields takes any name.
///
/// ```
/// use synctable_core::query::{Query, check_fields, field};
/// use synctable_core::{FieldType, TableSchema};
/// let schema = TableSchema::new().with_field("title", FieldType::String);
/// assert!(check_fields(&Query::all().order_by("title"), &schema).is_ok());
/// assert!(check_fields(&Query::all().filter(field("titel").eq("Milk")), &schema).is_err());
/// ```
pub fn check_fields(query: &Query, schema: &TableSchema) -> Result<(), UnknownField> {
    if schema.fields.is_empty() {
        return Ok(());
    }
    let check = |name: &str| {
        let known = SYSTEM_PROPERTIES.contains(&name) || schema.field(name).is_some();
        if known {
            Ok(())
        } else {
            Err(UnknownField {
                name: name.to_owned(),
            })
        }
    };
    query
        .order
        .iter()
        .try_for_each(|term| check(term.path.head()))?;
    query
        .select
        .iter()
        .flatten()
        .try_for_each(|name| check(name))?;
    for part in query.filter.iter().flat_map(Expr::walk) {
        if let Expr::Field(path) = part {
            check(path.head())?;
        }
    }
    Ok(())
}
