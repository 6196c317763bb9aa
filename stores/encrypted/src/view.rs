//! A snapshot of a sealed store: entries are looked up by their tokens and opened; order comes from the directory.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Bound, Range};
use std::sync::Arc;

use synctable_core::query::Direction;
use synctable_core::store::StoreError;
use synctable_kv::{Bytes, Entry, KvBackend, KvEntries, KvRead, pages};

use crate::cipher::tampered;
use crate::directory::{self, Keys};
use crate::header::KeyRing;
use crate::layout::{ENTRIES, Group, parts};
use crate::scan::each;
use crate::sealed::{Inner, borrowed, lock};

/// Physical entries that are read at once.
const PAGE: usize = 256;

type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

/// What is read through `R`: a snapshot of the engine, or a transaction.
pub(crate) struct View<'a, B: KvBackend, R: KvRead + ?Sized> {
    inner: &'a Inner<B>,
    read: Box<R>,
    ring: Arc<KeyRing>,
    /// Of the cache when the snapshot was taken.
    generation: u64,
    /// The entries with the values that were asked for last: pages of one value come one after the other.
    same_values: RefCell<Option<(Range<Vec<u8>>, Entries)>>,
    /// The keys of a group that the directory cannot hold now.
    own_keys: RefCell<Option<(Group, Keys)>>,
    live: Live<'a, B>,
}

/// Keeps what older snapshots see in the directory.
pub(crate) struct Live<'a, B: KvBackend>(&'a Inner<B>);

impl<B: KvBackend> Drop for Live<'_, B> {
    fn drop(&mut self) {
        lock(&self.0.directory).leave();
    }
}

