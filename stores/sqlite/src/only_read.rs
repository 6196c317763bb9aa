//! Opening a file for reading only: where its content is read from, so that nothing in its folder is written.
//!
//! SQLite itself writes when it only reads: it makes a log and the shared memory of its readers, and brings both in order after a crash.
//! Told that the file is `immutable` it does not, but then it sees nothing of a log. So there are three ways:
//!
//! * Where others have the store open, as any connection that reads: they have made those files, and SQLite writes into the shared memory alone.
//! * Where the file is all there is, as `immutable`. Each read is followed by a look at whether that still holds.
//! * Where a log has content of its own, from a private copy of both. With its shared memory beside it, SQLite itself
//!   makes the copy (`readonly_shm`), as this process may hold locks on these files, which would go if they were opened and closed by hand.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags};
use synctable_core::TableName;
use synctable_core::store::{StoreError, StoreErrorKind};
use synctable_kv::files::{self, PrivateCopy, copy_file, io_error, shown, with_suffix};

use crate::error::describe;
use crate::layout;
use crate::log::is_open_elsewhere;
use crate::open::{at_path, cannot_open, uri};

/// The name of the file in a private copy.
const NAME: &str = "store";
/// How often a file may change while it is copied.
const ATTEMPTS: usize = 5;

/// A file that is open for reading only.
#[derive(Debug)]
pub(crate) struct OnlyRead {
    /// The file itself, whatever links lead to it.
    path: PathBuf,
    way: Way,
}

#[derive(Debug)]
enum Way {
    /// Others have it open.
    Beside,
    /// Nobody has, and the file is all there is.
    Still(Mark),
    /// From a copy, in which it is whole.
    Copy(PrivateCopy),
}

/// What changes when somebody writes to a file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mark {
    length: u64,
    modified: Option<SystemTime>,
    inode: (u64, u64),
    /// The lengths of what may lie beside it with content of its own.
    beside: [u64; 2],
}

impl OnlyRead {
    /// Finds the way to a file that is there. Nothing is written to its folder.
    pub(crate) fn find(path: &Path, wait: Duration) -> Result<Self, StoreError> {
        if !files::exists(path)? {
            return Err(files::stray(path)?.unwrap_or_else(|| files::missing(path)));
        }
        let path = fs::canonicalize(path).map_err(|error| io_error(path, error))?;
        if fs::metadata(&path).is_ok_and(|meta| meta.len() == 0) {
            return Err(files::not_ours(&path, "an empty file, not a store"));
        }
        let way = if is_open_elsewhere(&with_suffix(&path, "-changes")) {
            Way::Beside
        } else {
            let mark = Mark::of(&path)?;
            if mark.beside == [0, 0] {
                Way::Still(mark)
            } else {
                Way::Copy(PrivateCopy::make(&path, |folder| {
                    copy(&path, &folder.join(NAME), wait)
                })?)
            }
        };
        Ok(Self { path, way })
    }

    /// A connection that reads, and writes nothing beside the file.
    pub(crate) fn connect(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = match &self.way {
            Way::Beside => Connection::open_with_flags(&self.path, flags),
            Way::Still(_) => open_uri(&self.path, "immutable=1"),
            Way::Copy(copy) => open_uri(&copy.path().join(NAME), "immutable=1"),
        }?;
        // What is sorted beyond the cache would be a file, for which there may be no room.
        conn.pragma_update(None, "temp_store", "MEMORY")?;
        Ok(conn)
    }

    /// An error where what was read just now is not all, or not of one moment: somebody has begun to write.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        match &self.way {
            Way::Still(mark) if Mark::of(&self.path)? != *mark => Err(StoreError::new(
                StoreErrorKind::Locked,
                format!(
                    "{} was opened and changed by another process since it was opened for reading only; open it again",
                    shown(&self.path)
                ),
            )),
            _ => Ok(()),
        }
    }

    /// Where the file is short of its pages, it was cut off: there is no log in which they might be.
    pub(crate) fn is_all(&self) -> bool {
        matches!(self.way, Way::Still(_))
    }

    /// Others may write.
    pub(crate) fn changes(&self) -> bool {
        matches!(self.way, Way::Beside)
    }
}

