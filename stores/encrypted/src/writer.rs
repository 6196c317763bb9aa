//! What the next write starts from, how a write ends, and what is done where nobody knows how.

use std::sync::{Arc, MutexGuard, PoisonError, RwLockReadGuard};

use synctable_core::store::{Durability, StoreError, StoreErrorKind};
use synctable_kv::{KvBackend, KvBatch, KvRead, KvReadExt, KvWrite};

use crate::cipher::{EpochKeys, tampered};
use crate::header::{Header, KeyRing};
use crate::layout::{HEADER, MANIFEST};
use crate::manifest::Manifest;
use crate::sealed::{Inner, lock};

/// The header and the keys it holds.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) header: Header,
    pub(crate) ring: Arc<KeyRing>,
    /// What may stand in the engine in their place: a change of the header is in doubt.
    other: Option<Box<Opened>>,
}

impl Opened {
    pub(crate) fn new(header: Header, ring: Arc<KeyRing>) -> Self {
        Self {
            header,
            ring,
            other: None,
        }
    }

    /// The header that what is read through `read` belongs to, and its keys.
    pub(crate) fn of(&self, read: &(impl KvRead + ?Sized)) -> Result<&Self, StoreError> {
        let Some(other) = &self.other else {
            return Ok(self);
        };
        let is_other = read.copy_of(HEADER)? == Some(other.header.encode());
        Ok(if is_other { other } else { self })
    }
}

/// What the next write starts from.
#[derive(Debug)]
pub(crate) enum Writer {
    Ready {
        manifest: Manifest,
        /// All that is written is known to survive a power cut.
        durable: bool,
    },
    /// The outcome of a write is not known before the engine begins another one.
    InDoubt {
        before: Manifest,
        after: Manifest,
        /// The latter as it was written.
        sealed: Vec<u8>,
    },
    /// The outcome of a write is not known.
    Broken,
}

impl Writer {
    /// Over what was found at opening, which another process may have written a moment before.
    pub(crate) fn new(manifest: Manifest) -> Self {
        Self::Ready {
            manifest,
            durable: false,
        }
    }

    pub(crate) fn manifest(&self) -> Result<&Manifest, StoreError> {
        match self {
            Self::Ready { manifest, .. } => Ok(manifest),
            Self::InDoubt { .. } | Self::Broken => {
                let message =
                    "it is not known whether an earlier write was done; open the store again";
                Err(StoreError::new(StoreErrorKind::Unknown, message))
            }
        }
    }

    /// Notes what came of a sync.
    pub(crate) fn synced(&mut self, synced: &Result<(), StoreError>) {
        match (synced, &mut *self) {
            (Ok(()), Self::Ready { durable, .. }) => *durable = true,
            (Err(error), _) if error.kind() == StoreErrorKind::Unknown => *self = Self::Broken,
            _ => {}
        }
    }

    pub(crate) fn is_durable(&self) -> bool {
        matches!(self, Self::Ready { durable: true, .. })
    }
}

