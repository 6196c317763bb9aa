//! Whether a file that is open is still the one at its path.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use synctable_core::store::{StoreError, StoreErrorKind};

use crate::files::{io_error, shown};

/// A file that an engine holds open. What is written to it after somebody removed it, or put another in its place, is lost with the
/// last handle, though every write succeeds.
///
/// Files are told apart on Unix, by device and number. Elsewhere only a file that is missing is noticed; Windows does not let go of
/// files that are open.
#[derive(Debug)]
pub struct OpenFile {
    path: PathBuf,
    identity: Identity,
    opened: Instant,
    /// When it was found at its path: milliseconds since it was opened, plus 1. 0 where it was not, when it was looked for last.
    found: AtomicU64,
}

/// [`OpenFile::check_sometimes`] looks again after so many milliseconds.
const SOMETIMES: u64 = 100;

/// What one file has and no other.
type Identity = (u64, u64);

impl OpenFile {
    /// The file at an absolute path, which was opened just now.
    pub fn at(path: &Path) -> Result<Self, StoreError> {
        let found = fs::metadata(path).map_err(|error| io_error(path, error))?;
        Ok(Self {
            path: path.to_owned(),
            identity: identity(&found),
            opened: Instant::now(),
            found: AtomicU64::new(1),
        })
    }

    /// As [`check`](Self::check), but no more than ten times a second while the file is there: for writes that need not last, to which a look
    /// at the file would be a cost that shows.
    pub fn check_sometimes(&self) -> Result<(), StoreError> {
        let found = self.found.load(Ordering::Relaxed);
        if found > 0 && self.millis() < found.saturating_add(SOMETIMES) {
            return Ok(());
        }
        self.check()
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Fails with [`Gone`](StoreErrorKind::Gone) where the path leads to this file no more. Where it cannot be told, nothing is wrong.
    pub fn check(&self) -> Result<(), StoreError> {
        let gone = match fs::metadata(&self.path) {
            Ok(found) if identity(&found) != self.identity => true,
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                true
            }
            Ok(_) | Err(_) => false,
        };
        let found = self.millis().saturating_add(1);
        self.found
            .store(if gone { 0 } else { found }, Ordering::Relaxed);
        if gone { Err(self.gone()) } else { Ok(()) }
    }

    fn gone(&self) -> StoreError {
        StoreError::new(
            StoreErrorKind::Gone,
            format!(
                "{} was removed or replaced while it was open; nothing was written: put it back, or open the store again",
                shown(&self.path)
            ),
        )
    }
}

#[cfg(unix)]
fn identity(found: &fs::Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt as _;
    (found.dev(), found.ino())
}

#[cfg(not(unix))]
fn identity(_: &fs::Metadata) -> Identity {
    (0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_at_its_path_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let aside = folder.path().join("aside.db");
        fs::write(&path, "x").unwrap();
        let file = OpenFile::at(&path).unwrap();
        let kind = || file.check().err().map(|error| error.kind());
        assert_eq!(kind(), None);
        fs::write(&path, "longer").unwrap();
        assert_eq!(kind(), None, "the same file");
        fs::rename(&path, &aside).unwrap();
        assert_eq!(kind(), Some(StoreErrorKind::Gone), "moved away");
        fs::rename(&aside, &path).unwrap();
        assert_eq!(kind(), None, "put back");
        let copy = folder.path().join("copy.db");
        fs::copy(&path, &copy).unwrap();
        fs::rename(&copy, &path).unwrap();
        let expected = cfg!(unix).then_some(StoreErrorKind::Gone);
        assert_eq!(kind(), expected, "replaced by a copy");
        fs::remove_file(&path).unwrap();
        assert_eq!(kind(), Some(StoreErrorKind::Gone), "removed");
        assert_eq!(OpenFile::at(&path).unwrap_err().kind(), StoreErrorKind::Io);
    }
}
