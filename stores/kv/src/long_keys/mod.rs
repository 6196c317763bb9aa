//! Keys of any length over an engine whose keys are short, and values that it can hold: what [`KvStore`](crate::KvStore) has its engine under.
//!
//! A group of long keys is sorted here, by reading it as often as it takes: each time the next [`HELD`] keys are picked out of it. So memory is
//! bounded, a lookup by key costs what it costs the engine, and a step to the next record within a group of ordinary size one pass over that group.

mod layout;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;

use synctable_core::query::Direction;
use synctable_core::store::{Durability, StoreError, StoreErrorKind};

use crate::backend::{KvBackend, Limits};
use crate::bytes::Bytes;
use crate::key::behind;
use crate::read::{KvEntries, KvEntry, KvRead, KvWrite};
use layout::{First, Layout, before_group, behind_group, unwrap, wrap};

/// The most keys of a group that are held at once.
const HELD: usize = 4096;
/// Places that are deleted at once.
const DELETED: usize = 256;

/// An engine that takes keys of any length.
#[derive(Debug)]
pub(crate) struct LongKeys<B> {
    pub(crate) engine: B,
    limits: Limits,
    layout: Layout,
}

impl<B: KvBackend> LongKeys<B> {
    pub(crate) fn new(engine: B) -> Self {
        let limits = engine.limits();
        Self {
            engine,
            limits,
            layout: Layout::of(limits),
        }
    }

    /// An error for an engine whose keys cannot hold those of a store.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        if self.limits.shortest_key <= 1 && self.limits.longest_key >= Limits::LEAST_KEY {
            return Ok(());
        }
        let message = format!(
            "the engine takes keys of {} to {} bytes; a store needs 1 to {}",
            self.limits.shortest_key,
            self.limits.longest_key,
            Limits::LEAST_KEY
        );
        Err(StoreError::new(StoreErrorKind::Unsupported, message))
    }

    fn takes_all(&self) -> bool {
        self.limits == Limits::default()
    }

    pub(crate) fn snapshot(&self) -> Result<Box<dyn KvRead + '_>, StoreError> {
        let read = self.engine.snapshot()?;
        if self.takes_all() {
            return Ok(read);
        }
        let layout = self.layout;
        Ok(Box::new(Laid { layout, read }))
    }

    pub(crate) fn begin_write(
        &self,
        durability: Durability,
    ) -> Result<Box<dyn KvWrite + '_>, StoreError> {
        let read = self.engine.begin_write(durability)?;
        if self.takes_all() {
            return Ok(read);
        }
        let (layout, limits) = (self.layout, self.limits);
        let laid = Laid { layout, read };
        Ok(Box::new(Writing { laid, limits }))
    }
}

/// What is read of an engine with short keys.
struct Laid<R: ?Sized> {
    layout: Layout,
    read: Box<R>,
}

impl<R: KvRead + ?Sized> Laid<R> {
    /// The place of a long key and what lies there, or the first place that is free for it.
    fn find(&self, group: &[u8], key: &[u8]) -> Result<Found<'_>, StoreError> {
        let places = layout::places(group, key);
        let mut free = 0;
        for entry in self
            .read
            .entries(&places.start..&places.end, Direction::Ascending)
        {
            let (place, stored) = entry?;
            let (found, _) = unwrap(&stored).ok_or_else(damaged)?;
            if found == key {
                return Ok(Found::There(place.into_vec(), stored));
            }
            if *place == *layout::place(group, key, free) {
                free += 1;
            }
        }
        if free == u16::MAX {
            let message = "too many keys of this kind are stored; choose another id";
            return Err(StoreError::new(StoreErrorKind::Unsupported, message));
        }
        Ok(Found::Free(layout::place(group, key, free)))
    }
}

enum Found<'a> {
    There(Vec<u8>, Bytes<'a>),
    Free(Vec<u8>),
}

fn damaged() -> StoreError {
    StoreError::corrupt(
        "the entry of a long key is damaged; restore a backup or pull again into a new store",
    )
}

impl<R: KvRead + ?Sized> fmt::Debug for Laid<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Laid").finish_non_exhaustive()
    }
}

impl<R: KvRead + ?Sized> KvRead for Laid<R> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes<'_>>, StoreError> {
        let Some(group) = self.layout.group(key) else {
            return self.read.get(key);
        };
        let Found::There(_, stored) = self.find(group, key)? else {
            return Ok(None);
        };
        let (_, value) = unwrap(&stored).ok_or_else(damaged)?;
        Ok(Some(value.to_vec().into()))
    }

    fn entries(&self, keys: Range<&[u8]>, direction: Direction) -> KvEntries<'_> {
        if keys.start >= keys.end {
            return Box::new(std::iter::empty());
        }
        Box::new(Sorted::new(self, keys, direction, HELD))
    }
}

/// Entries by their keys.
struct Sorted<'a, R: ?Sized> {
    laid: &'a Laid<R>,
    direction: Direction,
    most: usize,
    keys: Range<Vec<u8>>,
    /// Where there is more: `None` once it is read, and while a group is.
    places: Option<Range<Vec<u8>>>,
    entries: Option<KvEntries<'a>>,
    /// The group that is being read, with the keys that are still to come.
    group: Option<(Vec<u8>, Range<Vec<u8>>)>,
    next: First,
}

