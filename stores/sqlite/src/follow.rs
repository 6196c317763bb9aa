//! What a handle that only reads knows of what others change: that they have, and nothing more.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;
use synctable_core::store::{ChangeLog, Changes, Position, StoreError};

use crate::error::{closed, from_sqlite};

/// Tells by a connection of its own whether the file has changed: SQLite counts the commits that each connection has not seen.
#[derive(Debug)]
pub(crate) struct Follow(Mutex<Option<Inner>>);

#[derive(Debug)]
struct Inner {
    conn: Connection,
    version: i64,
    /// Empty, and another one whenever somebody has changed anything: positions of the one before are unknown then, and readers look anew.
    log: ChangeLog,
}

impl Follow {
    pub(crate) fn new(conn: Connection) -> Result<Self, StoreError> {
        let inner = Inner {
            version: version(&conn)?,
            conn,
            log: ChangeLog::new(),
        };
        Ok(Self(Mutex::new(Some(inner))))
    }

    pub(crate) fn position(&self) -> Result<Position, StoreError> {
        self.ask(ChangeLog::position)
    }

    pub(crate) fn since(&self, since: Position, limit: usize) -> Result<Changes, StoreError> {
        self.ask(|log| log.since(since, limit))
    }

    pub(crate) fn close(&self) {
        *self.lock() = None;
    }

    fn ask<T>(&self, ask: impl FnOnce(&ChangeLog) -> T) -> Result<T, StoreError> {
        let mut inner = self.lock();
        let inner = inner.as_mut().ok_or_else(closed)?;
        let version = version(&inner.conn)?;
        if version != inner.version {
            inner.version = version;
            inner.log = ChangeLog::new();
        }
        Ok(ask(&inner.log))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Inner>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn version(conn: &Connection) -> Result<i64, StoreError> {
    conn.pragma_query_value(None, "data_version", |row| row.get(0))
        .map_err(from_sqlite)
}
