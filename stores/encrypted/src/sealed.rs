//! The sealed store: a backend over a backend.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use synctable_core::store::{Durability, ProcessLock, StoreError, StoreErrorKind};
use synctable_kv::{Indexes, KvBackend, KvBatch, KvRead, KvReadExt, KvWrite, Promises};

use crate::anchor::Anchor;
use crate::cache::Cache;
use crate::cipher::{Aad, EpochKeys, Kind, blob_epoch, tampered};
use crate::derive::StoreId;
use crate::directory::Directory;
use crate::header::{FORMAT, KeyRing};
use crate::kdf::Argon2Params;
use crate::key::Secret;
use crate::layout::{HEADER, Layout, MANIFEST};
use crate::manifest::Manifest;
use crate::open::SealedBuilder;
use crate::slot::SlotInfo;
use crate::transaction::Transaction;
use crate::view::View;
use crate::writer::{Opened, Writer};

/// A [`KvBackend`] that seals what it writes to another one. Clones share one store, so an application keeps one to change
/// keys with while a [`KvStore`](synctable_kv::KvStore) uses another.
///
/// Reading in the order of ids takes a list of the ids of a table in memory, which is made when the table is first
/// scanned: about a hundred bytes a record. Reading by id does without.
///
/// ```
/// use synctable_encrypted::{RawKey, Sealed};
/// use synctable_kv::KvStore;
/// use synctable_memory::MemoryBackend;
///
/// # fn main() -> Result<(), synctable_core::store::StoreError> {
/// let engine = MemoryBackend::new(); // any engine
/// let key = RawKey::random()?;
/// let again = RawKey::from_bytes(*key.as_bytes());
///
/// let sealed = Sealed::builder(engine.clone()).raw_key(key).create(true).open()?;
/// let store = KvStore::open(sealed.clone())?;
/// // ... use the store; verify it now and then
/// assert!(sealed.verify(None)?.is_sound());
/// drop((store, sealed));
///
/// assert!(KvStore::open(engine.clone()).is_err(), "not without the key");
/// Sealed::builder(engine).raw_key(again).open()?;
/// # Ok(()) }
/// ```
pub struct Sealed<B>(Arc<Inner<B>>);

pub(crate) struct Inner<B> {
    pub(crate) backend: B,
    pub(crate) layout: Layout,
    pub(crate) store_id: StoreId,
    /// Written only while the writer is held, and together with the header in the engine.
    pub(crate) opened: RwLock<Opened>,
    /// Held by whoever writes: the store above, or a change of keys.
    pub(crate) writer: Mutex<Writer>,
    pub(crate) directory: Mutex<Directory>,
    pub(crate) cache: Mutex<Cache>,
    /// Header and manifest of today for a store of release 0.1 that is open for reading only.
    pub(crate) unwritten: Option<KvBatch>,
    /// A copy of it was kept when it was opened.
    pub(crate) kept: bool,
}

