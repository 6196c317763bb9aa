//! Transactions: checks, writes, durability, and what happens after a failure.

mod log;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use synctable_core::store::{
    Changed, Durability, Position, Revisions, StoreError, StoreErrorKind, Write, WriteBatch,
};
use synctable_core::{Schema, TableName, TableSchema};
use synctable_kv::OpenFile;

use crate::catalogue::{self, Catalogue};
use crate::error::{describe, from_sqlite, lost, unknown};
use crate::pool::Shared;
use crate::writes::apply;

/// After about how many written pages the length of the write-ahead log is measured.
const MEASURE: usize = 500;
/// How many pages of the write-ahead log are many: they are copied into the file then.
const LONG_LOG: i64 = 4000;

pub(crate) use log::InFile;

/// The connection that writes.
#[derive(Debug)]
pub(crate) struct Writer {
    conn: Connection,
    file: OpenFile,
    shared: Arc<Shared>,
    revisions: Revisions,
    /// SQLite's write-ahead log.
    wal: PathBuf,
    /// What `PRAGMA synchronous` is set to: `FULL` or `NORMAL`.
    durability: Durability,
    poisoned: bool,
    /// How long a call waits for another process.
    wait: Duration,
    /// About how many pages went to the write-ahead log since it was measured.
    written: usize,
    /// A transaction was begun: what this connection wrote is made durable when it closes.
    used: bool,
}

impl Writer {
    pub(crate) fn new(
        conn: Connection,
        file: OpenFile,
        wal: PathBuf,
        shared: Arc<Shared>,
        wait: Duration,
    ) -> Self {
        Self {
            conn,
            file,
            wal,
            shared,
            revisions: Revisions::default(),
            durability: Durability::Immediate,
            poisoned: false,
            wait,
            written: 0,
            used: false,
        }
    }

    /// Commits batches in one transaction; one answer a batch, in their order.
    pub(crate) fn commit(&mut self, batches: &[WriteBatch]) -> Vec<Result<Position, StoreError>> {
        if let Err(error) = self.begin(durability(batches)) {
            return for_all(error, batches.len());
        }
        match self.group(batches) {
            Ok(results) => results,
            // One by one, what is fit to be done is done.
            Err(_) if batches.len() > 1 && !self.poisoned => batches
                .iter()
                .flat_map(|batch| self.commit(std::slice::from_ref(batch)))
                .collect(),
            Err(error) => for_all(error, batches.len()),
        }
    }

    /// Commits one batch if that can be done without waiting for another process; else does nothing.
    pub(crate) fn commit_at_once(
        &mut self,
        batch: &WriteBatch,
    ) -> Option<Result<Position, StoreError>> {
        let batches = std::slice::from_ref(batch);
        match self.without_waiting(|writer| writer.begin(durability(batches))) {
            Err(error) if error.kind() == StoreErrorKind::Locked => None,
            Err(error) => Some(Err(error)),
            Ok(()) => Some(self.group(batches).and_then(only)),
        }
    }

    fn without_waiting(
        &mut self,
        call: impl FnOnce(&mut Self) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.conn
            .busy_timeout(Duration::ZERO)
            .map_err(from_sqlite)?;
        let result = call(self);
        self.conn.busy_timeout(self.wait).map_err(from_sqlite)?;
        result
    }

    /// Does the batches in the transaction that has begun, and ends it. After an error none of them is done, or the
    /// store is poisoned.
    fn group(
        &mut self,
        batches: &[WriteBatch],
    ) -> Result<Vec<Result<Position, StoreError>>, StoreError> {
        self.written += batches.iter().map(size).sum::<usize>();
        let work = |writer: &mut Self| {
            let catalogue = writer.shared.catalogue(&writer.conn)?;
            let mut results = Vec::with_capacity(batches.len());
            for batch in batches {
                let result = if batches.len() > 1 {
                    writer.apply_in_savepoint(&catalogue, batch)?
                } else {
                    Ok(writer.apply(&catalogue, batch)?)
                };
                results.push(result);
            }
            Ok(results)
        };
        let done = work(self);
        self.end(done)
    }

