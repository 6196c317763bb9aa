//! What a key-value engine provides.

use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;

use synctable_core::store::{Durability, ProcessLock, StoreError, StoreErrorKind};
use synctable_core::threads::{MaybeSend, MaybeSync};

use crate::read::{KvRead, KvWrite};

/// A sorted map of bytes with snapshots and exclusive write transactions: three required methods here, two on [`KvRead`], three on
/// [`KvWrite`].
///
/// All methods are synchronous and run on the thread of the caller. Keys sort by their bytes. The keys that
/// [`KvStore`](crate::KvStore) uses are those of [`Key`](crate::Key), or what it makes of them where they are longer than the engine takes; an engine may
/// keep other data only outside of what it shows here.
pub trait KvBackend: Debug + MaybeSend + MaybeSync + 'static {
    /// What is stored now: later writes do not show in it, nor what a transaction has not committed.
    ///
    /// An engine without snapshots returns a view that holds commits off until it is dropped; so a thread that holds one
    /// commits nothing.
    fn snapshot(&self) -> Result<Box<dyn KvRead + '_>, StoreError>;

    /// Begins the one write transaction: no other handle of the engine, in this process or another, writes before it is over. What it reads stays as
    /// it is. Waits for one that is under way, or fails with [`Locked`](StoreErrorKind::Locked).
    ///
    /// `durability` says what its commit has to survive; a commit that is [`Immediate`](Durability::Immediate) also brings all earlier ones to the disk.
    ///
    /// # Errors
    /// [`Unsupported`](StoreErrorKind::Unsupported) where it is open for reading only.
    fn begin_write(&self, durability: Durability) -> Result<Box<dyn KvWrite + '_>, StoreError>;

    /// Makes durable what earlier transactions wrote with [`Durability::Eventual`]. Nothing to do where every commit is durable, or none is.
    ///
    /// # Errors
    /// [`Unknown`](StoreErrorKind::Unknown) where it failed; then the store takes no more writes.
    fn sync(&self) -> Result<(), StoreError>;

    /// The keys and values that it takes. They stay the same for all the life of a store: what is longer is laid out by them.
    fn limits(&self) -> Limits {
        Limits::default()
    }

    /// What indexes are good for here. Every engine that sorts keeps the default; a wrapper that hides the order does not.
    fn indexes(&self) -> Indexes {
        Indexes::Ordered
    }

    /// What the engine promises; nothing by default.
    fn promises(&self) -> Promises {
        Promises::default()
    }

    /// An error if the engine can tell that it does not hold all that was written to it. By default it cannot.
    fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// The lock of [`LocalStore::try_lock`](synctable_core::store::LocalStore::try_lock), for an engine that several processes may open. By default there is none.
    fn try_lock(&self) -> Result<ProcessLock, StoreError> {
        Ok(ProcessLock::Unsupported)
    }

    /// Makes what was removed or replaced leave the files of the engine: after `Ok` no bytes of it are in them. What the system or the medium keeps elsewhere is
    /// not reached. It may take as long as writing everything, and nobody writes meanwhile.
    ///
    /// # Errors
    /// [`Unsupported`](StoreErrorKind::Unsupported) by default; [`Locked`](StoreErrorKind::Locked) where a snapshot lives that still needs it.
    fn forget(&self) -> Result<(), StoreError> {
        let message = "the engine cannot make what was removed leave its files; copy the store into a new one and remove the old files";
        Err(StoreError::new(StoreErrorKind::Unsupported, message))
    }

    /// Makes an engine of the same kind at `path`, where nothing is, that holds what is stored now, and opens it.
    /// [`copy_entries`](crate::copy_entries) does the copying. By default an engine has no files.
    fn copy_to(&self, path: &Path) -> Result<Arc<dyn KvBackend>, StoreError> {
        let _ = path;
        let message = "a store of this kind has no files to back up; copy it into another store";
        Err(StoreError::new(StoreErrorKind::Unsupported, message))
    }

    /// The store is of this earlier format, and the next write brings it forward. An engine with files keeps a copy of them:
    /// [`keep_earlier`](crate::files::keep_earlier) with [`copy_to`](Self::copy_to). By default nothing is kept.
    ///
    /// # Errors
    /// Whatever keeps the copy from being made: then nothing is written.
    fn keep_earlier(&self, format: u32) -> Result<(), StoreError> {
        let _ = format;
        Ok(())
    }

    /// Makes everything durable and lets go of files. Called at most once, and no other method after it.
    fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[deny(clippy::missing_trait_methods)]
