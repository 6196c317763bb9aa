//! Opening and making store files: what is not ours is refused before SQLite touches it.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rusqlite::config::DbConfig;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use synctable_core::store::{StoreError, StoreErrorKind};
use synctable_kv::files::{self, create_private, io_error, not_ours, shown};

use crate::error::describe;
use crate::only_read::{OnlyRead, see_first_format};
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
    /// Whether a file of an earlier format is copied before it is brought forward.
    pub(crate) keep_earlier: bool,
    /// How the file is read, where it is not to be written.
    pub(crate) only_read: Option<Arc<OnlyRead>>,
}

/// Opens the store's first connection, the one that writes; makes the file where it is missing and wanted.
pub(crate) fn open(options: &Options) -> Result<Connection, StoreError> {
    let path = &options.path;
    let conn = open_file(&STORE, options, |_| Ok(()))?;
    upgrade::bring_forward(&conn, path, || keep_earlier(options))?;
    // Opens the log.
    conn.query_row(catalogue::GENERATION, [], |_| Ok(()))
        .map_err(|error| not_permitted(path, error))?;
    Ok(conn)
}

/// Keeps a copy of the file. Whoever is about to bring it forward holds the writers up meanwhile.
fn keep_earlier(options: &Options) -> Result<(), StoreError> {
    files::keep_earlier(
        options.keep_earlier,
        &options.path,
        upgrade::FIRST,
        |draft| {
            let source = open_source(options)?;
            create_private(draft).map_err(|error| io_error(draft, error))?;
            copy_into(&source, draft).map_err(|error| at_path(draft, error))
        },
    )
}

/// Opens the only connection to a file of keys and values; makes the file where it is missing and wanted.
pub(crate) fn open_kv(path: &Path, create: bool, cache: usize) -> Result<Connection, StoreError> {
    let options = Options {
        path: path.to_owned(),
        create,
        cache,
        readers: 0,
        wait: Duration::ZERO,
        keep_earlier: false,
        only_read: None,
    };
    open_file(&KV, &options, |conn| {
        conn.pragma_update(None, "secure_delete", "ON")?;
        // Before the first read: then it holds for the log, too.
        conn.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        // A write takes the lock, which is kept from now on.
        conn.execute_batch("BEGIN IMMEDIATE; ROLLBACK")
    })
}

/// Finds how to read the store without writing anything to its folder, and judges it as a normal opening does.
pub(crate) fn open_only_read(path: &Path, wait: Duration) -> Result<OnlyRead, StoreError> {
    only_read(&STORE, path, wait)
}

/// The same for a file of keys and values, with the connection that reads it.
pub(crate) fn open_kv_only_read(
    path: &Path,
    cache: usize,
) -> Result<(Connection, OnlyRead), StoreError> {
    let source = only_read(&KV, path, Duration::ZERO)?;
    let options = Options {
        path: path.to_owned(),
        create: false,
        cache,
        readers: 0,
        wait: Duration::ZERO,
        keep_earlier: false,
        only_read: None,
    };
    let conn = source.connect().and_then(|conn| {
        set_up(&conn, &options)?;
        Ok(conn)
    });
    let conn = conn.map_err(|error| at_path(path, error))?;
    Ok((conn, source))
}

fn only_read(kind: &Kind, path: &Path, wait: Duration) -> Result<OnlyRead, StoreError> {
    check_sqlite()?;
    let source = OnlyRead::find(path, wait)?;
    let found = || {
        let conn = source.connect()?;
        conn.busy_timeout(wait)?;
        Found::look(&conn)
    };
    let found = found().map_err(|error| cannot_open(path, error))?;
    let length = source.is_all().then(|| length_of(path)).transpose()?;
    judge(kind, path, &found, length)?;
    source.check()?;
    files::warn_if_exposed(path);
    Ok(source)
}

fn check_sqlite() -> Result<(), StoreError> {
    if rusqlite::version_number() < MIN_SQLITE {
        return Err(StoreError::new(
            StoreErrorKind::Unsupported,
            "the linked SQLite is too old; use 3.51.3 or later, or the bundled one",
        ));
    }
    Ok(())
}