/// Takes a lock; whoever panicked while holding it left nothing half done in it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<B: KvBackend> Sealed<B> {
    /// Settings for opening the store that `backend` holds.
    pub fn builder(backend: B) -> SealedBuilder<B> {
        SealedBuilder::new(backend)
    }

    pub(crate) fn new(inner: Inner<B>) -> Self {
        Self(Arc::new(inner))
    }

    pub(crate) fn inner(&self) -> &Inner<B> {
        &self.0
    }

    /// How often the store was written. Kept outside of the store (in a key chain, say), it shows later whether someone has put
    /// back an older copy: see [`verify`](Self::verify).
    pub fn counter(&self) -> Result<u64, StoreError> {
        Ok(self.0.writer()?.manifest()?.counter)
    }

    /// How far the store has come, to be kept outside of it (in a key chain, say) and given to [`SealedBuilder::at_least`] when it is opened
    /// again. What it counts survives a power cut: if that is not known yet, one small durable write is made.
    ///
    /// ```
    /// use synctable_encrypted::{RawKey, Sealed};
    /// use synctable_memory::MemoryBackend;
    ///
    /// # fn main() -> Result<(), synctable_core::store::StoreError> {
    /// let (engine, key) = (MemoryBackend::new(), || RawKey::from_bytes([7; 32]));
    /// let sealed = Sealed::builder(engine.clone()).raw_key(key()).create(true).open()?;
    /// let known = sealed.anchor()?;
    /// Sealed::builder(engine).raw_key(key()).at_least(known).open()?;
    ///
    /// let other = Sealed::builder(MemoryBackend::new()).raw_key(key()).create(true);
    /// assert!(other.at_least(known).open().is_err(), "there was a store");
    /// # Ok(()) }
    /// ```
    pub fn anchor(&self) -> Result<Anchor, StoreError> {
        let mut writer = self.0.writer()?;
        let ring = Arc::clone(&self.0.opened().ring);
        if !writer.is_durable() {
            let manifest = writer.manifest()?.clone();
            let batch = KvBatch::new(Durability::Immediate);
            self.0
                .commit(&mut writer, ring.current(), manifest, &batch)?;
        }
        let counter = writer.manifest()?.counter;
        Ok(Anchor::new(counter, ring.current().epoch()))
    }

    /// The key slots.
    pub fn slots(&self) -> Vec<SlotInfo> {
        self.0.settled().header.slots().collect()
    }

    /// Puts `new` in the place of `old`, once the whole store is verified. Only the header is written: records stay sealed under the same data key, so a
    /// copy of the old store still opens with `old`, and who has seen the data key can still use it; [`rotate`](Self::rotate) ends that. Whatever cuts it off, one of the two opens
    /// the store.
    pub fn rekey(&self, old: &Secret, new: &Secret, kdf: &Argon2Params) -> Result<(), StoreError> {
        new.check_new()?;
        self.0.check()?;
        self.0
            .change_header(|opened| opened.header.rekeyed(old, new, kdf))
    }

    /// Lets `new` open the store, too; `known` opens it already. Up to eight secrets do.
    pub fn add_key(
        &self,
        known: &Secret,
        new: &Secret,
        kdf: &Argon2Params,
    ) -> Result<(), StoreError> {
        new.check_new()?;
        self.0
            .change_header(|opened| opened.header.with_key(known, new, kdf))
    }

    /// Removes a key slot; the last one stays.
    pub fn remove_key(&self, slot: usize) -> Result<(), StoreError> {
        self.0
            .change_header(|opened| opened.header.without_slot(&opened.ring, slot))
    }
}

impl<B> Clone for Sealed<B> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<B: fmt::Debug> fmt::Debug for Sealed<B> {
    /// Shows neither keys nor contents.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed")
            .field("backend", &self.0.backend)
            .finish_non_exhaustive()
    }
}