    /// Does a batch, and notes it as one that cannot be read yet.
    fn apply(&mut self, catalogue: &Catalogue, batch: &WriteBatch) -> Result<Position, StoreError> {
        for unchanged in batch.unchanged() {
            catalogue.table(&unchanged.table)?;
        }
        self.is_unchanged(batch)?;
        apply(&self.conn, catalogue, batch, &mut self.revisions)?;
        let changed = batch.writes().iter().map(Changed::by).collect();
        Ok(self.note(batch.get_author(), changed))
    }

    /// The outer error is one that ended the whole transaction.
    fn apply_in_savepoint(
        &mut self,
        catalogue: &Catalogue,
        batch: &WriteBatch,
    ) -> Result<Result<Position, StoreError>, StoreError> {
        run(&self.conn, "SAVEPOINT batch")?;
        let result = self.apply(catalogue, batch);
        match result {
            Err(error) if self.conn.is_autocommit() || error.kind() == StoreErrorKind::Io => {
                return Err(error);
            }
            Err(_) => run(&self.conn, "ROLLBACK TO batch")?,
            Ok(_) => {}
        }
        run(&self.conn, "RELEASE batch")?;
        Ok(result)
    }

    pub(crate) fn define(&mut self, schema: &Schema) -> Result<(), StoreError> {
        let tables = schema.tables().map(|(table, _)| table.clone()).collect();
        self.declare(tables, |writer, current| {
            catalogue::define(&writer.conn, current, schema, &mut writer.revisions)
        })
    }

    pub(crate) fn redefine(
        &mut self,
        table: &TableName,
        declaration: &TableSchema,
    ) -> Result<(), StoreError> {
        self.declare(vec![table.clone()], |writer, current| {
            catalogue::redefine(
                &writer.conn,
                current,
                table,
                declaration,
                &mut writer.revisions,
            )
        })
    }

    /// Changes the declarations of some tables in a transaction of its own.
    fn declare(
        &mut self,
        tables: Vec<TableName>,
        change: impl FnOnce(&mut Self, &Catalogue) -> Result<Option<Catalogue>, StoreError>,
    ) -> Result<(), StoreError> {
        self.begin(Durability::Immediate)?;
        let work = |writer: &mut Self| {
            let current = writer.shared.catalogue(&writer.conn)?;
            let newer = change(writer, &current)?;
            if newer.is_some() {
                // Rows may have been written again.
                let tables = tables.into_iter().map(|table| Changed::Table { table });
                writer.note(None, tables.collect());
            }
            Ok(newer)
        };
        let done = work(self);
        if let Some(newer) = self.end(done)? {
            self.shared.publish(Arc::new(newer));
        }
        Ok(())
    }

    /// Starts a transaction whose commit is as durable as asked.
    fn begin(&mut self, durability: Durability) -> Result<(), StoreError> {
        if self.poisoned {
            self.file.check()?;
            return Err(unknown());
        }
        if self.durability != durability {
            let level = match durability {
                Durability::Immediate => "FULL",
                Durability::Eventual => "NORMAL",
            };
            self.conn
                .pragma_update(None, "synchronous", level)
                .map_err(from_sqlite)?;
            self.durability = durability;
        }
        run(&self.conn, "BEGIN IMMEDIATE")?;
        self.used = true;
        self.look()
    }

    /// Ends the transaction: commits after `Ok`, else undoes it. Nothing is committed to a file that is gone.
    fn end<T>(&mut self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        let there = || match self.durability {
            Durability::Immediate => self.file.check(),
            Durability::Eventual => self.file.check_sometimes(),
        };
        match done.and_then(|value| there().map(|()| value)) {
            Ok(value) => {
                // Others could not know of a commit that is not written down before.
                if let Err(error) = self.append(false) {
                    self.undo();
                    return Err(error);
                }
                self.commit_transaction()?;
                self.check_kept().map(|()| value)
            }
            Err(error) => {
                if error.kind() == StoreErrorKind::Io {
                    self.poison();
                }
                self.undo();
                Err(error)
            }
        }
    }

    /// Commits. After an error nothing is, or the store is poisoned.
    fn commit_transaction(&mut self) -> Result<(), StoreError> {
        let committed = self
            .conn
            .prepare_cached("COMMIT")
            .and_then(|mut commit| commit.execute([]));
        let Err(error) = committed else {
            self.ended(true);
            return Ok(());
        };
        let error = if describe(&error).0 == StoreErrorKind::Io {
            // The commit may be in the file or not; only opening it again tells.
            self.poison();
            unknown().with_source(error)
        } else {
            from_sqlite(error)
        };
        self.undo();
        Err(error)
    }

