//! Which declarations can be used, and how a newer one is joined to those before.

use super::fields::Field;
use super::{FieldType, SchemaError, TableSchema};
use crate::name::TableName;
use crate::record::SYSTEM_PROPERTIES;

impl TableSchema {
    pub(super) fn check_declaration(&self, table: &TableName) -> Result<(), SchemaError> {
        let mut seen = Vec::new();
        for Field { name, ty, options } in &self.fields.0 {
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
            if let Some(reason) = options.misfit(ty) {
                return Err(SchemaError::Options {
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

    pub(super) fn merged(&self, table: &TableName, newer: &Self) -> Result<Self, SchemaError> {
        let mut merged = self.clone();
        for new in &newer.fields.0 {
            let Some(old) = merged.fields.0.iter_mut().find(|old| old.name == new.name) else {
                merged.fields.0.push(new.clone());
                continue;
            };
            let grown = match (&old.ty, &new.ty) {
                (FieldType::Enum(old), FieldType::Enum(new)) => new.starts_with(old),
                (old, new) => old == new,
            };
            if !grown {
                return Err(SchemaError::Retyped {
                    table: table.clone(),
                    field: new.name.clone(),
                    old: old.ty.to_string(),
                    new: new.ty.to_string(),
                });
            }
            old.clone_from(new);
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