impl<B: KvBackend> KvBackend for Sealed<B> {
    fn snapshot(&self) -> Result<Box<dyn KvRead + '_>, StoreError> {
        Ok(Box::new(View::open(&self.0, B::snapshot)?))
    }

    fn begin_write(&self, durability: Durability) -> Result<Box<dyn KvWrite + '_>, StoreError> {
        Ok(Box::new(Transaction::begin(&self.0, durability)?))
    }

    fn sync(&self) -> Result<(), StoreError> {
        let mut writer = self.0.writer()?;
        let synced = self.0.backend.sync();
        writer.synced(&synced);
        synced
    }

    /// What the engine forgets is sealed; who keeps the files of before and the key can still read it.
    fn forget(&self) -> Result<(), StoreError> {
        let _writer = self.0.writer()?;
        self.0.backend.forget()
    }

    fn try_lock(&self) -> Result<ProcessLock, StoreError> {
        self.0.backend.try_lock()
    }

    fn indexes(&self) -> Indexes {
        if self.0.layout.equality {
            Indexes::Equality
        } else {
            Indexes::None
        }
    }

    fn promises(&self) -> Promises {
        // Keys, header and manifest are in the memory of whoever has it open.
        self.0.backend.promises().with_multi_process(false)
    }

    fn check(&self) -> Result<(), StoreError> {
        self.0.check()
    }

    /// What is in a seal of an earlier format was kept with it when this was opened.
    fn keep_earlier(&self, _: u32) -> Result<(), StoreError> {
        if self.0.kept {
            return Ok(());
        }
        // Under the number of the seal: it does not replace what was kept with an earlier seal, if a crash came in between.
        self.0.backend.keep_earlier(FORMAT.into())
    }

    /// The copy is sealed as this store is, under the same keys. It also keeps the store id: that is in each seal.
    fn copy_to(&self, path: &Path) -> Result<Arc<dyn KvBackend>, StoreError> {
        let inner = &self.0;
        let keys = || {
            let opened = inner.settled();
            (opened.header.clone(), Arc::clone(&opened.ring))
        };
        let before = keys();
        let copy = inner.backend.copy_to(path)?;
        if let Some(batch) = &inner.unwritten {
            batch.write_to(&*copy)?;
        }
        let (header, manifest) = {
            let snapshot = copy.snapshot()?;
            (snapshot.copy_of(HEADER)?, snapshot.copy_of(MANIFEST)?)
        };
        // The keys may have been changed meanwhile: those count that are in the copy.
        let (header, ring) = [before, keys()]
            .into_iter()
            .find(|(known, _)| Some(known.encode()) == header)
            .ok_or_else(|| {
                let message = "the keys of the store were changed as it was copied; try again";
                StoreError::new(StoreErrorKind::Other, message)
            })?;
        let manifest = manifest.ok_or_else(tampered)?;
        let manifest = Manifest::open(ring.current(), &inner.store_id, &manifest)?;
        Ok(Arc::new(Sealed::new(Inner {
            backend: copy,
            layout: inner.layout,
            store_id: inner.store_id,
            opened: RwLock::new(Opened::new(header, ring)),
            writer: Mutex::new(Writer::new(manifest)),
            directory: Mutex::new(Directory::default()),
            cache: Mutex::new(Cache::new(0)),
            unwritten: None,
            kept: true,
        })))
    }

    fn close(&self) -> Result<(), StoreError> {
        lock(&self.0.cache).close();
        self.0.backend.close()
    }
}

impl<B: KvBackend> Inner<B> {
    /// What stands in the place of header or manifest.
    pub(crate) fn stored(
        &self,
        snapshot: &dyn KvRead,
        place: &[u8],
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let unwritten = self.unwritten.iter().flat_map(KvBatch::writes);
        let found = unwritten.filter(|(key, _)| *key == place);
        match found.last() {
            Some((_, value)) => Ok(value.map(<[u8]>::to_vec)),
            None => snapshot.copy_of(place),
        }
    }

    pub(crate) fn seal(
        &self,
        keys: &EpochKeys,
        physical: &[u8],
        text: &[u8],
    ) -> Result<Vec<u8>, StoreError> {
        keys.seal(&self.aad(keys, physical), text)
    }

    /// The text of an entry, under the keys of the epoch that its place and its blob name. One of the older epoch has to be a verified one.
    pub(crate) fn open_entry(
        &self,
        ring: &KeyRing,
        physical: &[u8],
        blob: &[u8],
    ) -> Result<zeroize::Zeroizing<Vec<u8>>, StoreError> {
        let keys = ring.of_entry(blob_epoch(blob)?, physical, blob)?;
        keys.open(&self.aad(keys, physical), blob)
    }

    fn aad<'a>(&'a self, keys: &EpochKeys, physical: &'a [u8]) -> Aad<'a> {
        Aad {
            store_id: &self.store_id,
            kind: Kind::Entry,
            physical,
            epoch: keys.epoch(),
        }
    }
}

/// The smallest range that holds `keys`, borrowed.
pub(crate) fn borrowed(keys: &Range<Vec<u8>>) -> Range<&[u8]> {
    keys.start.as_slice()..keys.end.as_slice()
}
