//! A write transaction of a sealed store: plain writes over what the engine's own transaction shows, sealed into it at the commit.

use std::collections::HashSet;
use std::fmt;
use std::iter;
use std::ops::Range;
use std::sync::MutexGuard;

use synctable_core::query::Direction;
use synctable_core::store::{Durability, StoreError};
use synctable_kv::{Bytes, KvBackend, KvBatch, KvEntries, KvRead, KvReadExt, KvWrite, delete_each};

use crate::layout::{Group, text};
use crate::scan::each;
use crate::sealed::{Inner, borrowed, lock};
use crate::view::View;
use crate::writer::Writer;

pub(crate) struct Transaction<'a, B: KvBackend> {
    // The engine's transaction ends before others write.
    view: View<'a, B, dyn KvWrite + 'a>,
    batch: KvBatch,
    /// Groups of which nothing is left but what the batch puts into them.
    cleared: HashSet<Group>,
    inner: &'a Inner<B>,
    writer: MutexGuard<'a, Writer>,
}

impl<'a, B: KvBackend> Transaction<'a, B> {
    pub(crate) fn begin(inner: &'a Inner<B>, durability: Durability) -> Result<Self, StoreError> {
        let writer = inner.writer()?;
        // Nobody changes the keys while the writer is held.
        let view = View::open(inner, |backend| backend.begin_write(durability))?;
        Ok(Self {
            view,
            batch: KvBatch::new(durability),
            cleared: HashSet::new(),
            inner,
            writer,
        })
    }
}

impl<B: KvBackend> Transaction<'_, B> {
    fn is_cleared(&self, group: impl FnOnce() -> Option<Group>) -> bool {
        !self.cleared.is_empty() && group().is_some_and(|group| self.cleared.contains(&group))
    }
}

impl<B: KvBackend> fmt::Debug for Transaction<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").finish_non_exhaustive()
    }
}

impl<B: KvBackend> KvRead for Transaction<'_, B> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes<'_>>, StoreError> {
        match self.batch.get(key) {
            Some(written) => Ok(written.map(Bytes::from)),
            None if self.is_cleared(|| Some(Group::of(key))) => Ok(None),
            None => self.view.get(key),
        }
    }

    fn entries(&self, keys: Range<&[u8]>, direction: Direction) -> KvEntries<'_> {
        let below = if self.is_cleared(|| Group::of_range(&keys)) {
            Box::new(iter::empty())
        } else {
            self.view.entries(keys.clone(), direction)
        };
        self.batch.over(keys, direction, below)
    }
}

impl<B: KvBackend> KvWrite for Transaction<'_, B> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.batch.put(key.to_vec(), value.to_vec());
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), StoreError> {
        self.batch.delete(key.to_vec());
        Ok(())
    }

    fn delete_range(&mut self, keys: Range<&[u8]>) -> Result<(), StoreError> {
        if let Some(group) = Group::all_of(&keys) {
            // Its places are neighbours, and none of them need be opened.
            self.batch.forget_range(&keys);
            self.cleared.insert(group);
            return Ok(());
        }
        delete_each(self, keys)
    }

    fn commit(self: Box<Self>) -> Result<(), StoreError> {
        let Self {
            view,
            batch,
            cleared,
            inner,
            mut writer,
        } = *self;
        let (mut write, ring, live) = view.into_parts();
        let (limits, keys) = (inner.backend.limits(), ring.current());
        let mut manifest = writer.manifest()?.clone();
        for group in &cleared {
            for keys in ring.epochs() {
                let places = inner.layout.group(keys, group);
                each(&*write, borrowed(&places), |physical, blob| {
                    manifest.remove(&ring, physical, blob)
                })?;
                write.delete_range(borrowed(&places))?;
            }
        }
        for (plain, value) in batch.writes() {
            for keys in ring.epochs() {
                let physical = inner.layout.physical(keys, plain);
                if let Some(blob) = write.copy_of(&physical)? {
                    manifest.remove(&ring, &physical, &blob)?;
                    write.delete(&physical)?;
                }
            }
            if let Some(value) = value {
                let physical = inner.layout.physical(keys, plain);
                let blob = inner.seal(keys, &physical, &text(plain, value))?;
                limits.check(&physical, &blob)?;
                manifest.add(keys, &physical, &blob)?;
                write.put(&physical, &blob)?;
            }
        }
        let puts = || batch.writes().filter(|(_, value)| value.is_some());
        let mut directory = lock(&inner.directory);
        cleared.iter().for_each(|group| directory.clears(group));
        puts().for_each(|(plain, _)| directory.put(plain));
        drop(directory);
        let mut cache = lock(&inner.cache);
        cache.begin(batch.writes().map(|(plain, _)| plain));
        if !cleared.is_empty() {
            cache.forget();
        }
        drop(cache);
        let written = inner.finish(&mut writer, keys, manifest, batch.durability(), write);
        if !matches!(*writer, Writer::InDoubt { .. }) {
            lock(&inner.cache).end();
        }
        if written.is_ok() {
            let mut directory = lock(&inner.directory);
            for group in &cleared {
                directory.were_cleared(group);
            }
            for (plain, value) in batch.writes() {
                match value {
                    Some(_) => directory.put(plain),
                    None => directory.removed(plain),
                }
            }
        }
        drop(live);
        written
    }
}