fn open_file(
    kind: &Kind,
    options: &Options,
    begin: impl FnOnce(&Connection) -> rusqlite::Result<()>,
) -> Result<Connection, StoreError> {
    check_sqlite()?;
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
    let conn = open_source(options)?;
    let see = || {
        // An opening for writing has brought it forward.
        if options.only_read.is_some() && Found::look(&conn)?.format < upgrade::FORMAT {
            see_first_format(&conn)?;
        }
        Ok(())
    };
    see().map_err(|error| at_path(&options.path, error))?;
    Ok(conn)
}

/// Opens a connection that reads the file as it is, whatever its format: to copy it.
pub(crate) fn open_source(options: &Options) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = match &options.only_read {
        Some(source) => source.connect(),
        None => Connection::open_with_flags(&options.path, flags),
    };
    conn.and_then(|conn| {
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
pub(crate) fn not_permitted(path: &Path, error: rusqlite::Error) -> StoreError {
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

/// What a file says of itself.
struct Found {
    application: u32,
    format: u32,
    /// The bytes of its pages.
    size: u64,
}

impl Found {
    fn look(conn: &Connection) -> rusqlite::Result<Self> {
        let number = |name| conn.pragma_query_value(None, name, |row| row.get::<_, u32>(0));
        Ok(Self {
            application: number("application_id")?,
            format: number("user_version")?,
            size: u64::from(number("page_size")?) * u64::from(number("page_count")?),
        })
    }
}

fn length_of(path: &Path) -> Result<u64, StoreError> {
    let meta = fs::metadata(path).map_err(|error| io_error(path, error))?;
    Ok(meta.len())
}

/// Judges the file without changing it.
///
/// All of it goes through SQLite: opening and closing the file here would let go of the locks that other
/// handles of this process hold on it.
fn check(kind: &Kind, options: &Options) -> Result<(), StoreError> {
    let path = &options.path;
    let length = length_of(path)?;
    if length == 0 {
        return Err(not_ours(path, "an empty file, not a store"));
    }
    let whole = !has_log(path);
    let read = || {
        let conn = look(path)?;
        conn.busy_timeout(options.wait)?;
        Found::look(&conn)
    };
    let found = read().map_err(|error| cannot_open(path, error))?;
    // With a write-ahead log beside it, a file may lawfully be short for a while.
    judge(kind, path, &found, whole.then_some(length))
}

/// Whether a file is one of ours, and whole: one that has to have all its pages has `length` bytes.
fn judge(kind: &Kind, path: &Path, found: &Found, length: Option<u64>) -> Result<(), StoreError> {
    if found.application != kind.application {
        let is_other = |it: &Kind| it.application == found.application;
        let what = if [STORE, KV].iter().any(is_other) {
            "a store of another kind, encrypted or not"
        } else {
            "an SQLite file of another program"
        };
        return Err(not_ours(path, what));
    }
    if found.format > kind.format {
        return Err(StoreError::new(
            StoreErrorKind::FormatTooNew,
            format!(
                "{} was written by a newer release; update this program",
                shown(path)
            ),
        ));
    }
    if length.is_some_and(|length| length < found.size) {
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
    Connection::open_with_flags(uri(path, "immutable=1"), flags)
}

/// The URI of a file, with parameters for SQLite.
pub(crate) fn uri(path: &Path, parameters: &str) -> String {
    let mut place = path.as_os_str().as_encoded_bytes().to_vec();
    if cfg!(windows) {
        for byte in place.iter_mut().filter(|byte| **byte == b'\\') {
            *byte = b'/';
        }
        place.insert(0, b'/');
    }
    let place = percent_encode(&place, &IN_URI);
    // The empty authority keeps a path that begins with two slashes from being read as one.
    format!("file://{place}?{parameters}")
}

fn has_log(path: &Path) -> bool {
    fs::metadata(files::with_suffix(path, "-wal")).is_ok_and(|meta| meta.len() > 0)
}

/// An error from opening the file itself, for which SQLite does not say whether permission was the reason.
pub(crate) fn cannot_open(path: &Path, error: rusqlite::Error) -> StoreError {
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
