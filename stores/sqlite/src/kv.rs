//! An SQLite file as a key-value engine.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension, params};
use synctable_core::query::Direction;
use synctable_core::store::{Durability, StoreError, StoreErrorKind};
use synctable_kv::files::{self, create_private, io_error};
use synctable_kv::{
    Buffered, Bytes, Entry, KvBackend, KvBatch, KvEntries, KvRead, KvWrite, OpenFile, Promises,
    pages,
};

use crate::error::{closed, describe, from_sqlite, lost, unknown};
use crate::only_read::OnlyRead;
use crate::{open, place};

/// About how many pages of the write-ahead log are many: they are copied into the file then.
const LONG_LOG: usize = 4000;

/// A [`KvBackend`] in one SQLite file with one table of bytes: what an encrypted store in SQLite is built on.
///
/// For records that are not encrypted [`SqliteStore`](crate::SqliteStore) is the better store; neither opens the files
/// of the other. One process at a time may open one. What is deleted or replaced is overwritten with zeros.
///
/// ```
/// use synctable_kv::KvStore;
/// use synctable_sqlite::SqliteKv;
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("app.db");
/// let store = KvStore::open(SqliteKv::open(&path).unwrap()).unwrap();
/// assert!(SqliteKv::open(&path).is_err(), "it is open already");
/// ```
pub struct SqliteKv {
    path: PathBuf,
    /// `None` once it is closed. Who reads holds writers off.
    file: RwLock<Option<Mutex<File>>>,
    /// Where it is open for reading only.
    only_read: Option<OnlyRead>,
    keep_earlier: bool,
    /// Whoever writes.
    turn: Mutex<()>,
}

/// How to open a [`SqliteKv`]; made by [`SqliteKv::builder`].
///
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("app.db");
/// use synctable_sqlite::SqliteKv;
/// assert!(SqliteKv::builder(&path).create(false).open().is_err());
/// let backend = SqliteKv::builder(&path).cache(64 << 20).open().unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct SqliteKvBuilder {
    path: PathBuf,
    create: bool,
    cache: usize,
    keep_earlier: bool,
}

impl SqliteKv {
    /// Opens the file at `path`; makes it where there is none.
    ///
    /// # Errors
    /// Of the kinds [`NotAStore`](StoreErrorKind::NotAStore), `Corrupt`, `FormatTooNew`, `Permission`, `Locked`, `Full`
    /// or `Io`.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::builder(path).open()
    }

    /// Opens the file at `path` for reading only: nothing in its folder is written, and all that was committed is read, after a crash from a
    /// private copy. See [`SqliteStore::open_read_only`](crate::SqliteStore::open_read_only); a file that a process has open is
    /// [`Locked`](StoreErrorKind::Locked).
    ///
    /// # Errors
    /// As those of [`open`](Self::open).
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::builder(path).open_read_only()
    }

    /// Settings for opening the file at `path`.
    pub fn builder(path: impl AsRef<Path>) -> SqliteKvBuilder {
        SqliteKvBuilder {
            path: path.as_ref().to_owned(),
            create: true,
            cache: 16 << 20,
            keep_earlier: true,
        }
    }
}

impl SqliteKvBuilder {
    /// Whether a missing file is made (the default) or an error.
    #[must_use]
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// How many bytes of the file are kept in memory at most. Default 16 MiB.
    #[must_use]
    pub fn cache(mut self, bytes: usize) -> Self {
        self.cache = bytes;
        self
    }

    /// Whether a copy of a store of an earlier format is [kept](synctable_kv::files::keep_earlier) before it is brought forward, at `NAME.format-1`. Default true.
    #[must_use]
    pub fn keep_earlier(mut self, keep: bool) -> Self {
        self.keep_earlier = keep;
        self
    }

    /// Opens the file.
    pub fn open(self) -> Result<SqliteKv, StoreError> {
        let path = std::path::absolute(&self.path).map_err(|error| io_error(&self.path, error))?;
        let conn = open::open_kv(&path, self.create, self.cache)?;
        Ok(SqliteKv {
            file: RwLock::new(Some(Mutex::new(File::new(conn, place::opened(&path)?)))),
            path,
            keep_earlier: self.keep_earlier,
            only_read: None,
            turn: Mutex::default(),
        })
    }

