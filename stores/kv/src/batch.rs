//! Writes that are collected, and the write transaction of an engine that has snapshots and atomic batches only.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::iter;
use std::ops::{Bound, Range};
use std::sync::{Mutex, MutexGuard, PoisonError};

use synctable_core::query::Direction;
use synctable_core::store::{Durability, StoreError};

use crate::backend::KvBackend;
use crate::bytes::Bytes;
use crate::read::{KvEntries, KvEntry, KvRead, KvWrite};

/// Writes that a backend does all or not at all; no key occurs twice.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct KvBatch {
    writes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    durability: Durability,
}

impl KvBatch {
    /// An empty batch.
    pub fn new(durability: Durability) -> Self {
        Self {
            writes: BTreeMap::new(),
            durability,
        }
    }

    /// Sets `key` to `value`; an earlier write of the key is forgotten.
    pub fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.writes.insert(key, Some(value));
    }

    /// Removes `key`, which may be missing; an earlier write of the key is forgotten.
    pub fn delete(&mut self, key: Vec<u8>) {
        self.writes.insert(key, None);
    }

    /// Forgets the writes of all keys in a range.
    pub fn forget_range(&mut self, keys: &Range<&[u8]>) {
        self.writes.retain(|key, _| !keys.contains(&key.as_slice()));
    }

    /// The keys to write in their order, each with its new value, or `None` where it is to be removed.
    pub fn writes(&self) -> impl ExactSizeIterator<Item = (&[u8], Option<&[u8]>)> {
        self.writes
            .iter()
            .map(|(key, value)| (key.as_slice(), value.as_deref()))
    }

    /// When the batch has to be durable.
    pub fn durability(&self) -> Durability {
        self.durability
    }

    /// True without writes.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// Does these writes in one transaction of `backend`, and nothing else.
    pub fn write_to(&self, backend: &(impl KvBackend + ?Sized)) -> Result<(), StoreError> {
        let mut write = backend.begin_write(self.durability)?;
        self.write_in(&mut *write)?;
        write.commit()
    }

    /// Does these writes in a transaction.
    pub fn write_in(&self, write: &mut dyn KvWrite) -> Result<(), StoreError> {
        for (key, value) in self.writes() {
            match value {
                Some(value) => write.put(key, value)?,
                None => write.delete(key)?,
            }
        }
        Ok(())
    }

    /// What the batch makes of `key`: its new value, or that it is removed. The outer `None` where it does not write it.
    pub fn get(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        self.writes.get(key).map(Option::as_deref)
    }

    /// What the batch makes of `below`, the entries of the same range in the same direction.
    pub fn over<'a>(
        &'a self,
        keys: Range<&[u8]>,
        direction: Direction,
        below: KvEntries<'a>,
    ) -> KvEntries<'a> {
        if keys.start >= keys.end {
            return Box::new(iter::empty());
        }
        let bounds = (Bound::Included(keys.start), Bound::Excluded(keys.end));
        let range = self.writes.range::<[u8], _>(bounds);
        match direction {
            Direction::Ascending => merged(range, below, Ordering::Less),
            Direction::Descending => merged(range.rev(), below, Ordering::Greater),
        }
    }
}

/// Entries and the writes over them, both in one order; a key that sorts `first` against another comes before it.
fn merged<'a>(
    writes: impl Iterator<Item = (&'a Vec<u8>, &'a Option<Vec<u8>>)> + 'a,
    below: KvEntries<'a>,
    first: Ordering,
) -> KvEntries<'a> {
    let (mut writes, mut below) = (writes.peekable(), below.peekable());
    Box::new(iter::from_fn(move || {
        loop {
            let order = match (writes.peek(), below.peek()) {
                (_, Some(Err(_))) | (None, _) => return below.next(),
                (Some(_), None) => first,
                (Some((key, _)), Some(Ok((stored, _)))) => key.as_slice().cmp(stored),
            };
            if order != first && order.is_ne() {
                return below.next();
            }
            if order.is_eq() {
                below.next();
            }
            if let Some((key, Some(value))) = writes.next() {
                let entry: KvEntry<'_> = (key.as_slice().into(), value.as_slice().into());
                return Some(Ok(entry));
            }
        }
    }))
}

impl Debug for KvBatch {
    /// Shows the size only: contents stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KvBatch")
            .field("writes", &self.writes.len())
            .field("durability", &self.durability)
            .finish()
    }
}

/// Does a batch whole or not at all.
type Apply<'a> = dyn FnOnce(&KvBatch) -> Result<(), StoreError> + 'a;

