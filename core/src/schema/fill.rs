//! Defaults: what a declared field that a record lacks stands for.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

use super::TableSchema;
use crate::record::{Member, Record, body_text};

/// The defaults of a table's fields, as values and as JSON text.
#[derive(Debug, Clone, Default)]
pub(crate) struct Defaults(BTreeMap<String, (Value, String)>);

impl Defaults {
    /// The value of a field that is missing.
    pub(crate) fn value(&self, field: &str) -> Option<&Value> {
        self.0.get(field).map(|(value, _)| value)
    }

    /// Its JSON text.
    pub(crate) fn text(&self, field: &str) -> Option<&str> {
        self.0.get(field).map(|(_, text)| text.as_str())
    }
}

impl TableSchema {
    /// The record with the defaults of the declared fields that it lacks; `null` stays. For a record that is new or replaced, never
    /// for one of which only some members are changed.
    ///
    /// ```
    /// use synctable_core::{FieldOptions, FieldType, Record, TableSchema};
    /// let table = TableSchema::new()
    ///     .with_field_options("complete", FieldType::Boolean, FieldOptions::new().with_default(false));
    /// let record = Record::from_json(r#"{"id":"a","title":"Milk"}"#).unwrap();
    /// assert_eq!(table.filled(record).body(), r#"{"title":"Milk","complete":false}"#);
    /// ```
    #[must_use]
    pub fn filled(&self, record: Record) -> Record {
        if self.fields.defaults().next().is_none() {
            return record;
        }
        let members = record.members();
        let texts: Vec<(&str, String)> = self
            .fields
            .defaults()
            .filter(|(field, _)| !members.iter().any(|(name, _)| name == field))
            .map(|(field, value)| (field, value.to_string()))
            .collect();
        if texts.is_empty() {
            return record;
        }
        let missing = texts
            .iter()
            .map(|(field, text)| (Cow::Borrowed(*field), text.as_str()));
        let all: Vec<Member<'_>> = members.into_iter().chain(missing).collect();
        let body = body_text(&all);
        Record::from_stored(record.id().clone(), record.system().clone(), body)
    }

    /// The defaults of the declared fields.
    pub(crate) fn defaults(&self) -> Defaults {
        let fields = self.fields.defaults();
        let known = fields.map(|(field, value)| {
            let text = value.to_string();
            (field.to_owned(), (value.clone(), text))
        });
        Defaults(known.collect())
    }
}