    /// Opens the file for reading only: see [`SqliteKv::open_read_only`].
    pub fn open_read_only(self) -> Result<SqliteKv, StoreError> {
        let path = std::path::absolute(&self.path).map_err(|error| io_error(&self.path, error))?;
        let (conn, source) = open::open_kv_only_read(&path, self.cache)?;
        Ok(SqliteKv {
            file: RwLock::new(Some(Mutex::new(File::new(conn, OpenFile::at(&path)?)))),
            path,
            keep_earlier: false,
            only_read: Some(source),
            turn: Mutex::default(),
        })
    }
}

impl SqliteKv {
    fn write(&self, batch: &KvBatch) -> Result<(), StoreError> {
        self.alone(batch.durability(), |file| file.write(batch))
    }

    /// Writes to the file while nobody reads it.
    fn alone(
        &self,
        durability: Durability,
        write: impl FnOnce(&mut File) -> rusqlite::Result<()>,
    ) -> Result<(), StoreError> {
        let mut file = self.file.write().unwrap_or_else(PoisonError::into_inner);
        let file = file.as_mut().ok_or_else(closed)?;
        let file = file.get_mut().unwrap_or_else(PoisonError::into_inner);
        match durability {
            Durability::Immediate => file.place.check()?,
            Durability::Eventual => file.place.check_sometimes()?,
        }
        if file.broken {
            return Err(unknown());
        }
        write(file).map_err(|error| file.failed(error))?;
        if durability == Durability::Immediate {
            file.check_kept()?;
        }
        Ok(())
    }
}

impl fmt::Debug for SqliteKv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteKv")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl KvBackend for SqliteKv {
    fn snapshot(&self) -> Result<Box<dyn KvRead + '_>, StoreError> {
        let file = self.file.read().unwrap_or_else(PoisonError::into_inner);
        if file.is_none() {
            return Err(closed());
        }
        Ok(Box::new(Snapshot(file, self.only_read.as_ref())))
    }

    fn begin_write(&self, durability: Durability) -> Result<Box<dyn KvWrite + '_>, StoreError> {
        if self.only_read.is_some() {
            return Err(StoreError::read_only());
        }
        Buffered::begin(
            &self.turn,
            durability,
            || self.snapshot(),
            |batch| self.write(batch),
        )
    }

    fn sync(&self) -> Result<(), StoreError> {
        if self.only_read.is_some() {
            return Ok(());
        }
        self.alone(Durability::Immediate, |file| {
            // The log is synced before it is copied into the file.
            file.checkpoint("PASSIVE")?;
            file.pages = 0;
            Ok(())
        })
    }

    fn forget(&self) -> Result<(), StoreError> {
        if self.only_read.is_some() {
            return Err(StoreError::read_only());
        }
        self.alone(Durability::Immediate, |file| {
            file.checkpoint("TRUNCATE")?;
            // What moved within a page left a copy behind: only whole pages are overwritten when they are free.
            file.conn.execute_batch("VACUUM")?;
            file.checkpoint("TRUNCATE")?;
            file.pages = 0;
            Ok(())
        })
    }

    fn promises(&self) -> Promises {
        Promises::default()
            .with_persistent(true)
            .with_durable(true)
            .with_read_only(self.only_read.is_some())
    }

    fn copy_to(&self, path: &Path) -> Result<Arc<dyn KvBackend>, StoreError> {
        create_private(path).map_err(|error| io_error(path, error))?;
        {
            let file = self.file.read().unwrap_or_else(PoisonError::into_inner);
            let file = file.as_ref().ok_or_else(closed)?.lock();
            let conn = &file.unwrap_or_else(PoisonError::into_inner).conn;
            open::copy_into(conn, path).map_err(|error| open::at_path(path, error))?;
        }
        self.only_read.as_ref().map_or(Ok(()), OnlyRead::check)?;
        let copy = Self::builder(path).create(false).keep_earlier(false);
        Ok(Arc::new(copy.open()?))
    }

    fn keep_earlier(&self, format: u32) -> Result<(), StoreError> {
        files::keep_earlier(self.keep_earlier, &self.path, format, |draft| {
            self.copy_to(draft)?.close()
        })
    }

    fn close(&self) -> Result<(), StoreError> {
        let mut file = self.file.write().unwrap_or_else(PoisonError::into_inner);
        let Some(file) = file.take() else {
            return Ok(());
        };
        let file = file.into_inner().unwrap_or_else(PoisonError::into_inner);
        if file.broken {
            return Err(unknown());
        }
        if self.only_read.is_none() {
            file.checkpoint("TRUNCATE").map_err(from_sqlite)?;
        }
        file.conn.close().map_err(|(_, error)| from_sqlite(error))
    }
}