impl Mark {
    fn of(path: &Path) -> Result<Self, StoreError> {
        let meta = fs::metadata(path).map_err(|error| io_error(path, error))?;
        let length = |suffix| match fs::metadata(with_suffix(path, suffix)) {
            Ok(meta) => Ok(meta.len()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
            Err(error) => Err(io_error(path, error)),
        };
        Ok(Self {
            length: meta.len(),
            modified: meta.modified().ok(),
            inode: inode(&meta),
            beside: [length("-wal")?, length("-journal")?],
        })
    }
}

#[cfg(unix)]
fn inode(meta: &fs::Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt as _;
    (meta.dev(), meta.ino())
}

#[cfg(not(unix))]
fn inode(_: &fs::Metadata) -> (u64, u64) {
    (0, 0)
}

fn open_uri(path: &Path, parameters: &str) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(uri(path, parameters), flags)
}

/// Makes a copy of the file as whoever opened it next would find it: with what is in its log.
fn copy(path: &Path, target: &Path, wait: Duration) -> Result<(), StoreError> {
    let failed = |error| cannot_open(path, error);
    let source = open_uri(path, "readonly_shm=1").map_err(failed)?;
    source.busy_timeout(wait).map_err(failed)?;
    let exists = |suffix| fs::metadata(with_suffix(path, suffix)).is_ok_and(|it| it.len() > 0);
    if exists("-wal") && exists("-shm") {
        return copy_by_sqlite(&source, path, target);
    }
    // Where somebody has it open all the same, alone and without shared memory, this says so. Else it cannot read without that memory.
    let looked = source.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0));
    drop(source);
    match looked {
        Err(error) if describe(&error).0 == StoreErrorKind::Locked => Err(at_path(path, error)),
        _ => copy_by_hand(path, target),
    }
}

fn copy_by_sqlite(source: &Connection, path: &Path, target: &Path) -> Result<(), StoreError> {
    files::create_private(target).map_err(|error| io_error(target, error))?;
    let mut copy = Connection::open(target).map_err(|error| at_path(target, error))?;
    // Nothing of it has to last.
    copy.pragma_update(None, "synchronous", "OFF")
        .map_err(|error| at_path(target, error))?;
    let done = Backup::new(source, &mut copy).and_then(|backup| backup.step(-1));
    match done.map_err(|error| cannot_open(path, error))? {
        rusqlite::backup::StepResult::Done => Ok(()),
        _ => Err(busy(path)),
    }
}

/// Without SQLite. No process holds locks on these files, so none are lost when they are closed.
fn copy_by_hand(path: &Path, target: &Path) -> Result<(), StoreError> {
    const BESIDE: [&str; 2] = ["-wal", "-journal"];
    for _ in 0..ATTEMPTS {
        let before = Mark::of(path)?;
        copy_file(path, target)?;
        for suffix in BESIDE {
            let beside = with_suffix(path, suffix);
            if beside.exists() {
                copy_file(&beside, &with_suffix(target, suffix))?;
            }
        }
        if Mark::of(path)? == before {
            return settle(target).map_err(|error| at_path(path, error));
        }
        for suffix in ["", "-wal", "-journal"] {
            let _ = fs::remove_file(with_suffix(target, suffix));
        }
    }
    Err(busy(path))
}

/// Brings what is in the log of the copy into the copy itself.
fn settle(target: &Path) -> rusqlite::Result<()> {
    let copy = Connection::open(target)?;
    copy.pragma_update(None, "synchronous", "OFF")?;
    copy.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    copy.close().map_err(|(_, error)| error)
}

fn busy(path: &Path) -> StoreError {
    let message = format!(
        "{} changes all the time while it is read; close it where it is open",
        shown(path)
    );
    StoreError::new(StoreErrorKind::Locked, message)
}

/// Has a connection see a file of release 0.1 as one of today: rows without a revision have that of their content. The views live in the
/// connection's memory.
pub(crate) fn see_first_format(conn: &Connection) -> rusqlite::Result<()> {
    let names: Vec<String> = conn
        .prepare("SELECT name FROM main._synctable_catalogue")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut sql = String::from(
        "CREATE TEMP VIEW _synctable_catalogue_changes AS SELECT number, 0 AS log FROM main._synctable_generation;",
    );
    for name in names {
        // A name that is none is told when the catalogue is read.
        if let Ok(table) = TableName::stored(&name) {
            sql.push_str(&layout::view_of_first(&table));
        }
    }
    conn.execute_batch(&sql)
}