impl<'a, B: KvBackend, R: KvRead + ?Sized> View<'a, B, R> {
    pub(crate) fn open(
        inner: &'a Inner<B>,
        read: impl FnOnce(&'a B) -> Result<Box<R>, StoreError>,
    ) -> Result<Self, StoreError> {
        lock(&inner.directory).enter();
        let live = Live(inner);
        // Both at once: the keys are those of all entries in the snapshot.
        let opened = inner.opened();
        // First: a write in between makes the values of this snapshot old ones.
        let generation = lock(&inner.cache).generation();
        let read = read(&inner.backend)?;
        let ring = Arc::clone(&opened.of(&*read)?.ring);
        Ok(Self {
            inner,
            read,
            ring,
            generation,
            same_values: RefCell::new(None),
            own_keys: RefCell::new(None),
            live,
        })
    }

    /// What is read through, the keys of all that it shows, and what keeps the directory as it has to be meanwhile.
    pub(crate) fn into_parts(self) -> (Box<R>, Arc<KeyRing>, Live<'a, B>) {
        (self.read, self.ring, self.live)
    }

    /// Reads the entries in physical ranges and hands on each plain key with its value.
    fn read(
        &self,
        ranges: impl IntoIterator<Item = Range<Vec<u8>>>,
        mut take: impl FnMut(&[u8], &[u8]),
    ) -> Result<(), StoreError> {
        for range in ranges {
            each(&*self.read, borrowed(&range), |physical, blob| {
                let text = self.inner.open_entry(&self.ring, physical, blob)?;
                let (plain, value) = parts(&text)?;
                take(plain, value);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Entries of a range, from either end.
    fn page(
        &self,
        keys: &Range<&[u8]>,
        limit: usize,
        backwards: bool,
    ) -> Result<Vec<Entry>, StoreError> {
        if keys.is_empty() || limit == 0 {
            return Ok(Vec::new());
        }
        if let Some(found) = self.of_one_value(keys, limit, backwards)? {
            return Ok(found);
        }
        match Group::of_range(keys) {
            Some(group) => self.of_group(&group, keys, limit, backwards),
            None => {
                // Only asked of a store that holds next to nothing: whether there is anything at all.
                let all = ENTRIES.start.to_vec()..ENTRIES.end.to_vec();
                let mut found = Entries::new();
                self.read([all], |plain, value| {
                    if keys.contains(&plain) {
                        found.insert(plain.to_vec(), value.to_vec());
                    }
                })?;
                Ok(some_of(&found, keys, limit, backwards))
            }
        }
    }

    /// Entries of an index with equal values, where these are neighbours.
    fn of_one_value(
        &self,
        keys: &Range<&[u8]>,
        limit: usize,
        backwards: bool,
    ) -> Result<Option<Vec<Entry>>, StoreError> {
        let places = self
            .ring
            .epochs()
            .map(|epoch| self.inner.layout.same_values(epoch, keys))
            .collect::<Option<Vec<_>>>();
        let Some((places, first)) = places.and_then(|places| {
            let first = places.first().cloned()?;
            Some((places, first))
        }) else {
            return Ok(None);
        };
        let mut kept = self.same_values.borrow_mut();
        if kept.as_ref().is_none_or(|(place, _)| *place != first) {
            let mut found = Entries::new();
            self.read(places, |plain, value| {
                found.insert(plain.to_vec(), value.to_vec());
            })?;
            *kept = Some((first, found));
        }
        let found = kept.as_ref().map(|(_, found)| found);
        Ok(found.map(|found| some_of(found, keys, limit, backwards)))
    }

    /// Sees to it that the keys of a group are known.
    fn load(&self, group: &Group) -> Result<(), StoreError> {
        let own = self.own_keys.borrow();
        let is_own = own.as_ref().is_some_and(|(own, _)| own == group);
        drop(own);
        if is_own || lock(&self.inner.directory).is_loaded(group) {
            return Ok(());
        }
        let epochs = self.ring.epochs();
        let places: Vec<_> = epochs
            .map(|epoch| self.inner.layout.group(epoch, group))
            .collect();
        let mut keys = Keys::new();
        self.read(places, |plain, _| {
            keys.insert(plain.to_vec());
        })?;
        let kept = lock(&self.inner.directory).load(group.clone(), keys);
        if let Some(keys) = kept {
            *self.own_keys.borrow_mut() = Some((group.clone(), keys));
        }
        Ok(())
    }

    /// Entries of a group, in the order of the directory.
    fn of_group(
        &self,
        group: &Group,
        keys: &Range<&[u8]>,
        limit: usize,
        backwards: bool,
    ) -> Result<Vec<Entry>, StoreError> {
        self.load(group)?;
        let mut found = Vec::new();
        let (mut start, mut end) = (keys.start.to_vec(), keys.end.to_vec());
        while found.len() < limit {
            let rest = start.as_slice()..end.as_slice();
            let wanted = (limit - found.len()).min(PAGE);
            let candidates = match &*self.own_keys.borrow() {
                Some((own, all)) if own == group => {
                    directory::some_of(all, &rest, wanted, backwards)
                }
                _ => lock(&self.inner.directory).some(group, &rest, wanted, backwards),
            };
            let Some(last) = candidates.last().cloned() else {
                break;
            };
            for plain in candidates {
                // Another snapshot may see it, this one need not.
                if let Some(value) = self.get(&plain)? {
                    let value = value.into_vec();
                    found.push((plain, value));
                }
            }
            if backwards {
                end = last;
            } else {
                start = last;
                start.push(0);
            }
        }
        Ok(found)
    }
}

fn some_of(found: &Entries, keys: &Range<&[u8]>, limit: usize, backwards: bool) -> Vec<Entry> {
    let bounds = (Bound::Included(keys.start), Bound::Excluded(keys.end));
    let range = found.range::<[u8], _>(bounds);
    let owned = |(key, value): (&Vec<u8>, &Vec<u8>)| (key.clone(), value.clone());
    if backwards {
        range.rev().take(limit).map(owned).collect()
    } else {
        range.take(limit).map(owned).collect()
    }
}

impl<B: KvBackend, R: KvRead + ?Sized> fmt::Debug for View<'_, B, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").finish_non_exhaustive()
    }
}

impl<B: KvBackend, R: KvRead + ?Sized> KvRead for View<'_, B, R> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes<'_>>, StoreError> {
        if let Some(value) = lock(&self.inner.cache).find(self.generation, key) {
            return Ok(Some(value.into()));
        }
        for keys in self.ring.epochs() {
            let physical = self.inner.layout.physical(keys, key);
            let Some(blob) = self.read.get(&physical)? else {
                continue;
            };
            let text = self.inner.open_entry(&self.ring, &physical, &blob)?;
            let (plain, value) = parts(&text)?;
            if plain != key {
                return Err(tampered());
            }
            lock(&self.inner.cache).keep(self.generation, key, value);
            return Ok(Some(value.to_vec().into()));
        }
        Ok(None)
    }

    fn entries(&self, keys: Range<&[u8]>, direction: Direction) -> KvEntries<'_> {
        let backwards = direction == Direction::Descending;
        pages(keys, direction, move |keys, limit| {
            self.page(&keys, limit, backwards)
        })
    }
}