    /// Rolls back what is not committed.
    fn undo(&mut self) {
        if !self.conn.is_autocommit() && run(&self.conn, "ROLLBACK").is_err() {
            self.poison();
        }
        self.ended(false);
    }

    /// Fails where the file went while a commit that has to last was under way.
    fn check_kept(&mut self) -> Result<(), StoreError> {
        if self.durability == Durability::Eventual {
            return Ok(());
        }
        self.file.check().map_err(|gone| {
            self.poison();
            lost(gone)
        })
    }

    /// After a failed write or sync the system may have dropped what was written: nothing is tried again.
    fn poison(&mut self) {
        self.poisoned = true;
        let config = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
        if let Err(error) = self.conn.set_db_config(config, true) {
            tracing::warn!(%error, "the write-ahead log will be copied when the store is closed");
        }
    }

    /// True when [`checkpoint`](Self::checkpoint) has something to look at.
    pub(crate) fn wants_checkpoint(&self) -> bool {
        self.written >= MEASURE
    }

    /// Copies the write-ahead log into the file once it is long. Done here and not by SQLite inside a commit: there
    /// nobody would learn of a failed write, and the commit would take long.
    pub(crate) fn checkpoint(&mut self) {
        if !self.wants_checkpoint() || self.poisoned {
            return;
        }
        self.written = 0;
        let run = |mode: &str| {
            let sql = format!("PRAGMA wal_checkpoint({mode})");
            self.conn.query_row(&sql, [], |row| row.get::<_, i64>(1))
        };
        let done = run("NOOP").and_then(|pages| {
            if pages >= LONG_LOG {
                run("PASSIVE")
            } else {
                Ok(pages)
            }
        });
        if let Err(error) = done
            && describe(&error).0 == StoreErrorKind::Io
        {
            tracing::error!(%error, "the write-ahead log cannot be copied; open the store again");
            self.poison();
        }
    }

    /// Makes everything durable and closes the file.
    pub(crate) fn close(mut self) -> Result<(), StoreError> {
        if self.poisoned {
            return Err(unknown());
        }
        self.make_durable()?;
        // Who only read has nothing to see to: the log is for those who write.
        if self.used {
            // Another process may still read; then the log stays and whoever comes next copies it.
            self.conn
                .busy_timeout(Duration::ZERO)
                .map_err(from_sqlite)?;
            self.conn
                .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
                .map_err(from_sqlite)?;
            // Others have the store open, perhaps: that the log is empty now is not what a stranger did.
            self.settle();
        }
        self.conn.close().map_err(|(_, error)| from_sqlite(error))
    }
}

/// How durable a transaction with these batches has to be.
fn durability(batches: &[WriteBatch]) -> Durability {
    let eventual = |batch: &WriteBatch| batch.get_durability() == Durability::Eventual;
    if batches.iter().all(eventual) {
        Durability::Eventual
    } else {
        Durability::Immediate
    }
}

/// About how many pages a batch writes.
fn size(batch: &WriteBatch) -> usize {
    let pages = |write: &Write| match write {
        Write::Put { record, .. } => 1 + record.body().len() / 4096,
        Write::Delete { .. } => 1,
        Write::Clear { .. } => MEASURE,
    };
    batch.writes().iter().map(pages).sum()
}

/// The only result of a group of one batch.
fn only<T>(results: Vec<Result<T, StoreError>>) -> Result<T, StoreError> {
    results.into_iter().next().unwrap_or_else(|| Err(unknown()))
}

/// One error for each of several batches.
fn for_all<T>(error: StoreError, batches: usize) -> Vec<Result<T, StoreError>> {
    let (kind, message) = (error.kind(), error.to_string());
    let copies = (1..batches).map(|_| Err(StoreError::new(kind, message.clone())));
    std::iter::once(Err(error)).chain(copies).collect()
}

/// Runs a statement that is used again and again and answers nothing.
pub(crate) fn run(conn: &Connection, sql: &str) -> Result<(), StoreError> {
    conn.prepare_cached(sql)
        .and_then(|mut statement| statement.execute([]))
        .map(|_| ())
        .map_err(from_sqlite)
}

#[cfg(test)]
mod tests;
