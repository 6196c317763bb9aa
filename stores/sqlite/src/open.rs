//! Opening and making store files: what is not ours is refused before SQLite touches it.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rusqlite::config::DbConfig;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use synctable_core::store::{StoreError, StoreErrorKind};
use synctable_kv::files::{self, io_error, not_ours, shown};

use crate::error::describe;
use crate::{catalogue, upgrade};

/// What a file of ours is for, and how it is told from others.
struct Kind {
    /// `PRAGMA application_id`.
    application: u32,
    /// `PRAGMA user_version`: the format this release writes.
    format: u32,
    /// Makes the tables of a new file.
    create: &'static str,
}

/// Files with tables of columns; "sync" in ASCII.
const STORE: Kind = Kind {
    application: 0x7379_6e63,
    format: upgrade::FORMAT,
    create: catalogue::CREATE,
};
/// Files with one table of bytes; "synk" in ASCII.
const KV: Kind = Kind {
    application: 0x7379_6e6b,
    format: 1,
    create: "CREATE TABLE kv (key BLOB PRIMARY KEY NOT NULL, value BLOB NOT NULL) STRICT, WITHOUT ROWID;",
};
/// Older versions of SQLite can damage a WAL file that two connections reset at once.
const MIN_SQLITE: i32 = 3_051_003;
/// Statements that each connection keeps prepared.
const STATEMENTS: usize = 128;

/// What to open and how.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) path: PathBuf,
    pub(crate) create: bool,
    pub(crate) cache: usize,
    pub(crate) readers: usize,
    pub(crate) wait: Duration,
}

/// Opens the store's first connection, the one that writes; makes the file where it is missing and wanted.
pub(crate) fn open(options: &Options) -> Result<Connection, StoreError> {
    open_file(&STORE, options, |conn| {
        upgrade::bring_forward(conn)?;
        // Opens the log.
        conn.query_row(catalogue::GENERATION, [], |_| Ok(()))
    })
}

/// Opens the only connection to a file of keys and values; makes the file where it is missing and wanted.
pub(crate) fn open_kv(path: &Path, create: bool, cache: usize) -> Result<Connection, StoreError> {
    let options = Options {
        path: path.to_owned(),
        create,
        cache,
        readers: 0,
        wait: Duration::ZERO,
    };
    open_file(&KV, &options, |conn| {
        conn.pragma_update(None, "secure_delete", "ON")?;
        // Before the first read: then it holds for the log, too.
        conn.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        // A write takes the lock, which is kept from now on.
        conn.execute_batch("BEGIN IMMEDIATE; ROLLBACK")
    })
}

fn open_file(
    kind: &Kind,
    options: &Options,
    begin: impl FnOnce(&Connection) -> rusqlite::Result<()>,
) -> Result<Connection, StoreError> {
    if rusqlite::version_number() < MIN_SQLITE {
        return Err(StoreError::new(
            StoreErrorKind::Unsupported,
            "the linked SQLite is too old; use 3.51.3 or later, or the bundled one",
        ));
    }
    let path = &options.path;
    if files::exists(path)? {
        files::remove_dead_drafts(path);
    } else if let Some(stray) = files::stray(path)?
        // Unless another process has just made the file, and its log.
        && !files::exists(path)?
    {
        return Err(stray);
    } else if !files::exists(path)? {
        if !options.create {
            return Err(files::missing(path));
        }
        files::make(path, |draft| {
            build(kind, draft).map_err(|error| not_permitted(path, error))
        })?;
    }
    check(kind, options)?;
    files::warn_if_exposed(path);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(|error| at_path(path, error))?;
    let set_up = || {
        // SQLite opens a file it may not write as one that is only read.
        if conn.is_readonly("main")? {
            return Ok(false);
        }
        set_up(&conn, options)?;
        // Who writes looks after the log.
        conn.pragma_update(None, "wal_autocheckpoint", 0)?;
        conn.pragma_update(None, "synchronous", "FULL")?;
        begin(&conn)?;
        Ok(true)
    };
    if set_up().map_err(|error| not_permitted(path, error))? {
        Ok(conn)
    } else {
        Err(io_error(path, ErrorKind::PermissionDenied.into()))
    }
}

/// Opens one more connection, for reading.
pub(crate) fn open_reader(options: &Options) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(&options.path, flags)
        .and_then(|conn| {
            set_up(&conn, options)?;
            Ok(conn)
        })
        .map_err(|error| at_path(&options.path, error))
}

fn set_up(conn: &Connection, options: &Options) -> rusqlite::Result<()> {
    conn.busy_timeout(options.wait)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    // Negative sizes are in KiB, positive ones in pages.
    let kib = i64::try_from(options.cache / 1024).unwrap_or(i64::MAX);
    conn.pragma_update(None, "cache_size", -kib)?;
    conn.pragma_update(None, "trusted_schema", false)?;
    // Otherwise a statement with a bound LIMIT is planned again each time.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

/// The folder is there, so a file that cannot be made or opened in it is one that may not be.
fn not_permitted(path: &Path, error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::CannotOpen) if !files::are_too_many_files_open() => {
            io_error(path, ErrorKind::PermissionDenied.into())
        }
        _ => at_path(path, error),
    }
}

