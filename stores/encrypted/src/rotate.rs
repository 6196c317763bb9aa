//! A new data key for all entries, while the store is in use.

use std::ops::Range;
use std::sync::{Arc, PoisonError};

use synctable_core::store::{Durability, StoreError};
use synctable_kv::{KvBackend, KvBatch};

use crate::header::{Header, KeyRing};
use crate::key::Secret;
use crate::layout::{self, HEADER, parts};
use crate::manifest::Manifest;
use crate::sealed::{Inner, Opened, Sealed, Writer, borrowed, lock};

/// Entries that are sealed again in one write: others wait so long.
const BATCH: usize = 256;

impl<B: KvBackend> Sealed<B> {
    /// Seals everything again under a new data key and then forgets the old one, so that nobody who learned the old key, or holds
    /// an old header and its secret, can read what is stored from now on.
    ///
    /// Others read and write meanwhile. `secret` opens the store afterwards, alone: the other key slots are dropped at once, because
    /// the new key cannot be wrapped for them; add them again. Whatever cuts it off, the store opens with `secret`, and the next call goes on.
    /// `progress` hears how many entries are done. What is on disk besides the store (old pages of a file, copies, blocks of a flash
    /// disk) is beyond its reach.
    ///
    /// # Errors
    /// [`WrongKey`](synctable_core::store::StoreErrorKind::WrongKey), [`Tampered`](synctable_core::store::StoreErrorKind::Tampered) where an entry
    /// cannot be opened, and the errors of the engine.
    pub fn rotate(&self, secret: &Secret, mut progress: impl FnMut(u64)) -> Result<(), StoreError> {
        let inner = self.inner();
        let running = inner.opened().ring.older().is_some();
        if running {
            // Another secret could not end it.
            inner.opened().header.unlock(secret)?;
        } else {
            inner.change_ring(|header| header.rotation_started(secret))?;
        }
        let mut done = 0;
        loop {
            match inner.seal_again()? {
                0 => break,
                count => {
                    done += count;
                    progress(done);
                }
            }
        }
        inner.change_ring(|header| header.rotation_ended(secret))
    }

    /// True while a rotation was begun and is not finished.
    pub fn is_rotating(&self) -> bool {
        self.inner().opened().ring.older().is_some()
    }
}

impl<B: KvBackend> Inner<B> {
    /// Writes a header with other data keys, and the manifest under the current one of them.
    fn change_ring(
        &self,
        change: impl FnOnce(&Header) -> Result<(Header, KeyRing), StoreError>,
    ) -> Result<(), StoreError> {
        let mut writer = lock(&self.writer);
        let manifest = writer.manifest()?.clone();
        let (header, ring) = change(&self.opened().header)?;
        let mut batch = KvBatch::new(Durability::Immediate);
        batch.put(HEADER.to_vec(), header.encode());
        // No snapshot may see the new header with the old keys, or the other way round.
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        self.commit(&mut writer, ring.current(), manifest, batch)?;
        *opened = Opened::new(header, ring);
        Ok(())
    }

    /// Seals some entries of the older epoch again; how many there were.
    fn seal_again(&self) -> Result<u64, StoreError> {
        let mut writer = lock(&self.writer);
        let ring = Arc::clone(&self.opened().ring);
        let Some(older) = ring.older() else {
            return Ok(0);
        };
        for range in layout::epoch(older) {
            let count = self.seal_range_again(&mut writer, &ring, &range)?;
            if count > 0 {
                return Ok(count);
            }
        }
        Ok(0)
    }

    fn seal_range_again(
        &self,
        writer: &mut Writer,
        ring: &KeyRing,
        range: &Range<Vec<u8>>,
    ) -> Result<u64, StoreError> {
        let page = self.backend.snapshot()?.scan(borrowed(range), BATCH)?;
        let Some(older) = ring.older().filter(|_| !page.is_empty()) else {
            return Ok(0);
        };
        let keys = ring.current();
        let mut manifest: Manifest = writer.manifest()?.clone();
        // The end of the rotation makes all of it durable.
        let mut batch = KvBatch::new(Durability::Eventual);
        for (physical, blob) in &page {
            let text = self.open_entry(ring, physical, blob)?;
            let (plain, _) = parts(&text)?;
            manifest.remove(older, physical, blob)?;
            batch.delete(physical.clone());
            let physical = self.layout.physical(keys, plain);
            let blob = self.seal(keys, &physical, &text)?;
            manifest.add(keys, &physical, &blob)?;
            batch.put(physical, blob);
        }
        self.commit(writer, keys, manifest, batch)?;
        Ok(page.len() as u64)
    }
}
