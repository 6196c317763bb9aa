//! An engine with the keys of LMDB, of 1 to 511 bytes, and transactions that write in place. Bugs can be planted in it.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Bound, Range};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use synctable_core::query::Direction;
use synctable_core::store::{Durability, StoreError, StoreErrorKind};
use synctable_kv::{Bytes, KvBackend, KvEntries, KvRead, KvWrite, Limits, failing};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    Nothing,
    /// It says that it takes keys of any length: a hash stands for the end of those that it does not, which lie whole in their values. So what
    /// begins alike comes in the order of the hashes.
    Hashes,
    /// It takes what is longer than it says.
    TakesAll,
    /// Every 64th entry of an iteration is left out, as if a page began behind its first entry.
    SkipsAtPages,
    /// A dropped transaction leaves what it wrote.
    NoUndo,
    /// A range holds its end, too.
    TakesTheEnd,
}

#[derive(Debug, Clone)]
pub(crate) struct Short {
    map: Arc<RwLock<Map>>,
    flaw: Flaw,
}

const LONGEST: usize = 511;
const LONGEST_VALUE: usize = 8 << 20;

impl Short {
    pub(crate) fn new(flaw: Flaw) -> Self {
        Self {
            map: Arc::default(),
            flaw,
        }
    }

    fn real_limits() -> Limits {
        Limits::default()
            .with_longest_key(LONGEST)
            .with_longest_value(LONGEST_VALUE)
    }
}

/// Refuses what LMDB refuses, ends of ranges too.
fn fits(key: &[u8]) -> Result<(), StoreError> {
    if key.len() <= LONGEST {
        return Ok(());
    }
    Err(StoreError::new(StoreErrorKind::Other, "MDB_BAD_VALSIZE"))
}

impl Flaw {
    /// Where an entry is put, and what.
    fn placed(self, key: &[u8], value: &[u8]) -> (Vec<u8>, Vec<u8>) {
        if self != Self::Hashes || key.len() < LONGEST {
            return (key.to_vec(), value.to_vec());
        }
        let hash = key.iter().fold(7_u64, |sum, byte| {
            sum.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(11) ^ u64::from(*byte)
        });
        let place = [&key[..LONGEST - 8], &hash.to_be_bytes()].concat();
        let length = u32::try_from(key.len()).unwrap().to_be_bytes();
        (place, [&length, key, value].concat())
    }

    /// The key and the value of what is put somewhere.
    fn found<'a>(self, place: &'a [u8], stored: &'a [u8]) -> (&'a [u8], &'a [u8]) {
        if self != Self::Hashes || place.len() < LONGEST {
            return (place, stored);
        }
        let (length, rest) = stored.split_first_chunk().unwrap();
        rest.split_at(u32::from_be_bytes(*length) as usize)
    }
}

impl KvBackend for Short {
    fn snapshot(&self) -> Result<Box<dyn KvRead + '_>, StoreError> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        Ok(Box::new(View(map, self.flaw)))
    }

    fn begin_write(&self, _: Durability) -> Result<Box<dyn KvWrite + '_>, StoreError> {
        Ok(Box::new(InPlace {
            map: self.map.write().unwrap_or_else(PoisonError::into_inner),
            undo: Vec::new(),
            flaw: self.flaw,
        }))
    }

    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn limits(&self) -> Limits {
        match self.flaw {
            Flaw::Hashes => Limits::default(),
            _ => Self::real_limits(),
        }
    }
}

struct View<'a>(RwLockReadGuard<'a, Map>, Flaw);

/// It reads what it has written, as it is in the map already.
struct InPlace<'a> {
    map: RwLockWriteGuard<'a, Map>,
    undo: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    flaw: Flaw,
}

impl Drop for InPlace<'_> {
    fn drop(&mut self) {
        if self.flaw == Flaw::NoUndo {
            return;
        }
        while let Some((key, old)) = self.undo.pop() {
            match old {
                Some(old) => self.map.insert(key, old),
                None => self.map.remove(&key),
            };
        }
    }
}

fn get<'a>(map: &'a Map, flaw: Flaw, key: &[u8]) -> Result<Option<Bytes<'a>>, StoreError> {
    let (place, _) = flaw.placed(key, b"");
    fits(&place)?;
    let found = map.get_key_value(&place);
    Ok(found.map(|(place, stored)| flaw.found(place, stored).1.into()))
}

fn entries<'a>(
    map: &'a Map,
    flaw: Flaw,
    keys: Range<&[u8]>,
    direction: Direction,
) -> KvEntries<'a> {
    if flaw != Flaw::Hashes
        && let Err(error) = fits(keys.start).and(fits(keys.end))
    {
        return failing(error);
    }
    if keys.is_empty() {
        return Box::new(std::iter::empty());
    }
    let (whole, mut start) = (keys.start.to_vec()..keys.end.to_vec(), keys.start.to_vec());
    let mut end = Bound::Excluded(keys.end.to_vec());
    if flaw == Flaw::Hashes {
        start.truncate(LONGEST - 8);
        end = Bound::Unbounded;
    }
    let has_end = flaw == Flaw::TakesTheEnd;
    if has_end {
        end = Bound::Included(keys.end.to_vec());
    }
    let is_within = move |key: &[u8]| {
        whole.start.as_slice() <= key && (key < whole.end.as_slice() || has_end && key == whole.end)
    };
    let range = map.range((Bound::Included(start), end));
    let within = range
        .map(move |(place, stored)| flaw.found(place, stored))
        .filter(move |(key, _)| is_within(key));
    let entries = within.map(|(key, value)| Ok((key.into(), value.into())));
    let entries: KvEntries<'a> = match direction {
        Direction::Ascending => Box::new(entries),
        Direction::Descending => Box::new(entries.rev()),
    };
    if flaw != Flaw::SkipsAtPages {
        return entries;
    }
    let all = entries.enumerate();
    Box::new(all.filter_map(|(n, entry)| (n == 0 || n % 64 != 0).then_some(entry)))
}

impl KvRead for View<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes<'_>>, StoreError> {
        get(&self.0, self.1, key)
    }
    fn entries(&self, keys: Range<&[u8]>, direction: Direction) -> KvEntries<'_> {
        entries(&self.0, self.1, keys, direction)
    }
}

impl KvRead for InPlace<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes<'_>>, StoreError> {
        get(&self.map, self.flaw, key)
    }
    fn entries(&self, keys: Range<&[u8]>, direction: Direction) -> KvEntries<'_> {
        entries(&self.map, self.flaw, keys, direction)
    }
}

impl KvWrite for InPlace<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let (key, value) = self.flaw.placed(key, value);
        if self.flaw != Flaw::TakesAll {
            Short::real_limits().check(&key, &value)?;
        }
        let old = self.map.insert(key.clone(), value);
        self.undo.push((key, old));
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), StoreError> {
        let (key, _) = self.flaw.placed(key, b"");
        fits(&key)?;
        let old = self.map.remove(&key);
        self.undo.push((key, old));
        Ok(())
    }

    fn commit(mut self: Box<Self>) -> Result<(), StoreError> {
        self.undo.clear();
        Ok(())
    }
}

impl fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("View")
    }
}

impl fmt::Debug for InPlace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InPlace")
    }
}
