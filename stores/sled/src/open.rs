//! Opening and making sled folders: what is not ours is refused before sled changes it.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use synctable_core::store::{StoreError, StoreErrorKind};
use synctable_kv::files::{self, PrivateCopy, io_error, not_ours, shown};
use synctable_kv::{KvBackend, KvStore};

use crate::backend::{SledBackend, caught};
use crate::durable::{LOG, Lock, Open, is_abandoned};
use crate::error::{damaged, from_sled};
use crate::store::SledStore;

/// The file that says that the folder is ours, and which is locked while the store is open.
const MARK: &str = "synctable";
/// What it holds, before the number of the format.
const MARK_NAME: &str = "synctable sled ";
const FORMAT: u32 = 1;
/// The name of the folder in a private copy.
const COPY: &str = "store";
/// The bytes that sled writes as one. What is larger, it keeps in a file of its own, and when that cannot be made, it may leave half a
/// batch behind.
const SEGMENT: usize = 8 << 20;
/// How long sled may take to let go of a store that was closed.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// How to open a store; made by [`SledStore::builder`].
///
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("app.sled");
/// use synctable_sled::SledStore;
/// assert!(SledStore::builder(&path).create(false).open().is_err());
/// let store = SledStore::builder(&path).cache(64 << 20).open().unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct SledBuilder {
    path: PathBuf,
    create: bool,
    cache: u64,
    inline: bool,
    keep_earlier: bool,
}

impl SledBuilder {
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            create: true,
            cache: 16 << 20,
            inline: false,
            keep_earlier: true,
        }
    }

    /// Whether a missing folder is made (the default) or an error.
    #[must_use]
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// How many bytes sled keeps in memory, about. Default 16 MiB.
    #[must_use]
    pub fn cache(mut self, bytes: u64) -> Self {
        self.cache = bytes;
        self
    }

    /// Whether calls of the store run on the thread that polls them, and not on threads of the store's own. Default false: the engine blocks.
    #[must_use]
    pub fn inline(mut self, inline: bool) -> Self {
        self.inline = inline;
        self
    }

    /// Whether a copy of a store of an earlier format is [kept](synctable_kv::files::keep_earlier) before it is brought forward, at `NAME.format-1`. Default true.
    #[must_use]
    pub fn keep_earlier(mut self, keep: bool) -> Self {
        self.keep_earlier = keep;
        self
    }

    /// Opens the store.
    pub fn open(self) -> Result<SledStore, StoreError> {
        let inline = self.inline;
        let path = self.path.clone();
        let store = KvStore::open(self.backend()?).map_err(|error| files::at(&path, &error))?;
        Ok(SledStore::new(store, inline))
    }

    /// Opens the folder as a key-value engine, to build a store on it.
    pub fn backend(self) -> Result<SledBackend, StoreError> {
        let path = std::path::absolute(&self.path).map_err(|error| io_error(&self.path, error))?;
        if exists(&path)? {
            files::remove_dead_drafts(&path);
        } else {
            if !self.create {
                return Err(files::missing(&path));
            }
            files::make_folder(&path, |draft| build(draft, &path, self.cache))?;
        }
        let lock = claim(&path, Hold::Alone)?;
        files::warn_if_exposed(&path);
        remove_drafts(&path).map_err(|error| io_error(&path, error))?;
        let open = start(&path, self.cache, lock)?;
        Ok(SledBackend::new(path, open, self.keep_earlier))
    }

    /// Opens the store for reading only: see [`SledStore::open_read_only`].
    pub fn open_read_only(self) -> Result<SledStore, StoreError> {
        let inline = self.inline;
        let path = self.path.clone();
        let store = KvStore::open(self.backend_read_only()?);
        let store = store.map_err(|error| files::at(&path, &error))?;
        Ok(SledStore::new(store, inline))
    }

    /// Opens a private copy of the folder as a key-value engine that takes no writes: sled writes whenever it opens one.
    pub fn backend_read_only(self) -> Result<SledBackend, StoreError> {
        let path = std::path::absolute(&self.path).map_err(|error| io_error(&self.path, error))?;
        if !exists(&path)? {
            return Err(files::missing(&path));
        }
        // Until the copy is made nobody opens the folder.
        let held = claim(&path, Hold::Reading)?;
        files::warn_if_exposed(&path);
        let copy = PrivateCopy::make(&path, |folder| {
            let to = folder.join(COPY);
            files::create_private_folder(&to).map_err(|error| io_error(&to, error))?;
            files::copy_folder(&path, &to, &|file| !is_draft(file))
        })?;
        drop(held);
        let place = copy.path().join(COPY);
        let lock = claim(&place, Hold::Alone)?;
        let open = start(&place, self.cache, lock)?;
        Ok(SledBackend::read_only(path, open, copy))
    }
}

/// What a store is claimed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    /// To write.
    Alone,
    /// To read its files, beside others that do.
    Reading,
}

