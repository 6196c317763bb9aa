//! Paths and files, for engines that keep a store in one: the same checks and messages in all of them.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use synctable_core::store::{StoreError, StoreErrorKind};

/// A path in the form messages show: quoted, without control characters.
pub fn shown(path: &Path) -> String {
    let text: String = path
        .to_string_lossy()
        .chars()
        .flat_map(char::escape_debug)
        .collect();
    format!("'{text}'")
}

/// A failed call of the file system as a store error.
pub fn io_error(path: &Path, error: io::Error) -> StoreError {
    let path = shown(path);
    let (kind, message) = match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => (
            StoreErrorKind::Permission,
            format!(
                "{path} may not be opened for reading and writing; check the permissions of the file and its folder"
            ),
        ),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => (
            StoreErrorKind::Full,
            format!("there is no room for {path}; free some space and try again"),
        ),
        _ => (
            StoreErrorKind::Io,
            format!("{path} cannot be opened; check the path and the disk"),
        ),
    };
    StoreError::new(kind, message).with_source(error)
}

/// What a caller who does not want a new store is told about a path where nothing is.
pub fn missing(path: &Path) -> StoreError {
    StoreError::new(
        StoreErrorKind::Io,
        format!("there is no store at {}; check the path", shown(path)),
    )
}

/// What is at a path is not a store: `what` says what it is.
pub fn not_ours(path: &Path, what: &str) -> StoreError {
    StoreError::new(
        StoreErrorKind::NotAStore,
        format!("{} is {what}; choose another path", shown(path)),
    )
}

/// An error of a store, with the path that its message lacks.
#[must_use]
pub fn at(path: &Path, error: &StoreError) -> StoreError {
    StoreError::new(error.kind(), format!("{}: {error}", shown(path)))
}

/// True when a file is at `path`.
///
/// # Errors
/// When its folder is missing or cannot be read, or a folder is there instead of a file.
pub fn exists(path: &Path) -> Result<bool, StoreError> {
    match fs::metadata(path) {
        Ok(meta) if meta.is_dir() => Err(StoreError::new(
            StoreErrorKind::NotAStore,
            format!("{} is a folder; give the path of a file", shown(path)),
        )),
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            folder_of(path)?;
            Ok(false)
        }
        Err(error) => Err(io_error(path, error)),
    }
}

/// Fails when the folder in which `path` lies is missing.
pub fn folder_of(path: &Path) -> Result<(), StoreError> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => Err(StoreError::new(
            StoreErrorKind::Io,
            format!("there is no folder {}; make it first", shown(folder)),
        )),
        _ => Ok(()),
    }
}

/// Makes a new file: `build` makes it under another name, in the same folder, closed and synced; then it is linked
/// into place. So a crash leaves no half-made file, and processes that start together end up with one.
pub fn make(
    path: &Path,
    build: impl FnOnce(&Path) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let draft = draft_of(path);
    remove(&draft)?;
    let made =
        build(&draft).and_then(|()| place(&draft, path).map_err(|error| io_error(path, error)));
    let removed = remove(&draft);
    made.and(removed)
}

/// Makes a new folder: `build` makes it under another name, with all in it closed and synced; then it gets its name.
/// So a crash leaves no half-made folder, and processes that start together end up with one.
///
/// ```
/// # let path = std::env::temp_dir().join(format!("synctable-doc-{}", std::process::id()));
/// use synctable_kv::files;
/// files::make_folder(&path, |draft| {
///     std::fs::create_dir(draft).map_err(|error| files::io_error(draft, error))
/// })
/// .unwrap();
/// assert!(path.is_dir());
/// # std::fs::remove_dir(&path).unwrap();
/// ```
pub fn make_folder(
    path: &Path,
    build: impl FnOnce(&Path) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let draft = draft_of(path);
    remove_folder(&draft)?;
    let made = build(&draft).and_then(|()| match fs::rename(&draft, path) {
        // Another process was faster: its store is as good.
        Err(_) if path.is_dir() => Ok(()),
        renamed => renamed
            .and_then(|()| path.parent().map_or(Ok(()), sync_folder))
            .map_err(|error| io_error(path, error)),
    });
    let removed = remove_folder(&draft);
    made.and(removed)
}

/// A name that no other call and no other process uses.
fn draft_of(path: &Path) -> PathBuf {
    static DRAFTS: AtomicU32 = AtomicU32::new(0);
    let draft = DRAFTS.fetch_add(1, Ordering::Relaxed);
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".new-{}-{draft}", std::process::id()));
    path.with_file_name(name)
}

fn place(draft: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(draft, path) {
        // Another process was faster: its store is as good.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
        // Some file systems have no links.
        Err(_) if !path.exists() => fs::rename(draft, path)?,
        result => result?,
    }
    path.parent().map_or(Ok(()), sync_folder)
}

/// Makes the names in a folder durable.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder) {
        Ok(folder) => folder.sync_all(),
        // Not every system can open a folder; the files themselves are synced.
        Err(_) => Ok(()),
    }
}

fn remove(draft: &Path) -> Result<(), StoreError> {
    match fs::remove_file(draft) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(io_error(draft, error)),
        _ => Ok(()),
    }
}

fn remove_folder(draft: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(draft) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(io_error(draft, error)),
        _ => Ok(()),
    }
}