impl<B: KvBackend> Inner<B> {
    pub(crate) fn opened(&self) -> RwLockReadGuard<'_, Opened> {
        self.opened.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, once it is known what came of a change in doubt, where that can be found out.
    pub(crate) fn settled(&self) -> RwLockReadGuard<'_, Opened> {
        if self.opened().other.is_some() {
            // Who wants to write hears of the error.
            drop(self.writer());
        }
        self.opened()
    }

    /// The writer, once it is known what came of a write in doubt.
    pub(crate) fn writer(&self) -> Result<MutexGuard<'_, Writer>, StoreError> {
        let mut writer = lock(&self.writer);
        if let Writer::InDoubt {
            before,
            after,
            sealed,
        } = &*writer
        {
            let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
            // Before it has begun, the one in doubt may still be done.
            let write = self.backend.begin_write(Durability::Eventual)?;
            let stored = write.copy_of(MANIFEST)?.ok_or_else(tampered)?;
            let found = if stored == *sealed {
                after.clone()
            } else {
                let found = Manifest::open(opened.ring.current(), &self.store_id, &stored)?;
                if found != *before {
                    return Err(tampered());
                }
                found
            };
            if let Some(other) = opened.other.take()
                && stored == *sealed
            {
                *opened = *other;
            }
            drop(write);
            lock(&self.directory).leave();
            lock(&self.cache).end();
            *writer = Writer::new(found);
        }
        writer.manifest()?;
        Ok(writer)
    }

    /// Writes a batch together with the manifest that counts it.
    pub(crate) fn commit(
        &self,
        writer: &mut Writer,
        keys: &EpochKeys,
        manifest: Manifest,
        batch: &KvBatch,
    ) -> Result<(), StoreError> {
        let mut write = self.backend.begin_write(batch.durability())?;
        batch.write_in(&mut *write)?;
        self.finish(writer, keys, manifest, batch.durability(), write)
    }

    /// Commits a transaction of the engine together with the manifest that counts what it wrote.
    pub(crate) fn finish(
        &self,
        writer: &mut Writer,
        keys: &EpochKeys,
        mut manifest: Manifest,
        durability: Durability,
        mut write: Box<dyn KvWrite + '_>,
    ) -> Result<(), StoreError> {
        manifest.counter += 1;
        let sealed = manifest.seal(keys, &self.store_id)?;
        write.put(MANIFEST, &sealed)?;
        let written = write.commit();
        match &written {
            Ok(()) => {
                *writer = Writer::Ready {
                    manifest,
                    durable: durability == Durability::Immediate,
                }
            }
            Err(error) if error.kind() == StoreErrorKind::Unknown => *writer = Writer::Broken,
            Err(error) if error.may_be_done() => {
                let before = writer.manifest()?.clone();
                // What was written may show later: until then a write is under way.
                lock(&self.directory).enter();
                *writer = Writer::InDoubt {
                    before,
                    after: manifest,
                    sealed,
                };
            }
            Err(_) => {}
        }
        written
    }

    /// Writes another header over the same data keys.
    pub(crate) fn change_header(
        &self,
        change: impl FnOnce(&Opened) -> Result<Header, StoreError>,
    ) -> Result<(), StoreError> {
        let mut writer = self.writer()?;
        let manifest = writer.manifest()?.clone();
        let (header, ring) = {
            let opened = self.opened();
            (change(&opened)?, Arc::clone(&opened.ring))
        };
        self.write_header(&mut writer, header, ring, manifest)
    }

    /// Writes a header, and the manifest that names it under the current one of its keys: both or none.
    pub(crate) fn write_header(
        &self,
        writer: &mut Writer,
        header: Header,
        ring: Arc<KeyRing>,
        mut manifest: Manifest,
    ) -> Result<(), StoreError> {
        manifest.header = *header.code();
        let bytes = header.encode();
        let mut batch = KvBatch::new(Durability::Immediate);
        batch.put(HEADER.to_vec(), bytes.clone());
        // No snapshot may see the new header with the old keys, or the other way round.
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        let written = self.commit(writer, ring.current(), manifest, &batch);
        // Where the outcome is not known, the engine may still say what it holds; who reads on needs the keys of that.
        let done = match &written {
            Ok(()) => true,
            Err(error) if error.kind() == StoreErrorKind::Unknown => {
                let snapshot = self.backend.snapshot();
                let stored = snapshot.and_then(|it| it.copy_of(HEADER));
                stored.is_ok_and(|stored| stored == Some(bytes))
            }
            Err(_) => false,
        };
        let new = Opened::new(header, ring);
        if done {
            *opened = new;
        } else if matches!(*writer, Writer::InDoubt { .. }) {
            opened.other = Some(Box::new(new));
        }
        written
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use synctable_memory::MemoryBackend;
    use synctable_testkit::doubt::{Doubt, Doubting};

    use super::*;
    use crate::{RawKey, Sealed};

    /// What memory holds serves no more while a commit is in doubt, and again once it is settled.
    #[test]
    fn memory_waits_for_a_commit_in_doubt_and_serves_again() {
        let engine = Doubting::new(MemoryBackend::new());
        let key = RawKey::from_bytes([7; 32]);
        let sealed = Sealed::builder(engine.clone()).raw_key(key).create(true);
        let sealed = sealed.open().unwrap();
        let write = || {
            let mut batch = KvBatch::new(Durability::Immediate);
            batch.put(b"a key".to_vec(), b"v".to_vec());
            batch.write_to(&sealed)
        };
        let waits = || {
            let live = lock(&sealed.inner().directory).is_live();
            let is_odd = lock(&sealed.inner().cache).generation() % 2 == 1;
            (live, is_odd)
        };
        write().unwrap();
        assert_eq!(waits(), (false, false));
        for doubt in [Doubt::Done, Doubt::Lost, Doubt::Late] {
            engine.doubt(Some((0, doubt)));
            let error = write().unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::InDoubt);
            assert_eq!(waits(), (true, true));
            engine.doubt(None);
            drop(sealed.inner().writer().unwrap());
            assert_eq!(waits(), (false, false));
        }
    }
}
