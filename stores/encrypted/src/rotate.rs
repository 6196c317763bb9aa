//! A new data key for all entries, while the store is in use.
//!
//! A rotation is made because someone may know the old key, and so could seal entries under it while it runs. So everything is verified
//! before it begins, and what was found is noted under the new key; only that is read or sealed again; and at the end nothing may be left, and
//! nothing may be missing. If that fails, the store keeps both keys.

use std::ops::Range;
use std::sync::Arc;

use synctable_core::store::{Durability, StoreError};
use synctable_kv::{KvBackend, KvBatch, KvReadExt};

use crate::cipher::tampered;
use crate::header::KeyRing;
use crate::key::Secret;
use crate::layout::{self, ENTRIES, open_at_its_place, parts};
use crate::manifest::{Manifest, Tally, term};
use crate::older::Older;
use crate::scan::each;
use crate::sealed::{Inner, Sealed, borrowed};
use crate::writer::Writer;

/// Entries that are sealed again in one write: others wait so long.
const BATCH: usize = 256;

impl<B: KvBackend> Sealed<B> {
    /// Seals everything again under a new data key and then forgets the old one, so that nobody who learned the old key, or holds
    /// an old header and its secret, can read what is stored from now on, or have something accepted that the old key sealed.
    ///
    /// All entries are verified before anything is written, and counted at the end; meanwhile others read, and writers wait. In between others read and write.
    /// `secret` opens the store afterwards, alone: the other key slots are dropped at once, because
    /// the new key cannot be wrapped for them; add them again. Whatever cuts it off, the store opens with `secret`, and the next call goes on.
    /// `progress` hears how many entries are done. What is on disk besides the store (old pages of a file, copies, blocks of a flash
    /// disk) is beyond its reach. About 50 bytes an entry are in memory while it runs.
    ///
    /// # Errors
    /// [`WrongKey`](synctable_core::store::StoreErrorKind::WrongKey), [`Tampered`](synctable_core::store::StoreErrorKind::Tampered) where an entry
    /// cannot be opened, is missing or was put there: before the rotation nothing is changed then, within it both keys stay; and the errors of the engine.
    pub fn rotate(&self, secret: &Secret, mut progress: impl FnMut(u64)) -> Result<(), StoreError> {
        let inner = self.inner();
        let running = self.is_rotating();
        if running {
            // Another secret could not end it.
            inner.opened().header.unlock(secret)?;
        } else {
            inner.begin_rotation(secret)?;
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
        inner.end_rotation(secret)
    }

    /// True while a rotation was begun and is not finished.
    pub fn is_rotating(&self) -> bool {
        self.inner().settled().ring.older().is_some()
    }
}

impl<B: KvBackend> Inner<B> {
    /// Verifies all entries and writes the header that holds both keys, with what was found.
    fn begin_rotation(&self, secret: &Secret) -> Result<(), StoreError> {
        let mut writer = self.writer()?;
        let mut manifest = writer.manifest()?.clone();
        let (header, mut next) = self.opened().header.rotation_started(secret)?;
        let ring = Arc::clone(&self.opened().ring);
        let (mut found, mut older, mut noted) =
            (Tally::default(), Older::default(), Tally::default());
        {
            let snapshot = self.backend.snapshot()?;
            each(&*snapshot, ENTRIES, |physical, blob| {
                let keys = open_at_its_place(self.layout, &ring, &self.store_id, physical, blob)?;
                found.add(&term(keys, physical, blob)?)?;
                let code = next.current().older_term(physical, blob);
                noted.add(&code)?;
                older.insert(physical, &code);
                Ok(())
            })?;
        }
        if found != manifest.current {
            return Err(tampered());
        }
        next.accept(older);
        manifest.older = noted;
        manifest.current = Tally::default();
        self.write_header(&mut writer, header, Arc::new(next), manifest)
    }

    /// Counts everything and writes the header that holds the new key alone.
    fn end_rotation(&self, secret: &Secret) -> Result<(), StoreError> {
        let mut writer = self.writer()?;
        let manifest = writer.manifest()?.clone();
        let ring = Arc::clone(&self.opened().ring);
        let mut found = Tally::default();
        {
            let snapshot = self.backend.snapshot()?;
            each(&*snapshot, ENTRIES, |physical, blob| {
                let keys = open_at_its_place(self.layout, &ring, &self.store_id, physical, blob)?;
                if keys.epoch() != ring.current().epoch() {
                    return Err(tampered());
                }
                found.add(&term(keys, physical, blob)?)
            })?;
        }
        if !manifest.older.is_nothing() || found != manifest.current {
            return Err(tampered());
        }
        let (header, ring) = self.opened().header.rotation_ended(secret)?;
        self.write_header(&mut writer, header, Arc::new(ring), manifest)
    }

    /// Seals some entries of the older epoch again; how many there were.
    fn seal_again(&self) -> Result<u64, StoreError> {
        let mut writer = self.writer()?;
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
        if page.is_empty() {
            return Ok(0);
        }
        let keys = ring.current();
        let mut manifest: Manifest = writer.manifest()?.clone();
        // The end of the rotation makes all of it durable.
        let mut batch = KvBatch::new(Durability::Eventual);
        for (physical, blob) in &page {
            let text = self.open_entry(ring, physical, blob)?;
            let (plain, _) = parts(&text)?;
            manifest.remove(ring, physical, blob)?;
            batch.delete(physical.clone());
            let physical = self.layout.physical(keys, plain);
            let blob = self.seal(keys, &physical, &text)?;
            manifest.add(keys, &physical, &blob)?;
            batch.put(physical, blob);
        }
        self.commit(writer, keys, manifest, &batch)?;
        Ok(page.len() as u64)
    }
}