fn build(kind: &Kind, draft: &Path) -> rusqlite::Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(draft, flags)?;
    conn.pragma_update(None, "synchronous", "EXTRA")?;
    conn.execute_batch(&format!(
        "BEGIN; PRAGMA application_id = {}; PRAGMA user_version = {}; {} COMMIT;",
        kind.application, kind.format, kind.create
    ))?;
    keep_log(&conn)?;
    conn.close().map_err(|(_, error)| error)
}

/// Makes a file one with a write-ahead log.
fn keep_log(conn: &Connection) -> rusqlite::Result<()> {
    // A sync that fails here leaves the journal as it was, without an error.
    let mode: String =
        conn.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR),
            Some(format!("the journal stays in the mode {mode}")),
        ));
    }
    Ok(())
}

/// Copies what the connection sees at this moment into the empty file `draft`, without what was deleted. Others may write meanwhile.
pub(crate) fn copy_into(conn: &Connection, draft: &Path) -> rusqlite::Result<()> {
    // As the file system has it: not all paths are text.
    let path = ValueRef::Text(draft.as_os_str().as_encoded_bytes());
    conn.execute("VACUUM INTO ?1", [ToSqlOutput::Borrowed(path)])?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let copy = Connection::open_with_flags(draft, flags)?;
    copy.pragma_update(None, "synchronous", "EXTRA")?;
    keep_log(&copy)?;
    copy.close().map_err(|(_, error)| error)
}

/// Judges the file without changing it.
///
/// All of it goes through SQLite: opening and closing the file here would let go of the locks that other
/// handles of this process hold on it.
fn check(kind: &Kind, options: &Options) -> Result<(), StoreError> {
    let path = &options.path;
    let length = fs::metadata(path)
        .map_err(|error| io_error(path, error))?
        .len();
    if length == 0 {
        return Err(not_ours(path, "an empty file, not a store"));
    }
    let whole = !has_log(path);
    let read = || {
        let conn = look(path)?;
        conn.busy_timeout(options.wait)?;
        let number = |name| conn.pragma_query_value(None, name, |row| row.get::<_, u32>(0));
        let size = u64::from(number("page_size")?) * u64::from(number("page_count")?);
        Ok((number("application_id")?, number("user_version")?, size))
    };
    let (application, format, size) = read().map_err(|error| cannot_open(path, error))?;
    if application != kind.application {
        let other = [STORE, KV].iter().any(|it| it.application == application);
        let what = if other {
            "a store of another kind, encrypted or not"
        } else {
            "an SQLite file of another program"
        };
        return Err(not_ours(path, what));
    }
    if format > kind.format {
        return Err(StoreError::new(
            StoreErrorKind::FormatTooNew,
            format!(
                "{} was written by a newer release; update this program",
                shown(path)
            ),
        ));
    }
    // With a write-ahead log beside it, a file may lawfully be short for a while.
    if whole && length < size {
        return Err(StoreError::corrupt(format!(
            "{} is cut short; restore it from a backup or pull into a new store",
            shown(path)
        )));
    }
    Ok(())
}

/// What a path may hold in a URI as it is.
const IN_URI: AsciiSet = NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b':')
    .remove(b'.')
    .remove(b'-')
    .remove(b'_');

/// A connection that only looks at the file. Without a write-ahead log it takes no locks and makes no files.
fn look(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    if has_log(path) {
        return Connection::open_with_flags(path, flags);
    }
    let mut place = path.as_os_str().as_encoded_bytes().to_vec();
    if cfg!(windows) {
        for byte in place.iter_mut().filter(|byte| **byte == b'\\') {
            *byte = b'/';
        }
        place.insert(0, b'/');
    }
    let place = percent_encode(&place, &IN_URI);
    // The empty authority keeps a path that begins with two slashes from being read as one.
    let uri = format!("file://{place}?immutable=1");
    Connection::open_with_flags(uri, flags)
}

fn has_log(path: &Path) -> bool {
    fs::metadata(files::with_suffix(path, "-wal")).is_ok_and(|meta| meta.len() > 0)
}

/// An error from opening the file itself, for which SQLite does not say whether permission was the reason.
fn cannot_open(path: &Path, error: rusqlite::Error) -> StoreError {
    if error.sqlite_error_code() == Some(ErrorCode::CannotOpen)
        && let Err(error) = File::open(path)
    {
        return io_error(path, error);
    }
    at_path(path, error)
}

pub(crate) fn at_path(path: &Path, error: rusqlite::Error) -> StoreError {
    let (kind, message) = describe(&error);
    StoreError::new(kind, format!("{}: {message}", shown(path))).with_source(error)
}
