//! What can go wrong in a store.

use std::error::Error;
use std::fmt;

use crate::name::{RecordId, TableName};
use crate::words;

/// A failed store call. After an error from `commit` the batch was not done, unless the kind is
/// [`Unknown`](StoreErrorKind::Unknown) or [`InDoubt`](StoreErrorKind::InDoubt).
#[derive(Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    message: String,
    failed_check: Option<(TableName, RecordId)>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// The kinds of store errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// A check of the batch did not hold; nothing was written. Read again and retry.
    CheckFailed,
    /// The table was never defined.
    UnknownTable,
    /// The schema cannot be applied to what is stored.
    Schema,
    /// Another process or handle holds the store.
    Locked,
    /// The file or folder may not be read or written.
    Permission,
    /// There is no room for the write.
    Full,
    /// The file is not a store of this kind.
    NotAStore,
    /// The file was written by a newer release; update the program.
    FormatTooNew,
    /// What is stored is damaged.
    Corrupt,
    /// The store is encrypted and no key was given; open it with its key.
    KeyNeeded,
    /// A key was given, but the store is not encrypted; open it without one.
    NotEncrypted,
    /// The key or passphrase does not open this store.
    WrongKey,
    /// The passphrase that the store is to be given is too easy to guess; take a longer one.
    WeakPassphrase,
    /// The key is right, but what is stored was changed by someone who does not hold it, or is damaged.
    Tampered,
    /// The path does not exist, or reading or writing failed.
    Io,
    /// The store's file was removed or replaced while it was open; nothing was written.
    Gone,
    /// It is not known whether the batch was done; the store takes no more writes until it is opened again.
    Unknown,
    /// It is not known whether the batch was done, or whether it still will be, as where the connection to a database breaks during the commit.
    /// This concerns that batch alone: the store goes on. A store that can find out does so, and does not say this.
    InDoubt,
    /// The query takes more than its [`Budget`](crate::query::Budget). Ask for less.
    OverBudget,
    /// The store was closed.
    Closed,
    /// The store cannot do what was asked: it lacks the means, or is open for reading only.
    Unsupported,
    /// Anything else.
    Other,
}

impl StoreError {
    /// An error of a kind, with a message that says what is wrong and what to do: lower case, no full
    /// stop, no record contents. Of a long one both ends are kept.
    pub fn new(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: words::message(message),
            failed_check: None,
            source: None,
        }
    }

    /// True where a commit that failed so may have been done all the same.
    pub fn may_be_done(&self) -> bool {
        matches!(self.kind, StoreErrorKind::Unknown | StoreErrorKind::InDoubt)
    }

    /// A check that did not hold.
    pub fn check_failed(table: &TableName, id: &RecordId) -> Self {
        let mut error = Self::new(
            StoreErrorKind::CheckFailed,
            format!("table {table}, id {id}: the record was changed by someone else meanwhile"),
        );
        error.failed_check = Some((table.clone(), id.clone()));
        error
    }

    /// A table that somebody else has changed.
    pub fn table_changed(table: &TableName) -> Self {
        Self::new(
            StoreErrorKind::CheckFailed,
            format!("table {table} was changed by someone else meanwhile"),
        )
    }

    /// A table that was never defined.
    pub fn unknown_table(table: &TableName) -> Self {
        Self::new(
            StoreErrorKind::UnknownTable,
            format!("there is no table {table}; define it first"),
        )
    }

    /// A write to a store that is open for reading only. Nothing is wrong with the store.
    pub fn read_only() -> Self {
        Self::new(
            StoreErrorKind::Unsupported,
            "the store is open for reading only; open it for writing to change it",
        )
    }

    /// A write or a sync that failed in a way that leaves open whether the batch was done: the store takes no more writes.
    pub fn unknown() -> Self {
        Self::new(
            StoreErrorKind::Unknown,
            "it is not known whether the batch was written; check the disk and the space on it, then open the store again",
        )
    }

    /// The same, with the error that the write or the sync ended with.
    pub fn unknown_after(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::unknown().with_source(cause)
    }

    /// Stored data that cannot be read.
    pub fn corrupt(message: impl Into<String>) -> Self {
        Self::new(StoreErrorKind::Corrupt, message)
    }

    /// With the error that caused this one.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The kind.
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// Table and id of the check that did not hold, where the store says.
    pub fn failed_check(&self) -> Option<(&TableName, &RecordId)> {
        self.failed_check.as_ref().map(|(table, id)| (table, id))
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| source.as_ref() as _)
    }
}
