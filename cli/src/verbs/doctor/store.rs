//! The store: whether it opens, what was left in it and beside it, what waits.

use std::fs;
use std::path::{Path, PathBuf};

use synctable::encrypted::Sealed;
use synctable::store::{LocalStore as _, ProcessLock, StoreError, StoreErrorKind};
use synctable::sync::{Examination, StoreRole, examine};
use synctable::{Missing, OpenedStore, StoreKind};

use super::checkup::Checkup;
use crate::args::Globals;
use crate::errors::Failure;

/// Less room than this is a problem, or soon will be.
const LITTLE: u64 = 10 << 20;
const ENOUGH: u64 = 200 << 20;

/// Checks the store; gives what is in that of a device.
pub(crate) async fn check(
    globals: &Globals,
    checkup: &mut Checkup<'_>,
) -> Result<Option<Examination>, Failure> {
    let url = &globals.store;
    let path = url.path();
    if url.kind() == StoreKind::Memory {
        checkup.ok("store", "memory: holds nothing after this command")?;
        return Ok(None);
    }
    drafts(path, checkup)?;
    if !path.exists() {
        checkup.problem(
            "store",
            format!("there is none at {}", path.display()),
            "check the path and the folder; the first insert, import or pull makes one",
        )?;
        space(path, checkup)?;
        return Ok(None);
    }
    checkup.ok("store", format!("{url} takes {}", amount(size(path))))?;
    space(path, checkup)?;
    let key = match globals.keys().secret_of(url) {
        Ok(key) => key,
        Err(failure) => {
            checkup.problem(
                "key",
                failure.message(),
                "the store is not opened without it",
            )?;
            return Ok(None);
        }
    };
    let opened = match url.open(key, Missing::Refuse) {
        Ok(opened) => opened,
        Err(error) => {
            refused(&error, checkup)?;
            return Ok(None);
        }
    };
    // The first push makes the file of the lock, which is not to be made by a look at it.
    let has_lock = url.kind() != StoreKind::Sqlite || beside(path, "-push").exists();
    let found = look_inside(&opened, has_lock, checkup).await;
    let closed = opened.store.close().await;
    let found = found?;
    closed?;
    Ok(found)
}

/// A store that does not open.
fn refused(error: &StoreError, checkup: &mut Checkup<'_>) -> Result<(), Failure> {
    use StoreErrorKind as Kind;
    let (check, advice) = match error.kind() {
        Kind::Locked => (
            "lock",
            "end the other program that has it open, or wait for it",
        ),
        Kind::Permission => ("store", "let this user read and write file and folder"),
        Kind::Full => ("space", "make room on the disk"),
        Kind::FormatTooNew => ("format", "update this program"),
        Kind::KeyNeeded | Kind::NotEncrypted | Kind::WrongKey => {
            ("key", "give the key or passphrase that belongs to it")
        }
        Kind::NotAStore => ("format", "check --store; the file is left as it is"),
        Kind::Corrupt | Kind::Tampered => (
            "format",
            "put it aside and pull anew, or go back to a backup; what was not pushed is only in it",
        ),
        _ => ("store", "try again, and look after the disk"),
    };
    checkup.problem(check, Failure::told(error).message(), advice)
}

async fn look_inside(
    opened: &OpenedStore,
    has_lock: bool,
    checkup: &mut Checkup<'_>,
) -> Result<Option<Examination>, Failure> {
    let store = &*opened.store;
    let found = match examine(store).await {
        Ok(found) => found,
        Err(error) => {
            let advice = "see synctable verify; what was not pushed is only in this store";
            checkup.problem("format", Failure::from(error).message(), advice)?;
            return Ok(None);
        }
    };
    checkup.ok("format", "this release reads it")?;
    if opened.sealed.as_ref().is_some_and(Sealed::is_rotating) {
        let advice = "finish it with synctable rotate-key";
        checkup.warning("key", "a change of the data key was cut off", advice)?;
    }
    match found.role {
        StoreRole::Device => {}
        StoreRole::HalfCopy => {
            let advice = "copy again, or remove it";
            checkup.problem("leftovers", "it is a copy that was cut off", advice)?;
            return Ok(None);
        }
        StoreRole::Server => {
            checkup.ok("role", "it is the store of a table server")?;
            return Ok(None);
        }
        _ => {
            checkup.ok("role", "nobody has used it yet")?;
            return Ok(None);
        }
    }
    let pusher = if has_lock {
        opened.store.try_lock().await?
    } else {
        ProcessLock::Unsupported
    };
    lock(&pusher, &found, checkup)?;
    tables(&found, checkup)?;
    queue(&found, checkup)?;
    Ok(Some(found))
}