impl<'a, R: KvRead + ?Sized> Sorted<'a, R> {
    fn new(laid: &'a Laid<R>, keys: Range<&[u8]>, direction: Direction, most: usize) -> Self {
        Self {
            laid,
            direction,
            most,
            places: Some(laid.layout.around(keys.clone())),
            keys: keys.start.to_vec()..keys.end.to_vec(),
            entries: None,
            group: None,
            next: First::new(direction, most),
        }
    }

    /// The next entry of what was picked from a group.
    fn picked(&mut self) -> Option<Result<KvEntry<'a>, StoreError>> {
        let (key, place) = self.next.pop()?;
        let value = match self.laid.read.get(&place) {
            Ok(stored) => stored
                .as_deref()
                .and_then(unwrap)
                .map(|(_, value)| value.to_vec()),
            Err(error) => return Some(Err(error)),
        };
        Some(
            value
                .map(|value| (key.into(), value.into()))
                .ok_or_else(damaged),
        )
    }

    /// Reads a group once more, and picks the keys that come next.
    fn pick(&mut self, group: Vec<u8>, mut rest: Range<Vec<u8>>) -> Result<(), StoreError> {
        let mut next = First::new(self.direction, self.most);
        let places = before_group(&group)..behind_group(&group);
        let all = self
            .laid
            .read
            .entries(&places.start..&places.end, Direction::Ascending);
        for entry in all {
            let (place, stored) = entry?;
            let (key, _) = unwrap(&stored).ok_or_else(damaged)?;
            if rest.start.as_slice() <= key && key < rest.end.as_slice() {
                next.show(key, &place);
            }
        }
        if next.is_full()
            && let Some(last) = next.last()
        {
            match self.direction {
                Direction::Ascending => rest.start = behind(last.clone()),
                Direction::Descending => rest.end.clone_from(last),
            }
            self.group = Some((group, rest));
        } else {
            let around = self.laid.layout.around(&self.keys.start..&self.keys.end);
            self.places = Some(match self.direction {
                Direction::Ascending => behind_group(&group)..around.end,
                Direction::Descending => around.start..before_group(&group),
            });
        }
        self.next = next;
        Ok(())
    }
}

impl<'a, R: KvRead + ?Sized> Iterator for Sorted<'a, R> {
    type Item = Result<KvEntry<'a>, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.picked() {
                return Some(entry);
            }
            if let Some((group, rest)) = self.group.take() {
                if let Err(error) = self.pick(group, rest) {
                    return Some(Err(error));
                }
                continue;
            }
            if let Some(places) = self.places.take() {
                let read = &self.laid.read;
                self.entries = Some(read.entries(&places.start..&places.end, self.direction));
            }
            let (place, value) = match self.entries.as_mut()?.next()? {
                Ok(entry) => entry,
                Err(error) => return Some(Err(error)),
            };
            if let Some(group) = self.laid.layout.group(&place) {
                self.entries = None;
                self.group = Some((group.to_vec(), self.keys.clone()));
            } else if self.keys.start.as_slice() <= &*place && &*place < self.keys.end.as_slice() {
                return Some(Ok((place, value)));
            }
        }
    }
}

/// A write transaction of an engine with limits.
struct Writing<'a> {
    laid: Laid<dyn KvWrite + 'a>,
    limits: Limits,
}

impl fmt::Debug for Writing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writing").finish_non_exhaustive()
    }
}

impl KvRead for Writing<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes<'_>>, StoreError> {
        self.laid.get(key)
    }

    fn entries(&self, keys: Range<&[u8]>, direction: Direction) -> KvEntries<'_> {
        self.laid.entries(keys, direction)
    }
}

impl KvWrite for Writing<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let Some(group) = self.laid.layout.group(key) else {
            self.limits.check(key, value)?;
            return self.laid.read.put(key, value);
        };
        let place = match self.laid.find(group, key)? {
            Found::There(place, _) | Found::Free(place) => place,
        };
        let stored = wrap(key, value);
        self.limits.check(&place, &stored)?;
        self.laid.read.put(&place, &stored)
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), StoreError> {
        let Some(group) = self.laid.layout.group(key) else {
            return self.laid.read.delete(key);
        };
        let place = match self.laid.find(group, key)? {
            Found::There(place, _) => place,
            Found::Free(_) => return Ok(()),
        };
        self.laid.read.delete(&place)
    }

    fn delete_range(&mut self, keys: Range<&[u8]>) -> Result<(), StoreError> {
        // In the order of the places, so that no group is sorted for it.
        let mut places = self.laid.layout.around(keys.clone());
        loop {
            let mut some = Vec::new();
            let all = self
                .laid
                .read
                .entries(&places.start..&places.end, Direction::Ascending);
            for entry in all {
                let (place, stored) = entry?;
                let key = match self.laid.layout.group(&place) {
                    Some(_) => unwrap(&stored).ok_or_else(damaged)?.0,
                    None => &place,
                };
                if keys.contains(&key) {
                    some.push(place.to_vec());
                }
                if some.len() == DELETED {
                    break;
                }
            }
            for place in &some {
                self.laid.read.delete(place)?;
            }
            match some.pop() {
                Some(last) if some.len() + 1 == DELETED => places.start = last,
                _ => return Ok(()),
            }
        }
    }

    fn commit(self: Box<Self>) -> Result<(), StoreError> {
        self.laid.read.commit()
    }
}
