//! The engine's own tables: their names, and how their rows are written and read.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::name::{QueryId, RecordId, TableName};
use crate::record::{Record, SystemProperties};
use crate::schema::{Schema, TableSchema};
use crate::store::{Expect, StoreError};
use crate::sync::queue::operation::{Operation, Seen};
use crate::timestamp::Timestamp;

/// How often a call plans anew because others change the same rows, before it gives up.
pub(crate) const ATTEMPTS: usize = 64;

/// The operation queue, one row an operation.
pub(crate) static OPERATIONS: LazyLock<TableName> =
    LazyLock::new(|| TableName::system("__operations"));
/// Why parked operations are parked, one row an operation.
pub(crate) static FAILURES: LazyLock<TableName> = LazyLock::new(|| TableName::system("__failures"));
/// How far named pulls got, one row a table and query name.
pub(crate) static DELTA: LazyLock<TableName> = LazyLock::new(|| TableName::system("__delta"));
/// Single values: what the device does with its tables, the identity of the store, the end of the queue, settings.
pub(crate) static META: LazyLock<TableName> = LazyLock::new(|| TableName::system("__meta"));

/// The declaration of the engine's tables.
pub(crate) fn schema() -> Schema {
    [&OPERATIONS, &FAILURES, &DELTA, &META]
        .into_iter()
        .fold(Schema::new(), |schema, table| {
            schema.with_table((*table).clone(), TableSchema::new())
        })
}

/// The id of an operation's rows: the sequence number, padded so that text order is queue order.
pub(crate) fn seq_id(seq: u64) -> RecordId {
    // By hand: a push names each operation some ten times.
    let (mut digits, mut rest) = ([b'0'; 20], seq);
    for digit in digits.iter_mut().rev() {
        *digit += u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
    }
    RecordId::system(std::str::from_utf8(&digits).unwrap_or_default())
}

/// The sequence number that an id stands for, if it is such a one.
pub(crate) fn seq_of(id: &RecordId) -> Option<u64> {
    let seq = id.as_str().parse().ok()?;
    (seq_id(seq) == *id).then_some(seq)
}

pub(crate) fn row<T: Serialize>(id: RecordId, value: &T) -> Result<Record, StoreError> {
    let text = serde_json::to_string(value).map_err(|error| {
        StoreError::corrupt("a row of the engine cannot be written").with_source(error)
    })?;
    Ok(Record::from_stored(id, SystemProperties::default(), text))
}

pub(crate) fn read<T: for<'de> Deserialize<'de>>(
    table: &TableName,
    record: &Record,
) -> Result<T, StoreError> {
    serde_json::from_str(record.body()).map_err(|error| {
        let message = format!(
            "the row {} of {table} is damaged; run verify, or restore a backup",
            record.id()
        );
        StoreError::corrupt(message).with_source(error)
    })
}

impl Operation {
    /// As a row of the queue.
    pub(crate) fn to_row(&self) -> Result<Record, StoreError> {
        row(seq_id(self.seq), self)
    }

    /// From a row of the queue.
    pub(crate) fn from_row(record: &Record) -> Result<Self, StoreError> {
        let mut operation: Self = read(&OPERATIONS, record)?;
        operation.seq = record.id().as_str().parse().map_err(|_| {
            StoreError::corrupt(format!("the operation {} has no valid number", record.id()))
        })?;
        operation.row = record.revision().cloned().map_or(Seen::Nothing, Seen::Read);
        Ok(operation)
    }

    /// That its row is as it was read, or written.
    pub(crate) fn as_read(&self) -> Result<Expect, StoreError> {
        Ok(match &self.row {
            Seen::Read(revision) => Expect::At(revision.clone()),
            Seen::Written(row) => Expect::Same(Box::new(row.clone())),
            Seen::Nothing => Expect::Same(Box::new(self.to_row()?)),
        })
    }
}

/// Why an operation is parked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FailureRow {
    /// HTTP status of a rejection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<u16>,
    /// The server's or the conflict handler's words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) message: String,
    /// The server's record of a conflict, perhaps a tombstone; `None` where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) server: Option<Record>,
}