/// A write transaction made of a snapshot, a [`KvBatch`] over it, and an atomic batch of the engine: for engines that have no transactions that
/// read. The example of this crate has one.
pub struct Buffered<'a> {
    // Dropped before the turn is over.
    below: Option<Box<dyn KvRead + 'a>>,
    batch: KvBatch,
    apply: Box<Apply<'a>>,
    _turn: MutexGuard<'a, ()>,
}

impl<'a> Buffered<'a> {
    /// Begins one, once no other holds `turn`: all handles of the engine that write share it.
    ///
    /// `snapshot` is called then. At the commit it is dropped, and `apply` has to do the batch whole or not at all, as
    /// [`KvWrite::commit`] says; one without writes, too.
    ///
    /// # Errors
    /// Those of `snapshot`.
    pub fn begin(
        turn: &'a Mutex<()>,
        durability: Durability,
        snapshot: impl FnOnce() -> Result<Box<dyn KvRead + 'a>, StoreError>,
        apply: impl FnOnce(&KvBatch) -> Result<(), StoreError> + 'a,
    ) -> Result<Box<dyn KvWrite + 'a>, StoreError> {
        let turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Box::new(Self {
            below: Some(snapshot()?),
            batch: KvBatch::new(durability),
            apply: Box::new(apply),
            _turn: turn,
        }))
    }
}

impl Debug for Buffered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffered")
            .field("batch", &self.batch)
            .finish_non_exhaustive()
    }
}

impl KvRead for Buffered<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes<'_>>, StoreError> {
        match (self.batch.get(key), &self.below) {
            (Some(written), _) => Ok(written.map(Bytes::from)),
            (None, Some(below)) => below.get(key),
            (None, None) => Ok(None),
        }
    }

    fn entries(&self, keys: Range<&[u8]>, direction: Direction) -> KvEntries<'_> {
        let below: KvEntries<'_> = match &self.below {
            Some(below) => below.entries(keys.clone(), direction),
            None => Box::new(iter::empty()),
        };
        self.batch.over(keys, direction, below)
    }
}

impl KvWrite for Buffered<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.batch.put(key.to_vec(), value.to_vec());
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), StoreError> {
        self.batch.delete(key.to_vec());
        Ok(())
    }

    fn commit(self: Box<Self>) -> Result<(), StoreError> {
        let Self {
            below,
            batch,
            apply,
            _turn,
            ..
        } = *self;
        // Where whoever reads holds writers off, the snapshot must be gone.
        drop(below);
        apply(&batch)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::BTreeMap;

    use super::*;

    /// An engine's entries, and how many of them were looked at.
    struct Below<'a> {
        entries: &'a BTreeMap<Vec<u8>, Vec<u8>>,
        seen: &'a Cell<usize>,
    }

    impl KvRead for Below<'_> {
        fn get(&self, key: &[u8]) -> Result<Option<Bytes<'_>>, StoreError> {
            Ok(self.entries.get(key).map(|value| value.as_slice().into()))
        }

        fn entries(&self, keys: Range<&[u8]>, _: Direction) -> KvEntries<'_> {
            let range = self.entries.range(keys.start.to_vec()..keys.end.to_vec());
            Box::new(range.map(|(key, value)| {
                self.seen.set(self.seen.get() + 1);
                Ok((key.as_slice().into(), value.as_slice().into()))
            }))
        }
    }

    /// Removing a range looks at each entry once, and once more at the ends of its pages.
    #[test]
    fn a_range_is_removed_in_one_walk() -> Result<(), StoreError> {
        let key = |n: u32| n.to_be_bytes().to_vec();
        let entries: BTreeMap<_, _> = (0..2_000).map(|n| (key(n), vec![1])).collect();
        let (turn, seen) = (Mutex::new(()), Cell::new(0));
        let below = || -> Result<Box<dyn KvRead>, StoreError> {
            Ok(Box::new(Below {
                entries: &entries,
                seen: &seen,
            }))
        };
        let deleted = Cell::new(0);
        let mut write = Buffered::begin(&turn, Durability::Immediate, below, |batch| {
            deleted.set(batch.writes().count());
            Ok(())
        })?;
        write.delete_range(&key(0)..&key(1_900))?;
        let left = write.entries(&key(0)..&key(9_999), Direction::Ascending);
        assert_eq!(left.count(), 100);
        // The count of what is left has looked at all of it.
        let looked_at = seen.get() - 2_000;
        assert!(looked_at <= 2_000, "{looked_at} looks at 1,900 entries");
        write.commit()?;
        assert_eq!(deleted.get(), 1_900);
        Ok(())
    }
}