/// The connection, and what is to be known about it.
struct File {
    conn: Connection,
    place: OpenFile,
    /// What `PRAGMA synchronous` is set to: `FULL` or `NORMAL`.
    durability: Durability,
    /// About how many pages are in the write-ahead log.
    pages: usize,
    /// It is not known what is in the file.
    broken: bool,
}

impl File {
    fn new(conn: Connection, place: OpenFile) -> Self {
        Self {
            conn,
            place,
            durability: Durability::Immediate,
            pages: 0,
            broken: false,
        }
    }

    fn write(&mut self, batch: &KvBatch) -> rusqlite::Result<()> {
        // Not within the commit: there nobody would learn of a failure.
        if self.pages >= LONG_LOG {
            self.checkpoint("PASSIVE")?;
            self.pages = 0;
        }
        if self.durability != batch.durability() {
            // With FULL a commit syncs the whole log, also what was written before with NORMAL.
            let level = match batch.durability() {
                Durability::Immediate => "FULL",
                Durability::Eventual => "NORMAL",
            };
            self.conn.pragma_update(None, "synchronous", level)?;
            self.durability = batch.durability();
        }
        let transaction = self.conn.transaction()?;
        {
            let mut put = transaction.prepare_cached(
                "INSERT INTO kv (key, value) VALUES (?1, ?2) \
                 ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            )?;
            let mut delete = transaction.prepare_cached("DELETE FROM kv WHERE key = ?1")?;
            for (key, value) in batch.writes() {
                match value {
                    Some(value) => put.execute([key, value])?,
                    None => delete.execute([key])?,
                };
                self.pages += 1 + value.map_or(0, <[u8]>::len) / 4096;
            }
        }
        transaction.commit()
    }

    fn checkpoint(&self, mode: &str) -> rusqlite::Result<()> {
        let sql = format!("PRAGMA wal_checkpoint({mode})");
        self.conn.query_row(&sql, [], |_| Ok(()))
    }

    /// Fails where the file went while a write that has to last was under way.
    fn check_kept(&mut self) -> Result<(), StoreError> {
        self.place.check().map_err(|gone| {
            self.broken = true;
            lost(gone)
        })
    }

    /// What a failed write means. The transaction is over; unless a call of the system failed, it is undone.
    fn failed(&mut self, error: rusqlite::Error) -> StoreError {
        if describe(&error).0 != StoreErrorKind::Io && self.conn.is_autocommit() {
            return from_sqlite(error);
        }
        self.broken = true;
        // What the system may have dropped is not copied out of the log. If this fails, so will the copying.
        let _ = self
            .conn
            .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        unknown().with_source(error)
    }
}

/// Holds writers off while it lives; its reads take turns with those of others.
struct Snapshot<'a>(
    RwLockReadGuard<'a, Option<Mutex<File>>>,
    Option<&'a OnlyRead>,
);

impl fmt::Debug for Snapshot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").finish_non_exhaustive()
    }
}

impl Snapshot<'_> {
    fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let file = self.0.as_ref().ok_or_else(closed)?.lock();
        let found = read(&file.unwrap_or_else(PoisonError::into_inner).conn);
        // Also an error says nothing where somebody has begun to write.
        self.1.map_or(Ok(()), OnlyRead::check)?;
        found.map_err(from_sqlite)
    }

    fn page(
        &self,
        keys: Range<&[u8]>,
        limit: usize,
        direction: Direction,
    ) -> Result<Vec<Entry>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let sql = match direction {
            Direction::Ascending => {
                "SELECT key, value FROM kv WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT ?3"
            }
            Direction::Descending => {
                "SELECT key, value FROM kv WHERE key >= ?1 AND key < ?2 ORDER BY key DESC LIMIT ?3"
            }
        };
        self.read(|conn| {
            let mut select = conn.prepare_cached(sql)?;
            let rows = select.query_map(params![keys.start, keys.end, limit], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
            rows.collect()
        })
    }
}

impl KvRead for Snapshot<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes<'_>>, StoreError> {
        let value: Option<Vec<u8>> = self.read(|conn| {
            conn.prepare_cached("SELECT value FROM kv WHERE key = ?1")?
                .query_row([key], |row| row.get(0))
                .optional()
        })?;
        Ok(value.map(Bytes::from))
    }

    fn entries(&self, keys: Range<&[u8]>, direction: Direction) -> KvEntries<'_> {
        pages(keys, direction, move |keys, limit| {
            self.page(keys, limit, direction)
        })
    }
}
