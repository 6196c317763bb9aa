//! The log's file at its path, and who else has it open.
//!
//! Everybody who has a store open holds its log locked, shared; who gets it alone knows that nobody else has it open. Two openings of one
//! process are as those of two.

use std::fs::{self, File, Metadata, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use synctable_core::store::{StoreError, StoreErrorKind};
use synctable_kv::files::{self, io_error, private};

use super::ring::Ring;

/// How long somebody who begins a log may take, between two looks at whether it is done.
const PAUSE: Duration = Duration::from_millis(1);

/// The open file.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
    identity: Identity,
    ring: Ring,
    /// Where a lock keeps others from writing, it is that of another file.
    lock: Option<File>,
}

/// Whether others have the log open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Company {
    /// Nobody has, and nobody will before [`Place::share`] is called.
    Alone,
    Others,
}

/// What one file has and no other.
type Identity = (u64, u64);

impl Place {
    /// Opens the file at a path, makes it where there is none.
    pub(crate) fn open(path: &Path, wait: Duration) -> Result<(Self, Company), StoreError> {
        let at_path = |error| io_error(path, error);
        loop {
            let file = open(path).map_err(at_path)?;
            let lock = if cfg!(windows) {
                Some(open(&files::with_suffix(path, "-lock")).map_err(at_path)?)
            } else {
                None
            };
            let place = Self {
                path: path.to_owned(),
                identity: identity(&file.metadata().map_err(at_path)?),
                ring: Ring::new(file),
                lock,
            };
            let company = match place.locked().try_lock() {
                Ok(()) => Company::Alone,
                Err(TryLockError::WouldBlock) => {
                    place.wait_to_share(wait)?;
                    Company::Others
                }
                // Where files cannot be locked, nobody knows.
                Err(TryLockError::Error(_)) => Company::Others,
            };
            // Whoever was alone before may have removed it.
            if place.is_there() {
                return Ok((place, company));
            }
        }
    }

    pub(crate) fn ring(&self) -> &Ring {
        &self.ring
    }

    /// False where the path leads to the file no more. Where it cannot be told, it is there.
    pub(crate) fn is_there(&self) -> bool {
        match fs::metadata(&self.path) {
            Ok(found) => identity(&found) == self.identity,
            Err(error) => !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
        }
    }

    /// Lets others have it open, too. For a moment nobody holds it: somebody else may have been alone then.
    pub(crate) fn share(&self, wait: Duration) -> Result<(), StoreError> {
        self.locked()
            .unlock()
            .map_err(|error| io_error(&self.path, error))?;
        self.wait_to_share(wait)
    }

    fn wait_to_share(&self, wait: Duration) -> Result<(), StoreError> {
        let begun = Instant::now();
        loop {
            match self.locked().try_lock_shared() {
                Ok(()) | Err(TryLockError::Error(_)) => return Ok(()),
                Err(TryLockError::WouldBlock) if begun.elapsed() > wait => {
                    let message = "another process has been opening the store for long; try again when it is done";
                    return Err(StoreError::new(StoreErrorKind::Locked, message));
                }
                Err(TryLockError::WouldBlock) => thread::sleep(PAUSE),
            }
        }
    }

    /// Lets go of the file as a process does that is killed.
    #[cfg(test)]
    pub(crate) fn abandon(mut self) {
        self.path.push("nowhere");
    }

    fn locked(&self) -> &File {
        self.lock.as_ref().unwrap_or_else(|| self.ring.file())
    }
}

/// Whether somebody has the store of the log at this path open. Nothing is made or written.
pub(crate) fn is_open_elsewhere(path: &Path) -> bool {
    let path = if cfg!(windows) {
        files::with_suffix(path, "-lock")
    } else {
        path.to_owned()
    };
    let Ok(file) = File::open(path) else {
        return false;
    };
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => true,
        // Where files cannot be locked, nobody knows.
        Err(TryLockError::Error(_)) => false,
        Ok(()) => {
            // By name: a process that this one is just starting has the file open, too.
            let _ = file.unlock();
            false
        }
    }
}

impl Drop for Place {
    /// Removes the file where nobody else has it open: the next opening begins another log anyway.
    fn drop(&mut self) {
        let alone = self.locked().unlock().is_ok() && self.locked().try_lock().is_ok();
        if alone && self.is_there() {
            let _ = fs::remove_file(&self.path);
            if self.lock.is_some() {
                let _ = fs::remove_file(files::with_suffix(&self.path, "-lock"));
            }
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    private(
        File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false),
    )
    .open(path)
}

#[cfg(unix)]
fn identity(found: &Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt as _;
    (found.dev(), found.ino())
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> Identity {
    (0, 0)
}

/// How a file looks from outside, in one number: another one once somebody has written to it, but for two writes in the same tick of the
/// system's clock. The file is not opened, which would let go of SQLite's locks; 0 where it is not there.
pub(crate) fn stamp(path: &Path) -> u64 {
    let Ok(found) = fs::metadata(path) else {
        return 0;
    };
    #[cfg(unix)]
    let changed = {
        use std::os::unix::fs::MetadataExt as _;
        [
            found.mtime().cast_unsigned(),
            found.mtime_nsec().cast_unsigned(),
        ]
    };
    #[cfg(not(unix))]
    let changed = {
        let since = |time: std::time::SystemTime| time.duration_since(std::time::UNIX_EPOCH).ok();
        let time = found.modified().ok().and_then(since).unwrap_or_default();
        [time.as_secs(), time.subsec_nanos().into()]
    };
    super::entry::sum(found.len(), &changed)
}
