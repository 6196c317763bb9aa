//! What sled leaves undone: waiting for its writes, and syncing them.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use synctable_kv::files;

/// sled's log in its folder.
pub(crate) const LOG: &str = "db";
/// The folder in sled's folder with the values that are too large for the log.
const BLOBS: &str = "blobs";
/// A flush that takes longer is helped along.
const LONG: Duration = Duration::from_secs(1);

/// The folders that this process has let go of, and sled has not.
static ABANDONED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// True where sled keeps hold of a folder after a write that failed.
pub(crate) fn is_abandoned(folder: &Path) -> bool {
    let abandoned = ABANDONED.lock().unwrap_or_else(PoisonError::into_inner);
    abandoned.contains(folder)
}

/// An open folder. The lock is let go of last.
pub(crate) struct Open {
    pub(crate) db: sled::Db,
    /// A write has failed: sled may wait for it for ever, so nothing is asked of it any more but reads.
    pub(crate) failed: bool,
    /// sled's log, opened a second time to sync it.
    log: File,
    folder: PathBuf,
    blobs: PathBuf,
    /// The files in `blobs` that are on the disk.
    synced: BTreeSet<OsString>,
    _lock: Lock,
}

/// A locked file. The lock is let go of by name: a process that this one is just starting has the file open, too.
pub(crate) struct Lock(pub(crate) File);

impl Drop for Lock {
    fn drop(&mut self) {
        // If this fails, closing the file will do.
        let _ = self.0.unlock();
    }
}

impl Open {
    pub(crate) fn new(path: &Path, db: sled::Db, log: File, lock: Lock) -> Self {
        Self {
            db,
            failed: false,
            log,
            folder: path.to_owned(),
            blobs: path.join(BLOBS),
            synced: BTreeSet::new(),
            _lock: lock,
        }
    }

    /// Hands what was written to the system: it survives the end of the process.
    ///
    /// When a write has failed, sled may forget to wake who waits for it, and does so when it is asked to flush again.
    pub(crate) fn flush(&self) -> Result<(), sled::Error> {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        let mut flushes = Vec::new();
        loop {
            flushes.push(Box::pin(self.db.flush_async()));
            let begun = Instant::now();
            while begun.elapsed() < LONG {
                for flush in &mut flushes {
                    if let Poll::Ready(done) = flush.as_mut().poll(&mut context) {
                        return done.map(drop);
                    }
                }
                thread::park_timeout(LONG);
            }
        }
    }

    /// Brings what was written to the disk: it survives a power cut.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.flush()?;
        self.sync_blobs()?;
        self.log.sync_all()
    }

    /// Lets go of a folder after a failed write. When sled ends it flushes once more, which may take for ever, and may bring half a
    /// batch to the disk: so it does not end, and only another process can open the folder.
    pub(crate) fn abandon(self) {
        let mut abandoned = ABANDONED.lock().unwrap_or_else(PoisonError::into_inner);
        abandoned.insert(self.folder);
        std::mem::forget(self.db);
    }

    fn sync_blobs(&mut self) -> io::Result<()> {
        let mut there = BTreeSet::new();
        for entry in fs::read_dir(&self.blobs)? {
            there.insert(entry?.file_name());
        }
        if there != self.synced {
            for name in there.difference(&self.synced) {
                match File::open(self.blobs.join(name)) {
                    // sled has replaced the value meanwhile.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    file => file?.sync_all()?,
                }
            }
            files::make_private(&self.blobs)?;
            files::sync_folder(&self.blobs)?;
            self.synced = there;
        }
        Ok(())
    }
}

/// Wakes a thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_values_are_synced_once() {
        let folder = tempfile::tempdir().unwrap();
        let db = sled::open(folder.path()).unwrap();
        let file = |name| File::create(folder.path().join(name)).unwrap();
        let log = File::options().write(true).open(folder.path().join(LOG));
        let lock = Lock(file("lock"));
        let mut open = Open::new(folder.path(), db, log.unwrap(), lock);
        open.db.insert("large", vec![7; 2 << 20]).unwrap();
        assert!(open.synced.is_empty());
        open.sync().unwrap();
        let blobs = fs::read_dir(folder.path().join(BLOBS)).unwrap();
        let blobs: BTreeSet<OsString> = blobs.map(|blob| blob.unwrap().file_name()).collect();
        assert!(!blobs.is_empty(), "sled keeps the value in its log");
        assert_eq!(open.synced, blobs);
    }
}
