//! What has changed in a store since a moment: places in its change log, and what the log answers.

use std::cmp::Ordering;

use uuid::Uuid;

use super::Write;
use crate::name::{RecordId, TableName};

/// A place in the change log of a store. It means something to that store alone, and only while somebody has the store open: nobody keeps it
/// for later.
///
/// Places of one log have an order: it is that of the commits. Those of two logs have none.
///
/// ```
/// use synctable_core::store::Position;
/// let (first, second) = (Position::new(7, 1, 0), Position::new(7, 2, 0));
/// assert!(first < second);
/// assert!(!(first < Position::new(8, 2, 0)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position {
    log: u64,
    commit: u64,
    place: u32,
}

impl Position {
    /// The place behind `commit`, and behind the first `place` changes of the commit after it, in the log with the id `log`: for stores.
    #[must_use]
    pub fn new(log: u64, commit: u64, place: u32) -> Self {
        Self { log, commit, place }
    }

    /// The id of the log. A store draws another one at random whenever it cannot tell what happened in between: when it is opened, after
    /// its files were put back.
    #[must_use]
    pub fn log(&self) -> u64 {
        self.log
    }

    /// The number of the last commit that lies before this place as a whole.
    #[must_use]
    pub fn commit(&self) -> u64 {
        self.commit
    }

    /// How many changes of the next commit lie before this place.
    #[must_use]
    pub fn place(&self) -> u32 {
        self.place
    }
}

impl PartialOrd for Position {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let order = (self.commit, self.place).cmp(&(other.commit, other.place));
        (self.log == other.log).then_some(order)
    }
}

/// Who makes a batch: what [`WriteBatch::expect_unchanged`](super::WriteBatch::expect_unchanged) tells apart. It says nothing about a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Author(u64);

impl Author {
    /// One that nobody has yet.
    #[must_use]
    pub fn random() -> Self {
        let (high, low) = Uuid::new_v4().as_u64_pair();
        Self(high ^ low)
    }

    /// The author with this number, as a store has kept it.
    #[must_use]
    pub fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// Its number, for stores that write it down.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }
}

/// One thing that a commit has changed, without its content.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Changed {
    /// A record was put or deleted.
    Record {
        /// The table.
        table: TableName,
        /// The record.
        id: RecordId,
    },
    /// Any record of the table may have changed: it was cleared, or too many were changed to name them.
    Table {
        /// The table.
        table: TableName,
    },
}

impl Changed {
    /// What a write changes.
    #[must_use]
    pub fn by(write: &Write) -> Self {
        match write {
            Write::Put { table, record } => Self::Record {
                table: table.clone(),
                id: record.id().clone(),
            },
            Write::Delete { table, id } => Self::Record {
                table: table.clone(),
                id: id.clone(),
            },
            Write::Clear { table } => Self::Table {
                table: table.clone(),
            },
        }
    }

    /// The tables of changes that are too many to name, each as a whole.
    #[must_use]
    pub fn tables_of(changed: &[Self]) -> Vec<Self> {
        let mut tables: Vec<TableName> = changed.iter().map(|it| it.table().clone()).collect();
        tables.sort_unstable();
        tables.dedup();
        let whole = |table| Self::Table { table };
        tables.into_iter().map(whole).collect()
    }

    /// The table.
    #[must_use]
    pub fn table(&self) -> &TableName {
        match self {
            Self::Record { table, .. } | Self::Table { table } => table,
        }
    }
}

/// What [`LocalStore::changes_since`](super::LocalStore::changes_since) answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changes {
    /// The log goes back that far.
    Known {
        /// What was changed, in the order of the commits; the same record may come several times.
        changed: Vec<Changed>,
        /// Where to go on: behind the last of `changed`.
        next: Position,
        /// More is known already: ask again from `next`.
        more: bool,
    },
    /// The log does not go back that far, or the position is of another log. Keep `now` and read anew what you rely on: what changes from
    /// `now` on is known.
    Unknown {
        /// Where the log ends.
        now: Position,
    },
}
