//! What a store notes of its schema steps.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Error;
use crate::name::{RecordId, TableName};
use crate::record::Record;
use crate::schema::{Step, TableSchema};
use crate::store::{LocalStore, StoreError, StoreErrorKind};
use crate::sync::system::{META, read, row};
use crate::sync::tables::or_nothing;

/// The row `steps` of `__meta`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StepsRow {
    /// The steps that the store has had, in order. Whoever opens it without knowing any, to look at it, takes them from here.
    pub(crate) steps: Vec<Step>,
    /// What is still to be converted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) open: Option<Conversion>,
    /// Values that did not fit the type that a step gave them and stayed as they were: by table and field.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) kept: BTreeMap<TableName, BTreeMap<String, u64>>,
}

/// Values that did not fit the type that a schema step gave their field: they stay exactly as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeptValues {
    /// The table.
    pub table: TableName,
    /// The field.
    pub field: String,
    /// How many.
    pub count: u64,
}

/// A conversion that has begun: nothing else uses the store before it has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Conversion {
    /// The number of steps that records know before it.
    pub(crate) from: u32,
    /// The tables that are not done, with the declarations that they get.
    pub(crate) tables: BTreeMap<TableName, TableSchema>,
    /// The last record of the first of them that is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<RecordId>,
}

impl StepsRow {
    pub(crate) fn id() -> RecordId {
        RecordId::system("steps")
    }

    pub(crate) fn to_row(&self) -> Result<Record, StoreError> {
        row(Self::id(), self)
    }

    /// [`FormatTooNew`](StoreErrorKind::FormatTooNew) where it has a step of a kind that only a newer release of this library knows.
    pub(crate) fn from_row(record: &Record) -> Result<Self, StoreError> {
        let row = read(&META, record);
        match row {
            Err(_) if has_unknown_step(record) => {
                let message = "a newer release has changed the schema of the store in a way that this one does not know; update the program";
                Err(StoreError::new(StoreErrorKind::FormatTooNew, message))
            }
            row => row,
        }
    }

    /// The row as it was read, and what it says; nothing in a store that never had a step.
    pub(crate) async fn find(store: &dyn LocalStore) -> Result<(Option<Record>, Self), Error> {
        let found = or_nothing(store.get(&META, &[Self::id()]).await)?;
        let row = found.into_iter().next().flatten();
        let read = row.as_ref().map(Self::from_row).transpose()?;
        Ok((row, read.unwrap_or_default()))
    }

    pub(crate) fn kept_values(&self) -> Vec<KeptValues> {
        let tables = self.kept.iter().flat_map(|(table, fields)| {
            fields.iter().map(|(field, count)| KeptValues {
                table: table.clone(),
                field: field.clone(),
                count: *count,
            })
        });
        tables.collect()
    }

    pub(crate) fn number(&self) -> u32 {
        u32::try_from(self.steps.len()).unwrap_or(u32::MAX)
    }
}

/// True where each step looks like one and not each is known.
fn has_unknown_step(record: &Record) -> bool {
    let steps = record.member("steps");
    let steps = steps.as_ref().and_then(Value::as_array);
    let looks = |step: &Value| {
        step.get("table").is_some_and(Value::is_string) && step.get("change").is_some()
    };
    let knows = |step: &Value| Step::deserialize(step).is_ok();
    steps.is_some_and(|steps| steps.iter().all(looks) && !steps.iter().all(knows))
}
