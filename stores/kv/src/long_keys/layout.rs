//! Where a key lies in an engine whose keys are short: pure functions.
//!
//! A key of up to [`prefix`](Layout::prefix) bytes is its own place. All longer ones with the same first bytes form one group: the place of each
//! is these bytes and a mark of [`MARK`] bytes, and its value tells the whole key. So a group lies right behind the key that is its prefix, and
//! before all that sorts behind the group; within it, places sort by their marks, which say nothing of the order of the keys.

use std::collections::BTreeMap;
use std::ops::Range;

use synctable_core::query::Direction;

use crate::backend::Limits;

/// A hash of the whole key, and a number that tells keys of equal hash apart. The largest number is never given, so the end of
/// a range of places is no longer than a place.
const MARK: usize = HASH + 2;
const HASH: usize = 8;

/// How the keys of an engine are laid out. It follows from the longest key alone, so that stays the same for a store's whole life.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    prefix: usize,
}

impl Layout {
    pub(crate) fn of(limits: Limits) -> Self {
        let prefix = match limits.longest_key {
            usize::MAX => usize::MAX,
            longest => longest.saturating_sub(MARK),
        };
        Self { prefix }
    }

    /// The first bytes of a key that lies in a group, or of a place in one.
    pub(crate) fn group(self, bytes: &[u8]) -> Option<&[u8]> {
        let (group, rest) = bytes.split_at_checked(self.prefix)?;
        (!rest.is_empty()).then_some(group)
    }

    /// The places of all keys in a range, and of some more: those of the groups at its ends.
    pub(crate) fn around(self, keys: Range<&[u8]>) -> Range<Vec<u8>> {
        let start = self.group(keys.start).unwrap_or(keys.start).to_vec();
        let end = match self.group(keys.end) {
            Some(group) => behind_group(group),
            None => keys.end.to_vec(),
        };
        start..end
    }
}

/// The places where a key of a group may lie.
pub(crate) fn places(group: &[u8], key: &[u8]) -> Range<Vec<u8>> {
    place(group, key, 0)..place(group, key, u16::MAX)
}

/// The place of a key in its group, of those with the same hash the one with this number.
pub(crate) fn place(group: &[u8], key: &[u8], number: u16) -> Vec<u8> {
    [group, &hash(key).to_be_bytes(), &number.to_be_bytes()].concat()
}

/// The end of all places of a group.
pub(crate) fn behind_group(group: &[u8]) -> Vec<u8> {
    [group, &[u8::MAX; MARK]].concat()
}

/// The start of all places of a group, behind the key that is its prefix.
pub(crate) fn before_group(group: &[u8]) -> Vec<u8> {
    [group, &[0]].concat()
}

/// What lies in a place: the whole key and the value.
pub(crate) fn wrap(key: &[u8], value: &[u8]) -> Vec<u8> {
    [&(key.len() as u64).to_be_bytes(), key, value].concat()
}

/// The parts of what lies in a place.
pub(crate) fn unwrap(stored: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = stored.split_first_chunk::<8>()?;
    rest.split_at_checked(usize::try_from(u64::from_be_bytes(*length)).ok()?)
}

/// FNV-1a: on the disk, so it never changes. Keys that meet cost a look each, nothing else.
fn hash(key: &[u8]) -> u64 {
    key.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The first keys of a group in a direction, with their places: no more are held than `most`, however many are shown to it.
#[derive(Debug)]
pub(crate) struct First {
    direction: Direction,
    most: usize,
    held: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl First {
    pub(crate) fn new(direction: Direction, most: usize) -> Self {
        Self {
            direction,
            most,
            held: BTreeMap::new(),
        }
    }

    /// Shows it a key; those that come too late are let go.
    pub(crate) fn show(&mut self, key: &[u8], place: &[u8]) {
        if self.is_full() {
            let (last, ascending) = match self.direction {
                Direction::Ascending => (self.held.last_entry(), true),
                Direction::Descending => (self.held.first_entry(), false),
            };
            match last {
                Some(last) if (key < last.key().as_slice()) == ascending => drop(last.remove()),
                _ => return,
            }
        }
        self.held.insert(key.to_vec(), place.to_vec());
    }

    /// There may be more keys than it holds.
    pub(crate) fn is_full(&self) -> bool {
        self.held.len() >= self.most
    }

    /// The next key, and its place.
    pub(crate) fn pop(&mut self) -> Option<(Vec<u8>, Vec<u8>)> {
        match self.direction {
            Direction::Ascending => self.held.pop_first(),
            Direction::Descending => self.held.pop_last(),
        }
    }

    /// The last key that it holds.
    pub(crate) fn last(&self) -> Option<&Vec<u8>> {
        match self.direction {
            Direction::Ascending => self.held.last_key_value(),
            Direction::Descending => self.held.first_key_value(),
        }
        .map(|(key, _)| key)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }
}
