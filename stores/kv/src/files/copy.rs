//! Private copies of files that may not be written, for engines that write when they read.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use synctable_core::store::{StoreError, StoreErrorKind};

use super::access::{create_private, create_private_folder};
use super::draft::Draft;
use super::{io_error, shown};

/// What the folders of copies are called, before their numbers.
const NAME: &str = "synctable-read";
/// How many names may be taken already.
const ATTEMPTS: usize = 16;
/// Where Linux lends memory as a folder: for a machine whose disks are all full.
const MEMORY: &str = "/dev/shm";

/// A folder with a copy of a store, which its owner alone may use. It is removed when this is dropped; what a killed process left is removed
/// when the next copy is made.
#[derive(Debug)]
pub struct PrivateCopy(Draft);

impl PrivateCopy {
    /// Makes a folder and has `fill` put a copy of what is at `path` into it: in the folder of the system for temporary files (`TMPDIR`), or in
    /// memory where there is no room and the system has such a folder.
    ///
    /// # Errors
    /// Those of `fill`; [`Full`](StoreErrorKind::Full) or [`Permission`](StoreErrorKind::Permission) where no folder takes the copy.
    pub fn make(
        path: &Path,
        fill: impl Fn(&Path) -> Result<(), StoreError>,
    ) -> Result<Self, StoreError> {
        Self::make_in(path, &[std::env::temp_dir(), PathBuf::from(MEMORY)], fill)
    }

    fn make_in(
        path: &Path,
        places: &[PathBuf],
        fill: impl Fn(&Path) -> Result<(), StoreError>,
    ) -> Result<Self, StoreError> {
        let mut first = None;
        for place in places.iter().filter(|place| place.is_dir()) {
            match Self::filled(place, &fill) {
                Err(error)
                    if matches!(
                        error.kind(),
                        StoreErrorKind::Full | StoreErrorKind::Permission
                    ) =>
                {
                    first.get_or_insert(error);
                }
                result => return result,
            }
        }
        Err(no_place(path, first))
    }

    fn filled(
        place: &Path,
        fill: &impl Fn(&Path) -> Result<(), StoreError>,
    ) -> Result<Self, StoreError> {
        let mut tries = 0..ATTEMPTS;
        loop {
            let draft = Draft::new(&place.join(NAME))?;
            match create_private_folder(draft.path()) {
                // Others make folders here, too.
                Err(error)
                    if error.kind() == ErrorKind::AlreadyExists && tries.next().is_some() => {}
                made => {
                    made.map_err(|error| io_error(place, error))?;
                    fill(draft.path())?;
                    return Ok(Self(draft));
                }
            }
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

fn no_place(path: &Path, cause: Option<StoreError>) -> StoreError {
    let kind = cause
        .as_ref()
        .map_or(StoreErrorKind::Permission, StoreError::kind);
    let message = format!(
        "{} is read from a copy, and no folder takes one; set TMPDIR to a folder with room for it",
        shown(path)
    );
    let error = StoreError::new(kind, message);
    match cause {
        Some(cause) => error.with_source(cause),
        None => error,
    }
}

/// Copies a file; its owner alone may read and write the copy, whatever holds for the file.
pub fn copy_file(from: &Path, to: &Path) -> Result<(), StoreError> {
    let mut source = File::open(from).map_err(|error| io_error(from, error))?;
    copy_open_file(&mut source, from, to)
}

/// The same for a file that is open, such as one that is held locked.
pub fn copy_open_file(source: &mut File, from: &Path, to: &Path) -> Result<(), StoreError> {
    let mut target = create_private(to).map_err(|error| io_error(to, error))?;
    // Not `fs::copy`: that would copy the permissions, too.
    io::copy(source, &mut target).map_err(|error| io_error(from, error))?;
    Ok(())
}

/// Copies all files of a folder, and of those in it, into one that is there; `wanted` says which, by their names.
pub fn copy_folder(
    from: &Path,
    to: &Path,
    wanted: &impl Fn(&Path) -> bool,
) -> Result<(), StoreError> {
    let failed = |error| io_error(from, error);
    for entry in fs::read_dir(from).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        if !wanted(&path) {
            continue;
        }
        if entry.file_type().map_err(failed)?.is_dir() {
            create_private_folder(&copy).map_err(|error| io_error(&copy, error))?;
            copy_folder(&path, &copy, wanted)?;
        } else {
            copy_file(&path, &copy)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    #[test]
    fn a_copy_lies_where_there_is_room_and_goes_with_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let places = ["none", "full", "other"].map(|name| folder.path().join(name));
        fs::create_dir(&places[1]).unwrap();
        fs::create_dir(&places[2]).unwrap();
        let fill = |copy: &Path| {
            if copy.starts_with(&places[1]) {
                fs::write(copy.join("half"), "x").unwrap();
                return Err(StoreError::new(StoreErrorKind::Full, "no room"));
            }
            fs::write(copy.join("whole"), "x").unwrap();
            Ok(())
        };
        let count = |place: &Path| fs::read_dir(place).unwrap().count();
        let copy = PrivateCopy::make_in(Path::new("a.db"), &places, fill).unwrap();
        assert!(copy.path().starts_with(&places[2]), "{copy:?}");
        assert!(copy.path().join("whole").exists());
        assert_eq!(count(&places[1]), 0, "what did not fit is removed");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(copy.path()).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0);
        }
        drop(copy);
        assert_eq!(count(&places[2]), 0);

        let error = PrivateCopy::make_in(Path::new("a.db"), &places[..2], fill).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Full);
        assert!(error.to_string().contains("TMPDIR"), "{error}");
        let damaged = |_: &Path| Err(StoreError::corrupt("damaged"));
        let error = PrivateCopy::make_in(Path::new("a.db"), &places, damaged).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "room is not all");
    }
}
