//! Values of fields that are declared unique: each is a row of the server's own table, taken and freed with the record that has it.
//!
//! The row's id is a hash of table, field and value. A batch that stores a value *checks* that its row is absent, or is
//! as it was read, so of two records with one value only one is stored, also by several servers over one store. A row whose record does
//! not have the value any more, as a server wrote it that did not know of the declaration, binds nobody.

use std::collections::{BTreeMap, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use synctable_core::store::{Expect, LocalStore, LocalStoreExt, StoreError, Write, WriteBatch};
use synctable_core::{
    Date, FieldType, Record, RecordId, SystemProperties, TableName, TableSchema, TimeOfDay,
    Timestamp,
};

use crate::tables::{Table, UNIQUE};

/// Whose a value is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Holder {
    table: TableName,
    field: String,
    record: RecordId,
}

/// A unique value of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) field: String,
    /// The id of its row.
    row: RecordId,
}

/// What changes do to the rows of values, as far as they are not in their way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Claims {
    rows: BTreeMap<RecordId, Claim>,
}

/// What changes do to the row of one value.
#[derive(Debug, Clone)]
struct Claim {
    /// What is there now.
    before: Option<Record>,
    /// Whose the value is then; `None`: the row goes.
    holder: Option<Holder>,
}

/// Why values cannot be had: the fields whose values other records have, each with the id of that record.
#[derive(Debug)]
pub(crate) struct Taken(pub(crate) Vec<(String, RecordId)>);

/// The unique values of a record; a tombstone has none.
pub(crate) fn held(table: &TableName, schema: &TableSchema, record: &Record) -> Vec<Held> {
    if record.is_deleted() {
        return Vec::new();
    }
    let fields = schema.fields.unique();
    fields
        .filter_map(|field| {
            let value = record.member(field)?;
            let value = canonical(schema.field(field), &value)?;
            let mut hash = Sha256::new();
            for part in [table.as_str(), field] {
                hash.update(part);
                hash.update([0]);
            }
            hash.update(value);
            Some(Held {
                field: field.to_owned(),
                row: RecordId::system(&URL_SAFE_NO_PAD.encode(hash.finalize())),
            })
        })
        .collect()
}

impl Claims {
    /// What it takes to make `after` of `before`, the record of this id, behind the changes that `self` is of; `None` stands for no record.
    pub(crate) async fn and_change(
        mut self,
        store: &dyn LocalStore,
        table: &Table,
        before: Option<&Record>,
        after: Option<&Record>,
    ) -> Result<Result<Self, Taken>, StoreError> {
        if table.schema().fields.unique().next().is_none() {
            return Ok(Ok(self));
        }
        let of = |record: Option<&Record>| {
            let held = record.map(|record| held(&table.name, table.schema(), record));
            held.unwrap_or_default()
        };
        let (before_values, after_values) = (of(before), of(after));
        let new = difference(&after_values, &before_values);
        let gone = difference(&before_values, &after_values);
        if let Some(after) = after.filter(|_| !new.is_empty()) {
            let taken = self.take(store, &table.name, table.schema(), after.id(), &new);
            if let Err(taken) = taken.await? {
                return Ok(Err(taken));
            }
        }
        if let Some(before) = before.filter(|_| !gone.is_empty()) {
            let stored = rows(store, &gone).await?;
            for (value, row) in gone.into_iter().zip(stored) {
                let own = row.as_ref().and_then(holder);
                if own.is_some_and(|it| it.record == *before.id()) {
                    self.rows.entry(value.row).or_insert(Claim {
                        before: row,
                        holder: None,
                    });
                }
            }
        }
        Ok(Ok(self))
    }

    /// Takes values for the record `id`.
    pub(crate) async fn take(
        &mut self,
        store: &dyn LocalStore,
        table: &TableName,
        schema: &TableSchema,
        id: &RecordId,
        values: &[Held],
    ) -> Result<Result<(), Taken>, StoreError> {
        let mut others = Vec::new();
        for (value, row) in values.iter().zip(rows(store, values).await?) {
            let claimed = self.rows.get(&value.row);
            let other = match claimed {
                Some(claim) => claim.holder.clone(),
                None => row.as_ref().and_then(holder),
            };
            let other = other.map(|other| other.record);
            // The record of a row that is stored may have lost the value; one that has just claimed it has it.
            if let Some(other) = other.filter(|other| other != id)
                && (claimed.is_some() || has(store, table, schema, &other, value).await?)
            {
                others.push((value.field.clone(), other));
                continue;
            }
            let holder = Holder {
                table: table.clone(),
                field: value.field.clone(),
                record: id.clone(),
            };
            let claim = self.rows.entry(value.row.clone()).or_insert(Claim {
                before: row,
                holder: None,
            });
            claim.holder = Some(holder);
        }
        Ok(if others.is_empty() {
            Ok(())
        } else {
            Err(Taken(others))
        })
    }