impl<B: KvBackend + ?Sized> KvBackend for Arc<B> {
    fn snapshot(&self) -> Result<Box<dyn KvRead + '_>, StoreError> {
        (**self).snapshot()
    }
    fn begin_write(&self, durability: Durability) -> Result<Box<dyn KvWrite + '_>, StoreError> {
        (**self).begin_write(durability)
    }
    fn sync(&self) -> Result<(), StoreError> {
        (**self).sync()
    }
    fn limits(&self) -> Limits {
        (**self).limits()
    }
    fn indexes(&self) -> Indexes {
        (**self).indexes()
    }
    fn promises(&self) -> Promises {
        (**self).promises()
    }
    fn check(&self) -> Result<(), StoreError> {
        (**self).check()
    }
    fn try_lock(&self) -> Result<ProcessLock, StoreError> {
        (**self).try_lock()
    }
    fn forget(&self) -> Result<(), StoreError> {
        (**self).forget()
    }
    fn copy_to(&self, path: &Path) -> Result<Arc<dyn KvBackend>, StoreError> {
        (**self).copy_to(path)
    }
    fn keep_earlier(&self, format: u32) -> Result<(), StoreError> {
        (**self).keep_earlier(format)
    }
    fn close(&self) -> Result<(), StoreError> {
        (**self).close()
    }
}

/// What an engine promises beyond the base contract. It holds as long as the engine is open: [`KvStore`](crate::KvStore) asks for it once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent promises, each checked on its own"
)]
pub struct Promises {
    /// Records survive closing and opening again.
    pub persistent: bool,
    /// An `Immediate` batch survives a power cut.
    pub durable: bool,
    /// It is open for reading only: every write fails with [`Unsupported`](StoreErrorKind::Unsupported).
    pub read_only: bool,
    /// Several processes, or several openings in one, may have it open at once: a transaction keeps the writers of all of them out, and its
    /// commit shows in every snapshot that any of them takes afterwards. [`KvStore`](crate::KvStore) then notes in the engine what they have to
    /// know of each other, with each write. All of them say so, or one has it open alone.
    pub multi_process: bool,
}

impl Promises {
    /// Sets `persistent`.
    #[must_use]
    pub fn with_persistent(mut self, yes: bool) -> Self {
        self.persistent = yes;
        self
    }

    /// Sets `durable`.
    #[must_use]
    pub fn with_durable(mut self, yes: bool) -> Self {
        self.durable = yes;
        self
    }

    /// Sets `read_only`.
    #[must_use]
    pub fn with_read_only(mut self, yes: bool) -> Self {
        self.read_only = yes;
        self
    }

    /// Sets `multi_process`.
    #[must_use]
    pub fn with_multi_process(mut self, yes: bool) -> Self {
        self.multi_process = yes;
        self
    }
}

/// The keys and values that an engine takes, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The shortest key. [`KvStore`](crate::KvStore) has keys of one byte, and needs no shorter one.
    pub shortest_key: usize,
    /// The longest key. [`KvStore`](crate::KvStore) needs [`Limits::LEAST_KEY`], and keeps longer ones in groups of its own.
    pub longest_key: usize,
    /// The longest value. A record that does not fit is refused before anything is written.
    pub longest_value: usize,
}

impl Default for Limits {
    /// From one byte on, everything.
    fn default() -> Self {
        Self {
            shortest_key: 1,
            longest_key: usize::MAX,
            longest_value: usize::MAX,
        }
    }
}

impl Limits {
    /// What [`KvStore`](crate::KvStore) needs of an engine's longest key.
    pub const LEAST_KEY: usize = 64;

    /// Sets `shortest_key`.
    #[must_use]
    pub fn with_shortest_key(mut self, bytes: usize) -> Self {
        self.shortest_key = bytes;
        self
    }

    /// Sets `longest_key`.
    #[must_use]
    pub fn with_longest_key(mut self, bytes: usize) -> Self {
        self.longest_key = bytes;
        self
    }

    /// Sets `longest_value`.
    #[must_use]
    pub fn with_longest_value(mut self, bytes: usize) -> Self {
        self.longest_value = bytes;
        self
    }

    /// Whether an engine with these limits takes an entry.
    ///
    /// # Errors
    /// [`Unsupported`](StoreErrorKind::Unsupported), with the lengths.
    pub fn check(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let refused = |what: &str, length: usize, longest: usize| {
            let message = format!(
                "{what} of {length} bytes is longer than the {longest} that the engine of the store takes; make it shorter"
            );
            Err(StoreError::new(StoreErrorKind::Unsupported, message))
        };
        if key.len() < self.shortest_key {
            let message = format!(
                "the engine of the store takes no key under {} bytes",
                self.shortest_key
            );
            return Err(StoreError::new(StoreErrorKind::Unsupported, message));
        }
        if key.len() > self.longest_key {
            return refused("a key", key.len(), self.longest_key);
        }
        if value.len() > self.longest_value {
            return refused("a value", value.len(), self.longest_value);
        }
        Ok(())
    }
}

/// Which use [`KvStore`](crate::KvStore) makes of declared indexes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Indexes {
    /// None: no entries are kept, and every query looks at the whole table.
    None,
    /// For queries that fix all fields of an index by equality.
    Equality,
    /// For equality, ranges and order.
    Ordered,
}
