//! Whether a file that is open is still the one at its path.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use synctable_core::store::{StoreError, StoreErrorKind};

use crate::files::{io_error, shown, with_suffix};

/// A file that an engine holds open. What is written to it after somebody removed it, or put another in its place, is lost with the
/// last handle, though every write succeeds.
///
/// Files are told apart on Unix, by device and number. Elsewhere only a file that is missing is noticed; Windows does not let go of
/// files that are open.
#[derive(Debug)]
pub struct OpenFile {
    path: PathBuf,
    identity: Identity,
    /// What the engine keeps beside it for as long as it is open.
    beside: Vec<Beside>,
    opened: Instant,
    /// When it was found at its path: milliseconds since it was opened, plus 1. 0 where it was not, when it was looked for last.
    found: AtomicU64,
}

/// [`OpenFile::check_sometimes`] looks again after so many milliseconds.
const SOMETIMES: u64 = 100;

/// A file beside another one. What is written goes into it first, so that it is lost with it.
#[derive(Debug)]
struct Beside {
    path: PathBuf,
    /// Known once the file was there.
    identity: OnceLock<Identity>,
}

/// What one file has and no other.
type Identity = (u64, u64);

impl OpenFile {
    /// The file at an absolute path, which was opened just now.
    pub fn at(path: &Path) -> Result<Self, StoreError> {
        let found = fs::metadata(path).map_err(|error| io_error(path, error))?;
        Ok(Self {
            path: path.to_owned(),
            identity: identity(&found),
            beside: Vec::new(),
            opened: Instant::now(),
            found: AtomicU64::new(1),
        })
    }

    /// The same with the files whose names end in `suffixes` besides, such as a log: they, too, stay as long as it is open. One that is not
    /// there yet is known from the first look on that finds it.
    #[must_use]
    pub fn with(mut self, suffixes: &[&str]) -> Self {
        // The engine names them after the file itself, not after a link to it.
        let file = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let beside = suffixes.iter().map(|suffix| Beside {
            path: with_suffix(&file, suffix),
            identity: OnceLock::new(),
        });
        self.beside.extend(beside);
        for file in &self.beside {
            file.is_gone();
        }
        self
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

    /// Fails with [`Gone`](StoreErrorKind::Gone) where a path leads to its file no more. Where it cannot be told, nothing is wrong.
    pub fn check(&self) -> Result<(), StoreError> {
        let gone = if is_gone(&self.path, self.identity) {
            Some(self.gone())
        } else {
            let mut beside = self.beside.iter();
            beside.find(|file| file.is_gone()).map(Beside::gone)
        };
        let found = self.millis().saturating_add(1);
        let found = if gone.is_some() { 0 } else { found };
        self.found.store(found, Ordering::Relaxed);
        gone.map_or(Ok(()), Err)
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

impl Beside {
    fn is_gone(&self) -> bool {
        match self.identity.get() {
            Some(known) => is_gone(&self.path, *known),
            None => {
                if let Ok(found) = fs::metadata(&self.path) {
                    let _ = self.identity.set(identity(&found));
                }
                false
            }
        }
    }

    fn gone(&self) -> StoreError {
        StoreError::new(
            StoreErrorKind::Gone,
            format!(
                "{} was removed or replaced while the store was open; nothing was written: put it back, or close the store, \
                 which saves what is in it, and open it again",
                shown(&self.path)
            ),
        )
    }
}

/// True where the path does not lead to the file that was there.
fn is_gone(path: &Path, known: Identity) -> bool {
    match fs::metadata(path) {
        Ok(found) => identity(&found) != known,
        Err(error) => matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
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

    #[test]
    fn a_file_beside_it_is_watched_from_the_first_look_that_finds_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        fs::write(&path, "x").unwrap();
        fs::write(folder.path().join("a.db-wal"), "x").unwrap();
        let place = |name: &str| folder.path().join(name);
        let file = OpenFile::at(&path).unwrap().with(&["-wal", "-shm"]);
        let kind = || file.check().err().map(|error| error.kind());
        assert_eq!(kind(), None, "one of them is not there yet");
        fs::write(place("a.db-shm"), "x").unwrap();
        assert_eq!(kind(), None);
        for name in ["a.db-wal", "a.db-shm"] {
            fs::rename(place(name), place("aside")).unwrap();
            let error = file.check().unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Gone);
            assert!(error.to_string().contains(name), "{error}");
            fs::write(place(name), "x").unwrap();
            let expected = cfg!(unix).then_some(StoreErrorKind::Gone);
            assert_eq!(kind(), expected, "another one");
            fs::rename(place("aside"), place(name)).unwrap();
            assert_eq!(kind(), None, "put back");
        }
    }
}