fn lock(
    pusher: &ProcessLock,
    found: &Examination,
    checkup: &mut Checkup<'_>,
) -> Result<(), Failure> {
    match (pusher, found.pusher) {
        (ProcessLock::Taken, _) => checkup.warning(
            "lock",
            "another process pushes just now",
            "wait for it; one that hangs is taken over after a minute",
        ),
        (_, Some(since)) => checkup.ok(
            "lock",
            format!("a push was cut off at {since}; the next one finds out what became of it"),
        ),
        _ => checkup.ok("lock", "no other process pushes"),
    }
}

fn tables(found: &Examination, checkup: &mut Checkup<'_>) -> Result<(), Failure> {
    let records: u64 = found.tables.iter().map(|table| table.records).sum();
    let count = found.tables.len();
    checkup.ok("tables", format!("{count} tables with {records} records"))?;
    for table in &found.tables {
        let name = &table.name;
        if table.local_only && table.pending > 0 {
            checkup.warning(
                "tables",
                format!(
                    "{name} is local only, but {} operations on it are queued, which the next push sends",
                    table.pending
                ),
                format!("drop them with synctable discard {name} ID, or push them"),
            )?;
        }
        if table.unsent > 0 {
            checkup.warning(
                "tables",
                format!(
                    "{} records of {name} are only here, and nothing sends them",
                    table.unsent
                ),
                format!("queue them with synctable enqueue {name}"),
            )?;
        }
    }
    if found.unfinished_filters > 0 {
        checkup.warning(
            "leftovers",
            format!(
                "{} pulls with a new filter were cut off; records that left are still here",
                found.unfinished_filters
            ),
            "pull again under the same names",
        )?;
    }
    Ok(())
}

fn queue(found: &Examination, checkup: &mut Checkup<'_>) -> Result<(), Failure> {
    let oldest = found
        .oldest
        .map_or_else(String::new, |time| format!(", the oldest since {time}"));
    checkup.ok(
        "queue",
        format!("{} operations are queued{oldest}", found.pending),
    )?;
    if found.conflicts > 0 {
        checkup.warning(
            "queue",
            format!("{} are in conflict", found.conflicts),
            "see synctable conflicts, and end each with synctable resolve",
        )?;
    }
    if found.rejected > 0 {
        checkup.warning(
            "queue",
            format!("the server refused {}", found.rejected),
            "see synctable pending; edit the record, or use synctable retry or cancel",
        )?;
    }
    if found.aside > 0 {
        checkup.warning(
            "queue",
            format!("{} are aside, as the server failed at them", found.aside),
            "see synctable pending; a later push tries them again",
        )?;
    }
    Ok(())
}

/// What was left beside the store by processes that were killed while they made it.
fn drafts(path: &Path, checkup: &mut Checkup<'_>) -> Result<(), Failure> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let prefix = format!("{name}.new-");
    let entries = fs::read_dir(folder(path)).into_iter().flatten().flatten();
    let left: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with(&prefix))
        .collect();
    match left.first() {
        None => Ok(()),
        Some(first) => checkup.warning(
            "leftovers",
            format!(
                "{} drafts of a store lie beside it, the first is {first}",
                left.len()
            ),
            "remove them, unless another process is making the store just now",
        ),
    }
}

/// The folder that a store is in.
fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// The bytes of a file, with those of its log, or of the files in a folder.
fn size(path: &Path) -> u64 {
    if path.is_dir() {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        return entries.map(|entry| size(&entry.path())).sum();
    }
    let of = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
    of(path) + of(&beside(path, "-wal"))
}

/// The file beside a store whose name ends so.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn space(path: &Path, checkup: &mut Checkup<'_>) -> Result<(), Failure> {
    let Some(free) = free_space(&folder(path)) else {
        return Ok(());
    };
    let message = format!("{} are free on the disk of the store", amount(free));
    let advice = "make room; a store that is full can still be read";
    match free {
        ..LITTLE => checkup.problem("space", message, advice),
        LITTLE..ENOUGH => checkup.warning("space", message, advice),
        _ => checkup.ok("space", message),
    }
}

#[cfg(unix)]
fn free_space(folder: &Path) -> Option<u64> {
    let status = rustix::fs::statvfs(folder).ok()?;
    status.f_bavail.checked_mul(status.f_frsize)
}

#[cfg(not(unix))]
fn free_space(_: &Path) -> Option<u64> {
    None
}

fn amount(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..1_048_576 => format!("{} KiB", bytes >> 10),
        1_048_576..1_073_741_824 => format!("{} MiB", bytes >> 20),
        _ => format!("{} GiB", bytes >> 30),
    }
}
