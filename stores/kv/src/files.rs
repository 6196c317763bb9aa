//! Paths and files, for engines that keep a store in one: the same checks and messages in all of them.

mod access;
mod copy;
mod draft;
mod kept;

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::iter;
use std::path::Path;

use synctable_core::store::{StoreError, StoreErrorKind};

pub use access::{
    create_private, create_private_folder, create_private_folders, exposure, make_private, private,
    warn_if_exposed,
};
pub use copy::{PrivateCopy, copy_file, copy_folder, copy_open_file};
pub use draft::{Draft, Taken, remove_dead_drafts, remove_dead_drafts_around, with_suffix};
pub use kept::{keep_earlier, kept_at};

/// What is said where the process may open no more files.
pub const TOO_MANY_FILES: &str =
    "too many files are open; close some, or allow more of them (ulimit -n)";

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
    let (kind, message) = told(path, &error);
    StoreError::new(kind, message).with_source(error)
}

/// The error of an engine at `path`: as [`io_error`] tells it where a call of the file system is among its causes, else of this kind, with what is
/// said of the path.
///
/// ```
/// # use std::{error::Error, fmt, io, path::Path};
/// # #[derive(Debug)]
/// # struct EngineError(Option<io::Error>);
/// # impl fmt::Display for EngineError {
/// #     fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str("no") }
/// # }
/// # impl Error for EngineError {
/// #     fn source(&self) -> Option<&(dyn Error + 'static)> { self.0.as_ref().map(|it| it as _) }
/// # }
/// use synctable_core::store::StoreErrorKind;
/// use synctable_kv::files;
/// let told = |error| files::engine_error(Path::new("app.db"), error, StoreErrorKind::Corrupt, "is damaged");
/// let full = EngineError(Some(io::ErrorKind::StorageFull.into()));
/// assert_eq!(told(full).kind(), StoreErrorKind::Full);
/// assert_eq!(told(EngineError(None)).to_string(), "'app.db' is damaged");
/// ```
pub fn engine_error(
    path: &Path,
    error: impl Error + Send + Sync + 'static,
    kind: StoreErrorKind,
    what: &str,
) -> StoreError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    let io = iter::from_fn(|| {
        let this = cause?;
        cause = this.source();
        Some(this)
    })
    .find_map(|it| it.downcast_ref::<io::Error>());
    let (kind, message) = match io {
        Some(io) => told(path, io),
        None => (kind, format!("{} {what}", shown(path))),
    };
    StoreError::new(kind, message).with_source(error)
}

fn told(path: &Path, error: &io::Error) -> (StoreErrorKind, String) {
    let path = shown(path);
    match error.kind() {
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
        _ if is_too_many_files(error) => (
            StoreErrorKind::Io,
            format!("{path} cannot be opened: {TOO_MANY_FILES}"),
        ),
        _ => (
            StoreErrorKind::Io,
            format!("{path} cannot be opened; check the path and the disk"),
        ),
    }
}

/// True for a call that failed because the process, or the whole system, has too many files open.
pub fn is_too_many_files(error: &io::Error) -> bool {
    let codes: &[i32] = if cfg!(windows) { &[4] } else { &[23, 24] };
    error
        .raw_os_error()
        .is_some_and(|code| codes.contains(&code))
}

/// True where the process can hardly open more files, for engines that do not tell why a file could not be opened.
pub fn are_too_many_files_open() -> bool {
    // As many as an engine may have tried to open at once, and closed when one of them failed.
    !are_left(4)
}

/// True where the process may open so many more files.
pub fn are_left(count: usize) -> bool {
    let nothing = if cfg!(windows) { "NUL" } else { "/dev/null" };
    let mut opened = Vec::new();
    (0..count).all(|_| match File::open(nothing) {
        Ok(file) => {
            opened.push(file);
            true
        }
        Err(error) => !is_too_many_files(&error),
    })
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

/// The error for a log or journal that lies beside `path` without its file. SQLite would take it for that of a new file, and replay
/// what is in it; it may also be the only copy of changes, while somebody puts the file back.
pub fn stray(path: &Path) -> Result<Option<StoreError>, StoreError> {
    for suffix in ["-wal", "-journal", "-shm"] {
        let beside = with_suffix(path, suffix);
        match fs::symlink_metadata(&beside) {
            Ok(_) => {
                let (store, beside) = (shown(path), shown(&beside));
                let message = format!(
                    "{beside} belongs to a store at {store}, which is not there; put that store back (the only copy of its last changes \
                     may be in it), or move {beside} away"
                );
                return Ok(Some(StoreError::new(StoreErrorKind::NotAStore, message)));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(io_error(&beside, error)),
        }
    }
    Ok(None)
}

/// Fails where something new cannot be made at `path`: something is there, or its log is, or the folder around it is not.
pub fn check_vacant(path: &Path) -> Result<(), StoreError> {
    if fs::symlink_metadata(path).is_ok() {
        return Err(taken(path));
    }
    folder_of(path)?;
    stray(path)?.map_or(Ok(()), Err)
}

/// Something is at a path where something new is to be made.
pub fn taken(path: &Path) -> StoreError {
    StoreError::new(
        StoreErrorKind::NotAStore,
        format!("{} is there already; give a new path", shown(path)),
    )
}

/// Makes a new file: `build` fills an empty one under another name, in the same folder, closed and synced; then it is linked
/// into place. So a crash leaves no half-made file, and processes that start together end up with one. Its owner alone may read it.
pub fn make(
    path: &Path,
    build: impl FnOnce(&Path) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let draft = Draft::of_file(path)?;
    build(draft.path())?;
    draft.place(Taken::Fine)
}

/// Makes a new folder: `build` makes it under another name, with all in it closed and synced; then it gets its name.
/// So a crash leaves no half-made folder, and processes that start together end up with one.
///
/// ```
/// # let path = std::env::temp_dir().join(format!("synctable-doc-{}", std::process::id()));
/// use synctable_kv::files;
/// files::make_folder(&path, |draft| {
///     files::create_private_folder(draft).map_err(|error| files::io_error(draft, error))
/// })
/// .unwrap();
/// assert!(path.is_dir());
/// # std::fs::remove_dir(&path).unwrap();
/// ```
pub fn make_folder(
    path: &Path,
    build: impl FnOnce(&Path) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let draft = Draft::new(path)?;
    build(draft.path())?;
    draft.place(Taken::Fine)
}

/// Makes the names in a folder durable.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder) {
        Ok(folder) => folder.sync_all(),
        // Not every system can open a folder; the files themselves are synced.
        Err(_) => Ok(()),
    }
}
