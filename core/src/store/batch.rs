//! A batch of checks and writes: the only way to change a store.

use super::{Author, Position};
use crate::name::{RecordId, TableName};
use crate::record::{Record, Revision};

/// Checks and writes that a store takes whole or not at all.
///
/// All checks are judged first, against the state before the batch. If all hold, the writes are done in
/// order; a later write of the same record wins.
///
/// ```
/// use synctable_core::{Record, TableName};
/// use synctable_core::store::WriteBatch;
/// let table = TableName::new("todo").unwrap();
/// let record = Record::from_json(r#"{"id":"a"}"#).unwrap();
/// let batch = WriteBatch::new().expect_absent(&table, record.id()).put(&table, record);
/// assert_eq!((batch.checks().len(), batch.writes().len()), (1, 1));
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WriteBatch {
    checks: Vec<Check>,
    unchanged: Vec<Unchanged>,
    writes: Vec<Write>,
    durability: Durability,
    author: Option<Author>,
}

/// A condition on one record as it is before the batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// The table.
    pub table: TableName,
    /// The record.
    pub id: RecordId,
    /// What must hold.
    pub expect: Expect,
}

/// A condition on a whole table: nobody but the author of the batch has changed it since a position.
#[derive(Debug, Clone, PartialEq)]
pub struct Unchanged {
    /// The table.
    pub table: TableName,
    /// A position that the same open store gave.
    pub since: Position,
}

/// What a check demands.
#[derive(Debug, Clone, PartialEq)]
pub enum Expect {
    /// There is no such record.
    Absent,
    /// There is such a record.
    Present,
    /// The record is at this revision, which the same open store gave: nobody has written it since.
    At(Revision),
    /// The record equals this one: system properties and body text alike. For rows of a few bytes that the caller wrote itself, and need
    /// not read first.
    Same(Box<Record>),
}

impl Expect {
    /// That the record still is as it was read; `None` for one that was not there.
    pub fn as_read(record: Option<&Record>) -> Self {
        match record {
            None => Self::Absent,
            Some(record) => match record.revision() {
                Some(revision) => Self::At(revision.clone()),
                None => Self::Same(Box::new(record.clone())),
            },
        }
    }
}

/// One change. The enum is exhaustive so that a new kind of write breaks stores that would miss it.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// Insert the record or replace it whole.
    Put {
        /// The table.
        table: TableName,
        /// The record.
        record: Record,
    },
    /// Remove the record; a missing one is fine.
    Delete {
        /// The table.
        table: TableName,
        /// The record.
        id: RecordId,
    },
    /// Remove every record of the table.
    Clear {
        /// The table.
        table: TableName,
    },
}

/// When a committed batch survives a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Durability {
    /// Before `commit` returns. It also makes every earlier batch durable.
    #[default]
    Immediate,
    /// Some time later; for what can be fetched again. It survives the end of the process all the same.
    Eventual,
}

impl WriteBatch {
    /// An empty batch with [`Durability::Immediate`].
    pub fn new() -> Self {
        Self::default()
    }

    /// With this durability.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Demands that the record is absent.
    #[must_use]
    pub fn expect_absent(mut self, table: &TableName, id: &RecordId) -> Self {
        self.check(table, id, Expect::Absent);
        self
    }

    /// Demands that the record still is as `record` was read from this store.
    #[must_use]
    pub fn expect_as_read(mut self, table: &TableName, record: &Record) -> Self {
        self.check(table, record.id(), Expect::as_read(Some(record)));
        self
    }

    /// Demands that the record is exactly `record`.
    #[must_use]
    pub fn expect_same(mut self, table: &TableName, record: Record) -> Self {
        self.check(table, &record.id().clone(), Expect::Same(Box::new(record)));
        self
    }

    /// Says who makes the batch: a later batch of the same author may rely on a table that this one changes.
    #[must_use]
    pub fn author(mut self, author: Author) -> Self {
        self.author = Some(author);
        self
    }

    /// Demands that nobody but the batch's own [`author`](Self::author) has changed a table since a position. It does not hold where the
    /// store does not know any more.
    #[must_use]
    pub fn expect_unchanged(mut self, table: &TableName, since: Position) -> Self {
        self.unchanged.push(Unchanged {
            table: table.clone(),
            since,
        });
        self
    }

    /// Inserts or replaces a record.
    #[must_use]
    pub fn put(mut self, table: &TableName, record: Record) -> Self {
        self.push(Write::Put {
            table: table.clone(),
            record,
        });
        self
    }

    /// Removes a record.
    #[must_use]
    pub fn delete(mut self, table: &TableName, id: &RecordId) -> Self {
        self.push(Write::Delete {
            table: table.clone(),
            id: id.clone(),
        });
        self
    }

    /// Removes all records of a table.
    #[must_use]
    pub fn clear(mut self, table: &TableName) -> Self {
        self.push(Write::Clear {
            table: table.clone(),
        });
        self
    }

    /// With other checks of records, for stores that pass batches on.
    #[must_use]
    pub fn with_checks(mut self, checks: Vec<Check>) -> Self {
        self.checks = checks;
        self
    }

    /// With other writes, for stores that pass batches on.
    #[must_use]
    pub fn with_writes(mut self, writes: Vec<Write>) -> Self {
        self.writes = writes;
        self
    }

    /// Adds a check.
    pub fn check(&mut self, table: &TableName, id: &RecordId, expect: Expect) {
        self.checks.push(Check {
            table: table.clone(),
            id: id.clone(),
            expect,
        });
    }

    /// Adds a write.
    pub fn push(&mut self, write: Write) {
        self.writes.push(write);
    }

    /// The checks of records.
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// The checks of whole tables.
    pub fn unchanged(&self) -> &[Unchanged] {
        &self.unchanged
    }

    /// Who makes the batch.
    pub fn get_author(&self) -> Option<Author> {
        self.author
    }

    /// The writes in order.
    pub fn writes(&self) -> &[Write] {
        &self.writes
    }

    /// When the batch is durable.
    pub fn get_durability(&self) -> Durability {
        self.durability
    }

    /// True without checks and writes.
    pub fn is_empty(&self) -> bool {
        self.checks.is_empty() && self.unchanged.is_empty() && self.writes.is_empty()
    }
}

impl Write {
    /// The table that is written.
    pub fn table(&self) -> &TableName {
        match self {
            Self::Put { table, .. } | Self::Delete { table, .. } | Self::Clear { table } => table,
        }
    }
}
