//! A write transaction of a sealed store: plain writes over what the engine's own transaction shows, sealed into it at the commit.

use std::collections::HashSet;
use std::fmt;
use std::iter;
use std::ops::Range;
use std::sync::MutexGuard;

use synctable_core::query::Direction;
use synctable_core::store::{Durability, StoreError};
use synctable_kv::{
    Bytes, KvBackend, KvBatch, KvEntries, KvEntry, KvRead, KvReadExt, KvWrite, delete_each,
};

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
    fn is_cleared(&self, key: &[u8]) -> bool {
        !self.cleared.is_empty() && self.cleared.contains(&Group::of(key))
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
            None if self.is_cleared(key) => Ok(None),
            None => self.view.get(key),
        }
    }

    fn entries(&self, keys: Range<&[u8]>, direction: Direction) -> KvEntries<'_> {
        let below: KvEntries<'_> = match Group::of_range(&keys) {
            Some(group) if self.cleared.contains(&group) => Box::new(iter::empty()),
            None if !self.cleared.is_empty() => {
                let all = self.view.entries(keys.clone(), direction);
                let is_left = |(key, _): &KvEntry<'_>| !self.is_cleared(key);
                Box::new(all.filter(move |entry| entry.as_ref().map_or(true, is_left)))
            }
            _ => self.view.entries(keys.clone(), direction),
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
        let mut directory = lock(&inner.directory);
        for group in &cleared {
            directory.clears(group);
        }
        for (plain, value) in batch.writes() {
            if value.is_some() {
                directory.put(plain);
            }
        }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;
    use synctable_redb::RedbStore;
    use tempfile::TempDir;

    use super::*;
    use crate::{RawKey, Sealed};

    #[derive(Debug, Clone)]
    enum Step {
        Put(bool, u8),
        Delete(bool, u8),
        Clear(bool),
        /// Whether the transaction is read, too: what nobody has read has no directory yet.
        Commit(bool),
        /// Somebody begins to read, or all look at what they see, the last one first.
        Open,
        Look,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (any::<bool>(), 0..4_u8).prop_map(|(table, id)| Step::Put(table, id)),
            (any::<bool>(), 0..4_u8).prop_map(|(table, id)| Step::Delete(table, id)),
            any::<bool>().prop_map(Step::Clear),
            any::<bool>().prop_map(Step::Commit),
            Just(Step::Open),
            Just(Step::Look),
        ]
    }

    fn table(second: bool) -> Range<&'static [u8]> {
        if second {
            b"\x02b\0"..b"\x02b\x01"
        } else {
            b"\x02a\0"..b"\x02a\x01"
        }
    }

    fn key(second: bool, id: u8) -> Vec<u8> {
        [table(second).start, &[b'0' + id]].concat()
    }

    type Model = BTreeMap<Vec<u8>, Vec<u8>>;

    fn sealed() -> (TempDir, Sealed<impl KvBackend>) {
        let folder = tempfile::tempdir().unwrap();
        let engine = RedbStore::builder(folder.path().join("store.redb")).backend();
        let sealed = Sealed::builder(engine.unwrap())
            .raw_key(RawKey::from_bytes([7; 32]))
            .create(true);
        (folder, sealed.open().unwrap())
    }

    /// All that is read, by table and as a whole, and by key.
    fn agrees(read: &(impl KvRead + ?Sized), model: &Model) -> Result<(), TestCaseError> {
        for range in [table(false), table(true), &[]..&[u8::MAX]] {
            let expected: Vec<_> = model
                .iter()
                .filter(|(key, _)| range.contains(&key.as_slice()))
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect();
            let entries = read.entries(range, Direction::Ascending);
            let found: Vec<_> = entries
                .map(|entry| entry.map(|(key, value)| (key.into_vec(), value.into_vec())))
                .collect::<Result<_, _>>()
                .unwrap();
            prop_assert_eq!(found, expected);
        }
        for (second, id) in [false, true]
            .into_iter()
            .flat_map(|it| (0..4).map(move |id| (it, id)))
        {
            let key = key(second, id);
            prop_assert_eq!(read.copy_of(&key).unwrap(), model.get(&key).cloned());
        }
        Ok(())
    }

    /// Nobody has read the table before it is cleared, so its keys are noted nowhere, and somebody reads what is left first.
    #[test]
    fn an_older_snapshot_sees_all_of_a_cleared_table() {
        let (_folder, sealed) = sealed();
        let write = |change: &dyn Fn(&mut dyn KvWrite)| {
            let mut write = sealed.begin_write(Durability::Eventual).unwrap();
            change(&mut *write);
            write.commit().unwrap();
        };
        write(&|write| write.put(&key(false, 1), b"old").unwrap());
        let older = sealed.snapshot().unwrap();
        write(&|write| {
            write.put(&key(false, 2), b"never").unwrap();
            write.delete_range(table(false)).unwrap();
            write.put(&key(false, 3), b"new").unwrap();
        });
        let newer = sealed.snapshot().unwrap();
        let model = |id, value: &[u8]| Model::from([(key(false, id), value.to_vec())]);
        agrees(&*newer, &model(3, b"new")).unwrap();
        agrees(&*older, &model(1, b"old")).unwrap();
        drop((older, newer));
        agrees(&*sealed.snapshot().unwrap(), &model(3, b"new")).unwrap();
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever is cleared and written, a transaction reads what it has made, and each snapshot what was there when it was taken.
        #[test]
        fn cleared_tables_read_as_empty_ones(steps in vec(step(), 0..30)) {
            let (_folder, sealed) = sealed();
            let (mut stored, mut pending) = (Model::new(), Vec::new());
            let mut snapshots = Vec::new();
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Open => snapshots.push((sealed.snapshot().unwrap(), stored.clone())),
                    Step::Look => {
                        for (snapshot, seen) in snapshots.iter().rev() {
                            agrees(&**snapshot, seen)?;
                        }
                        if number % 2 == 0 {
                            snapshots.clear();
                        }
                    }
                    Step::Commit(is_read) => {
                        let mut write = sealed.begin_write(Durability::Eventual).unwrap();
                        for (number, step) in pending.drain(..) {
                            match step {
                                Step::Put(second, id) => {
                                    let (key, value) = (key(second, id), vec![number]);
                                    write.put(&key, &value).unwrap();
                                    stored.insert(key, value);
                                }
                                Step::Delete(second, id) => {
                                    write.delete(&key(second, id)).unwrap();
                                    stored.remove(&key(second, id));
                                }
                                Step::Clear(second) => {
                                    write.delete_range(table(second)).unwrap();
                                    stored.retain(|key, _| !table(second).contains(&key.as_slice()));
                                }
                                _ => {}
                            }
                            if is_read {
                                agrees(&*write, &stored)?;
                            }
                        }
                        write.commit().unwrap();
                    }
                    change => pending.push((u8::try_from(number).unwrap(), change)),
                }
            }
            agrees(&*sealed.snapshot().unwrap(), &stored)?;
        }
    }
}
