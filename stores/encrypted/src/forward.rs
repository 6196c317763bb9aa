//! Bringing a store of release 0.1 forward, in place.
//!
//! The first format binds no header to its manifest, so an old header may stand beside a newer manifest of the same epoch. All
//! entries are read once and have to be those of the manifest, down to the last one; from then on the store is of today's format.

use synctable_core::store::{Durability, StoreError};
use synctable_kv::{KvBackend, KvBatch, KvRead};

use crate::anchor::Anchor;
use crate::cipher::tampered;
use crate::header::{Header, KeyRing};
use crate::layout::{ENTRIES, HEADER, Layout, MANIFEST, open_at_its_place};
use crate::manifest::{Manifest, Tally, open_first, term};
use crate::older::Older;
use crate::scan::each;

/// A store of the first format that was found whole, with all that its new header takes.
#[derive(Debug)]
pub(crate) struct Forward {
    header: Header,
    ring: KeyRing,
    manifest: Manifest,
}

impl Forward {
    /// Reads the whole store. `manifest` is what lies in the place of one.
    pub(crate) fn plan(
        snapshot: &dyn KvRead,
        header: &Header,
        mut ring: KeyRing,
        manifest: &[u8],
        at_least: Anchor,
    ) -> Result<Self, StoreError> {
        let (counter, expected) = open_first(ring.current(), header.store_id(), manifest)?;
        at_least.check(Anchor::new(counter, ring.current().epoch()))?;
        let layout = Layout {
            equality: header.equality(),
        };
        let header_now = header.forward(&ring);
        let mut manifest = Manifest::new(&header_now);
        manifest.counter = counter;
        let (mut found, mut older) = (Tally::default(), Older::default());
        each(snapshot, ENTRIES, |physical, blob| {
            let keys = open_at_its_place(layout, &ring, header.store_id(), physical, blob)?;
            let as_counted = term(keys, physical, blob)?;
            found.add(&as_counted)?;
            if keys.epoch() == ring.current().epoch() {
                return manifest.current.add(&as_counted);
            }
            let code = ring.current().older_term(physical, blob);
            older.insert(physical, &code);
            manifest.older.add(&code)
        })?;
        if found != expected {
            return Err(tampered());
        }
        ring.accept(older);
        Ok(Self {
            header: header_now,
            ring,
            manifest,
        })
    }

    /// What would be written, for an engine that is open for reading only: it stays as it is.
    pub(crate) fn unwritten(self) -> Result<(Header, KeyRing, Manifest, KvBatch), StoreError> {
        let batch = self.batch()?;
        Ok((self.header, self.ring, self.manifest, batch))
    }

    /// Writes header and manifest, in one write. The snapshot has to be gone.
    pub(crate) fn write(
        mut self,
        backend: &impl KvBackend,
    ) -> Result<(Header, KeyRing, Manifest), StoreError> {
        self.manifest.counter += 1;
        self.batch()?.write_to(backend)?;
        Ok((self.header, self.ring, self.manifest))
    }

    fn batch(&self) -> Result<KvBatch, StoreError> {
        let mut batch = KvBatch::new(Durability::Immediate);
        batch.put(HEADER.to_vec(), self.header.encode());
        let sealed = self
            .manifest
            .seal(self.ring.current(), self.header.store_id())?;
        batch.put(MANIFEST.to_vec(), sealed);
        Ok(batch)
    }
}