    /// Adds them to the batch of the change. `time` is that of the commit: no two puts of a row are the same, so that each fails the
    /// check of the other.
    pub(crate) fn add_to(self, mut batch: WriteBatch, time: Timestamp) -> WriteBatch {
        let table = TableName::system(UNIQUE);
        for (id, Claim { before, holder }) in self.rows {
            let was_there = before.is_some();
            let expect = before.map_or(Expect::Absent, |row| Expect::Same(Box::new(row)));
            batch.check(&table, &id, expect);
            let table = table.clone();
            if let Some(holder) = holder {
                let system = SystemProperties {
                    updated_at: Some(time),
                    ..SystemProperties::default()
                };
                let body = serde_json::to_string(&holder).unwrap_or_default();
                let record = Record::from_stored(id, system, body);
                batch.push(Write::Put { table, record });
            } else if was_there {
                batch.push(Write::Delete { table, id });
            }
        }
        batch
    }
}

/// The rows of values, as they are stored.
async fn rows(store: &dyn LocalStore, values: &[Held]) -> Result<Vec<Option<Record>>, StoreError> {
    let ids: Vec<RecordId> = values.iter().map(|held| held.row.clone()).collect();
    store.get(&TableName::system(UNIQUE), &ids).await
}

fn difference(values: &[Held], others: &[Held]) -> Vec<Held> {
    let new = values.iter().filter(|held| !others.contains(held));
    new.cloned().collect()
}

fn holder(row: &Record) -> Option<Holder> {
    serde_json::from_str(row.body()).ok()
}

/// Whether a record has this value.
async fn has(
    store: &dyn LocalStore,
    table: &TableName,
    schema: &TableSchema,
    id: &RecordId,
    value: &Held,
) -> Result<bool, StoreError> {
    let record = store.get_one(table, id).await?;
    Ok(record.is_some_and(|record| held(table, schema, &record).contains(value)))
}

/// One text for all spellings of a value; `None` for no value. Text counts with its case and its blanks.
fn canonical(ty: Option<&FieldType>, value: &Value) -> Option<String> {
    let as_written = || value.to_string();
    Some(match (ty, value) {
        (_, Value::Null) => return None,
        (Some(FieldType::DateTime), Value::String(text)) => match text.parse::<Timestamp>() {
            Ok(time) => time.ticks().to_string(),
            Err(_) => as_written(),
        },
        (Some(FieldType::Date), Value::String(text)) => match text.parse::<Date>() {
            Ok(date) => date.to_string(),
            Err(_) => as_written(),
        },
        (Some(FieldType::Time), Value::String(text)) => match text.parse::<TimeOfDay>() {
            Ok(time) => time.to_string(),
            Err(_) => as_written(),
        },
        (_, Value::Number(number)) if number.is_f64() => {
            let float = number.as_f64().unwrap_or_default();
            // It has no exponent, so a whole number reads like an integer; adding zero takes the sign from -0.
            (float + 0.0).to_string()
        }
        _ => as_written(),
    })
}

/// The ids of records that have one value in a list, and the field; `None` where no two have.
pub(crate) fn shared<'a>(
    records: impl Iterator<Item = (&'a RecordId, &'a [Held])>,
) -> Option<(String, RecordId, RecordId)> {
    let mut holders = HashMap::new();
    for (id, values) in records {
        for value in values {
            if let Some(other) = holders.insert(value.row.clone(), id) {
                return Some((value.field.clone(), other.clone(), id.clone()));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use synctable_core::FieldOptions;

    use super::*;

    #[test]
    fn values_are_the_same_in_any_spelling() {
        let same = |ty: FieldType, left: &str, right: &str| {
            let options = FieldOptions::new().with_unique();
            let schema = TableSchema::new().with_field_options("x", ty, options);
            let held = |text: &str| {
                let body = format!(r#"{{"x":{text}}}"#);
                let record = Record::new(RecordId::system("a"), &body).unwrap();
                held(&TableName::system("__t"), &schema, &record)
            };
            held(left) == held(right)
        };
        for (ty, left, right, equal) in [
            (FieldType::Number, "1", "1.0", true),
            (FieldType::Number, "100", "1e2", true),
            (FieldType::Number, "0", "-0.0", true),
            (
                FieldType::Number,
                "9007199254740993",
                "9007199254740992",
                false,
            ),
            (FieldType::Integer, "1", "2", false),
            (FieldType::String, r#""a""#, r#""\u0061""#, true),
            (FieldType::String, r#""a""#, r#""A""#, false),
            (FieldType::String, r#""1""#, "1", false),
            (
                FieldType::DateTime,
                r#""2026-01-01T01:00:00+01:00""#,
                r#""2026-01-01T00:00:00.000Z""#,
                true,
            ),
            (FieldType::Time, r#""12:30:00""#, r#""12:30:00.000""#, true),
            (FieldType::Boolean, "true", "false", false),
            (FieldType::Boolean, "null", "null", true),
        ] {
            assert_eq!(same(ty, left, right), equal, "{left} {right}");
        }
    }
}
