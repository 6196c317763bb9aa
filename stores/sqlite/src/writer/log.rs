//! What the writer tells the change log, and the change log asks of the database.

use std::path::Path;

use rusqlite::Connection;
use synctable_core::store::{
    Author, Changed, Durability, Position, StoreError, StoreErrorKind, WriteBatch,
};

use super::{Writer, run};
use crate::catalogue;
use crate::error::from_sqlite;
use crate::log::{Database, Log, Look, stamp};

/// How often in a row a log begins anew before a call gives up: programs that know nothing of it keep writing in between.
const BEGINNINGS: usize = 5;

/// The database of a connection, and SQLite's log beside it.
pub(crate) struct InFile<'a> {
    pub(crate) conn: &'a Connection,
    pub(crate) wal: &'a Path,
}

impl Database for InFile<'_> {
    fn version(&self) -> Result<i64, StoreError> {
        self.conn
            .prepare_cached("PRAGMA data_version")
            .and_then(|mut version| version.query_row([], |row| row.get(0)))
            .map_err(from_sqlite)
    }

    fn log_id(&self) -> Result<u64, StoreError> {
        let id = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
        self.conn
            .prepare_cached(catalogue::LOG)
            .and_then(|mut log| log.query_row([], id))
            .map(i64::cast_unsigned)
            .map_err(from_sqlite)
    }

    fn set_log_id(&self, id: u64) -> Result<(), StoreError> {
        self.conn
            .prepare_cached(catalogue::SET_LOG)
            .and_then(|mut log| log.execute([id.cast_signed()]))
            .map(|_| ())
            .map_err(from_sqlite)
    }

    fn stamp(&self) -> u64 {
        stamp(self.wal)
    }
}

impl Writer {
    fn database(&self) -> InFile<'_> {
        InFile {
            conn: &self.conn,
            wal: &self.wal,
        }
    }

    fn log(&self) -> Option<&Log> {
        self.shared.log()
    }

    /// Takes in what others have committed, in the transaction that has begun. After an error it is ended.
    pub(super) fn look(&mut self) -> Result<(), StoreError> {
        for _ in 0..BEGINNINGS {
            let Some(log) = self.log() else {
                return Ok(());
            };
            let found = match log.look(&self.database()) {
                Ok(Look::Known) => return Ok(()),
                Ok(Look::Lost) => log.begin(&self.database()),
                Err(error) => Err(error),
            };
            if let Err(error) = found {
                self.undo();
                return Err(error);
            }
            // In a transaction of its own: what this one is begun for may be refused, and others would not learn of it.
            self.commit_transaction()?;
            run(&self.conn, "BEGIN IMMEDIATE")?;
        }
        self.undo();
        let message = "another program keeps writing to the store; try again when it is done";
        Err(StoreError::new(StoreErrorKind::Locked, message))
    }

    /// Whether nobody else has changed the tables that a batch relies on.
    pub(super) fn is_unchanged(&self, batch: &WriteBatch) -> Result<(), StoreError> {
        let author = batch.get_author();
        let changed = batch.unchanged().iter().find(|unchanged| {
            let (table, since) = (&unchanged.table, unchanged.since);
            let log = self.log();
            !log.is_some_and(|log| log.is_unchanged(table, since, author))
        });
        changed.map_or(Ok(()), |it| Err(StoreError::table_changed(&it.table)))
    }

    /// Notes what was done in the transaction. Returns the position behind it.
    pub(super) fn note(&self, author: Option<Author>, changed: Vec<Changed>) -> Position {
        match self.log() {
            Some(log) => log.stage(author, changed),
            None => Position::new(0, 0, 0),
        }
    }

    /// Tells others of what the next `COMMIT` commits; `always`, if that has no names, too.
    pub(super) fn append(&self, always: bool) -> Result<(), StoreError> {
        let append = |log: &Log| log.append(&self.database(), always);
        self.log().map_or(Ok(()), append)
    }

    /// Tells the log how the transaction has ended.
    pub(super) fn ended(&self, committed: bool) {
        let Some(log) = self.log() else {
            return;
        };
        if committed {
            log.committed(&self.database());
        } else if self.poisoned {
            log.unsure();
        } else {
            log.undone(&self.database());
        }
    }

    /// Settles what others have left: a commit without its mark, a log that is not at its path any more. Waits for nobody.
    pub(crate) fn settle(&mut self) {
        if self.poisoned || self.log().is_none() {
            return;
        }
        let (durability, used) = (self.durability, self.used);
        if self
            .without_waiting(|writer| writer.begin(durability))
            .is_ok()
        {
            if let Some(log) = self.log() {
                log.settle(&self.database());
            }
            self.undo();
            self.used = used;
        }
    }

    /// One write that is synced makes all before it durable.
    pub(super) fn make_durable(&mut self) -> Result<(), StoreError> {
        if self.durability != Durability::Eventual {
            return Ok(());
        }
        self.begin(Durability::Immediate)?;
        let touched = run(
            &self.conn,
            "UPDATE _synctable_catalogue_changes SET number = number",
        );
        let appended = touched.and_then(|()| self.append(true));
        self.end(appended)
    }
}