impl FailureRow {
    pub(crate) fn to_row(&self, seq: u64) -> Result<Record, StoreError> {
        row(seq_id(seq), self)
    }

    pub(crate) fn from_row(record: &Record) -> Result<Self, StoreError> {
        read(&FAILURES, record)
    }
}

/// Who pushes: see [`lease`](crate::sync::push::lease).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LeaseRow {
    /// The context.
    pub(crate) owner: String,
    /// Which of its pushes.
    pub(crate) push: u64,
    /// When it last said that it goes on.
    pub(crate) renewed: Timestamp,
    /// It holds the store's lock, which ends with the process.
    pub(crate) locked: bool,
}

impl LeaseRow {
    pub(crate) fn id() -> RecordId {
        RecordId::system("pusher")
    }

    pub(crate) fn to_row(&self) -> Result<Record, StoreError> {
        row(Self::id(), self)
    }

    /// `None` for what this release cannot read.
    pub(crate) fn from_row(record: &Record) -> Option<Self> {
        read(&META, record).ok()
    }
}

/// How far a named pull got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeltaToken {
    /// The table.
    pub(crate) table: TableName,
    /// The query's name.
    pub(crate) query: QueryId,
    /// The filter and parameters, as text.
    pub(crate) filter: String,
    /// Every change up to here has been seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) time: Option<Timestamp>,
    /// The server promised that times grow in the order of commits, and that its pages end between two of them.
    #[serde(default)]
    pub(crate) ordered: bool,
    /// The filter changed, and records that it does not want may not have left yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) leaving: bool,
    /// What the server had forgotten when the pull began at the start: none of its records was deleted before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) forgotten: Option<Timestamp>,
    /// Where the server tells changes by itself: every change up to this place in its feed has been seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) position: Option<String>,
    /// A place in the middle of a walk through that feed, which the server may refuse later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) resume: Option<String>,
}

impl DeltaToken {
    /// The position of a pull that has not begun.
    pub(crate) fn new(table: TableName, query: QueryId, filter: String) -> Self {
        Self {
            table,
            query,
            filter,
            time: None,
            ordered: false,
            leaving: false,
            forgotten: None,
            position: None,
            resume: None,
        }
    }

    /// Takes the position back: the next pull begins at the start.
    pub(crate) fn begin_anew(&mut self) {
        (self.time, self.ordered) = (None, false);
        (self.position, self.resume) = (None, None);
    }

    /// Whether a pull has got anywhere.
    pub(crate) fn has_begun(&self) -> bool {
        self.time.is_some() || self.is_of_feed()
    }

    /// Whether it is a place in a server's own feed, and no time.
    pub(crate) fn is_of_feed(&self) -> bool {
        self.position.is_some() || self.resume.is_some()
    }

    pub(crate) fn id(table: &TableName, query: &QueryId) -> RecordId {
        // No table name contains `|`, so the pair can be told apart.
        RecordId::system(&format!("{table}|{query}"))
    }

    pub(crate) fn to_row(&self) -> Result<Record, StoreError> {
        row(Self::id(&self.table, &self.query), self)
    }

    pub(crate) fn from_row(record: &Record) -> Result<Self, StoreError> {
        read(&DELTA, record)
    }
}

/// A single value of the `__meta` table.
pub(crate) fn meta_row(name: &str, value: &str) -> Result<Record, StoreError> {
    row(
        RecordId::system(name),
        &serde_json::json!({ "value": value }),
    )
}

/// The text of a `__meta` row.
pub(crate) fn meta_value(record: &Record) -> Result<String, StoreError> {
    match record.member("value") {
        Some(serde_json::Value::String(text)) => Ok(text),
        _ => Err(StoreError::corrupt(format!(
            "the row {} of __meta is damaged; restore a backup",
            record.id()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_operations_sort_as_texts_and_are_read_back() {
        for seq in [0, 1, 9, 10, 12_345, u64::MAX] {
            assert_eq!(seq_id(seq).as_str(), format!("{seq:020}"));
            assert_eq!(seq_of(&seq_id(seq)), Some(seq));
        }
    }
}
