//! The copy of a store of an earlier format that is kept when the store is brought forward.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use synctable_core::store::{StoreError, StoreErrorKind};

use super::draft::{Draft, Taken, with_suffix};
use super::{io_error, shown};

/// Where the copy of a store of this format lies: `NAME.format-1`, beside the store.
pub fn kept_at(path: &Path, format: u32) -> PathBuf {
    with_suffix(path, &format!(".format-{format}"))
}

/// Keeps a copy of the store at `path`, which is of an earlier format and about to be brought forward: an application that goes back to its
/// earlier release finds its store there, at [`kept_at`]. It takes as much room as the store. Nobody removes it but the application; a later copy
/// takes its place.
///
/// `copy` makes it at a path where nothing is, whole and closed. It is not called where the application wants none, as the setting
/// `keep_earlier` of each engine says.
///
/// # Errors
/// Those of `copy`; [`Full`](StoreErrorKind::Full) says what to do where there is no room. The store stays as it is.
pub fn keep_earlier(
    is_wanted: bool,
    path: &Path,
    format: u32,
    copy: impl FnOnce(&Path) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    if !is_wanted {
        return Ok(());
    }
    let kept = kept_at(path, format);
    let made = || {
        let draft = Draft::new(&kept)?;
        copy(draft.path())?;
        remove(&kept)?;
        draft.place(Taken::Refused)
    };
    made().map_err(|error| match error.kind() {
        StoreErrorKind::Full => StoreError::new(
            StoreErrorKind::Full,
            format!(
                "{} is of an earlier format, and there is no room to keep a copy of it before it is brought forward; free some space, open it \
                 for reading only, or open it with keep_earlier(false)",
                shown(path)
            ),
        )
        .with_source(error),
        _ => error,
    })
}

fn remove(kept: &Path) -> Result<(), StoreError> {
    let removed = match fs::symlink_metadata(kept) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(kept),
        Ok(_) => fs::remove_file(kept),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    removed.map_err(|error| io_error(kept, error))
}