/// True when a folder is at `path`; an error when something else is, or the folder around it is missing.
fn exists(path: &Path) -> Result<bool, StoreError> {
    match fs::metadata(path) {
        Ok(meta) if meta.is_dir() => Ok(true),
        Ok(_) => Err(not_ours(path, "a file; a sled store is a folder")),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            files::folder_of(path)?;
            Ok(false)
        }
        Err(error) => Err(io_error(path, error)),
    }
}

/// Makes an empty store at `draft`.
fn build(draft: &Path, path: &Path, cache: u64) -> Result<(), StoreError> {
    files::create_private_folder(draft).map_err(|error| io_error(path, error))?;
    let mark = || {
        let mut mark = files::create_private(&draft.join(MARK))?;
        write!(mark, "{MARK_NAME}{FORMAT}")?;
        mark.sync_all()?;
        Ok(Lock(mark))
    };
    let mark = mark().map_err(|error| io_error(path, error))?;
    SledBackend::new(draft.to_owned(), start(draft, cache, mark)?, false).close()
}

/// Reads the mark and locks it.
fn claim(path: &Path, hold: Hold) -> Result<Lock, StoreError> {
    let mark = path.join(MARK);
    let mut options = File::options();
    let writes = hold == Hold::Alone;
    let mut file = match options.read(true).write(writes).open(&mark) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(not_ours(path, "a folder without a store"));
        }
        result => result.map_err(|error| io_error(path, error))?,
    };
    let mut text = String::new();
    let read = (&mut file).take(64).read_to_string(&mut text);
    let format = match read {
        Ok(_) => text
            .strip_prefix(MARK_NAME)
            .and_then(|it| it.parse::<u32>().ok()),
        Err(error) if error.kind() == ErrorKind::InvalidData => None,
        Err(error) => return Err(io_error(path, error)),
    };
    match format {
        Some(FORMAT) => {}
        Some(_) => {
            let message = format!(
                "{} was written by a newer release; update this program",
                shown(path)
            );
            return Err(StoreError::new(StoreErrorKind::FormatTooNew, message));
        }
        None => return Err(not_ours(path, "a folder of another program")),
    }
    let locked_now = match hold {
        Hold::Alone => file.try_lock(),
        Hold::Reading => file.try_lock_shared(),
    };
    match locked_now {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => Err(locked(path)),
        Err(TryLockError::Error(error)) => Err(io_error(path, error)),
    }
}

/// Removes snapshots that sled had not finished when its process ended: it would take them for whole ones.
fn remove_drafts(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        if is_draft(&file) {
            fs::remove_file(file)?;
        }
    }
    Ok(())
}

fn is_draft(file: &Path) -> bool {
    file.extension().is_some_and(|it| it == "generating")
}

/// Opens the folder, whose lock this process holds.
fn start(path: &Path, cache: u64, lock: Lock) -> Result<Open, StoreError> {
    let mut options = File::options();
    let log = files::private(options.write(true).create(true).truncate(false));
    let log = log
        .open(path.join(LOG))
        .map_err(|error| io_error(path, error))?;
    if is_abandoned(path) {
        let message = format!(
            "a write to {} has failed in this process; check the disk, then open it in another process",
            shown(path)
        );
        return Err(StoreError::new(StoreErrorKind::Unknown, message));
    }
    wait_for(&log, path)?;
    let config = sled::Config::new()
        .path(path)
        .cache_capacity(cache)
        .segment_size(SEGMENT)
        // Every commit flushes by itself; after a failed one nothing must.
        .flush_every_ms(None);
    let db = caught(unopened, || config.open().map_err(from_sled))
        .map_err(|error| files::at(path, &error))?;
    files::make_private(path).map_err(|error| io_error(path, error))?;
    Ok(Open::new(path, db, log, lock))
}

/// What it means that sled panics as it opens a folder.
fn unopened() -> StoreError {
    if files::are_too_many_files_open() {
        return StoreError::new(StoreErrorKind::Io, files::TOO_MANY_FILES);
    }
    damaged()
}

/// Waits until sled's own lock is free: after a store was closed, threads of sled can hold it for a moment.
fn wait_for(log: &File, path: &Path) -> Result<(), StoreError> {
    let begun = Instant::now();
    loop {
        match log.try_lock() {
            Ok(()) => return log.unlock().map_err(|error| io_error(path, error)),
            Err(TryLockError::WouldBlock) if begun.elapsed() < LOCK_WAIT => {
                thread::sleep(Duration::from_millis(1));
            }
            Err(TryLockError::WouldBlock) => return Err(locked(path)),
            Err(TryLockError::Error(error)) => return Err(io_error(path, error)),
        }
    }
}

fn locked(path: &Path) -> StoreError {
    let message = format!(
        "{} is open already, in this process or another; close it there first",
        shown(path)
    );
    StoreError::new(StoreErrorKind::Locked, message)
}
