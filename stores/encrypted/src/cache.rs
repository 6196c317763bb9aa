//! Values that were opened lately, so that what is read often by its key is neither looked up nor opened each time.
//!
//! All writes go through the one sealed store that has the engine open, so it knows what is still good: each write raises the
//! *generation* when it begins, when it drops the keys that it touches, and when it ends. A snapshot may use a value that was kept
//! in its own generation or an earlier one, and may keep one only while its generation is the current one and no write is under
//! way. So no snapshot sees a value from before or behind it.
//!
//! What is held is plain text in memory, at most as much as was allowed, and is wiped when it leaves.

use std::collections::HashMap;

use zeroize::Zeroizing;

/// What an entry takes besides its bytes, about.
const OVERHEAD: usize = 96;

/// A value that was opened.
struct Held {
    since: u64,
    value: Zeroizing<Vec<u8>>,
}

/// By plain key. What is not asked for while as much again comes in goes out.
pub(crate) struct Cache {
    most: usize,
    /// Odd while a write is under way.
    generation: u64,
    young: Half,
    old: Half,
}

#[derive(Default)]
struct Half {
    held: HashMap<Vec<u8>, Held>,
    bytes: usize,
}

impl Cache {
    /// For about so many bytes; none for 0.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            generation: 0,
            young: Half::default(),
            old: Half::default(),
        }
    }

    /// That of snapshots that are taken now.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// The value of a key as a snapshot of this generation sees it, if it is held.
    pub(crate) fn find(&mut self, generation: u64, plain: &[u8]) -> Option<Vec<u8>> {
        let good = |held: &Held| (held.since <= generation).then(|| held.value.to_vec());
        if let Some(held) = self.young.held.get(plain) {
            return good(held);
        }
        let (plain, held) = self.old.held.remove_entry(plain)?;
        let value = good(&held);
        self.insert(plain, held);
        value
    }

    /// Keeps what a snapshot of this generation saw.
    pub(crate) fn keep(&mut self, generation: u64, plain: &[u8], value: &[u8]) {
        let current = generation == self.generation && generation.is_multiple_of(2);
        if current && value.len() < self.most / 8 {
            let held = Held {
                since: generation,
                value: Zeroizing::new(value.to_vec()),
            };
            self.insert(plain.to_vec(), held);
        }
    }

    /// A write of these keys begins. One at a time.
    pub(crate) fn begin<'k>(&mut self, keys: impl Iterator<Item = &'k [u8]>) {
        self.generation = (self.generation + 1) | 1;
        for key in keys {
            self.young.held.remove(key);
            self.old.held.remove(key);
        }
    }

    /// A write that has begun touches keys that nobody counts.
    pub(crate) fn forget(&mut self) {
        (self.young, self.old) = (Half::default(), Half::default());
    }

    /// The write is over, whatever came of it.
    pub(crate) fn end(&mut self) {
        self.generation = (self.generation | 1) + 1;
    }

    /// Forgets everything, and keeps nothing any more.
    pub(crate) fn close(&mut self) {
        *self = Self {
            generation: self.generation,
            ..Self::new(0)
        };
    }

    fn insert(&mut self, plain: Vec<u8>, held: Held) {
        let bytes = plain.len() + held.value.len() + OVERHEAD;
        if self.young.bytes + bytes > self.most / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        // What was dropped still counts: the half is full a little early.
        if self.young.held.insert(plain, held).is_none() {
            self.young.bytes += bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(cache: &mut Cache, generation: u64) -> Option<Vec<u8>> {
        cache.find(generation, b"a")
    }

    #[test]
    fn no_snapshot_sees_what_is_not_its_own() {
        let mut cache = Cache::new(1 << 20);
        let before = cache.generation();
        cache.keep(before, b"a", b"1");
        assert_eq!(found(&mut cache, before), Some(b"1".to_vec()));

        cache.begin(std::iter::once(&b"a"[..]));
        // Meanwhile some snapshots see the old value and some the new one: they keep neither.
        let during = cache.generation();
        assert_eq!(found(&mut cache, before), None);
        cache.keep(during, b"a", b"1");
        assert_eq!(found(&mut cache, during), None);
        cache.end();
        let after = cache.generation();
        for late in [before, during] {
            cache.keep(late, b"a", b"1");
            assert_eq!(found(&mut cache, after), None, "{late}");
        }

        cache.keep(after, b"a", b"2");
        assert_eq!(found(&mut cache, before), None);
        assert_eq!(found(&mut cache, after), Some(b"2".to_vec()));
        cache.begin(std::iter::once(&b"b"[..]));
        assert_eq!(
            found(&mut cache, after + 1),
            Some(b"2".to_vec()),
            "another one is written"
        );
        cache.end();
        cache.close();
        assert_eq!(found(&mut cache, after + 2), None);
    }

    #[test]
    fn no_more_is_held_than_was_allowed() {
        let mut cache = Cache::new(100_000);
        for n in 0..10_000_u32 {
            cache.keep(0, &n.to_be_bytes(), &[0; 150]);
            // This one is asked for all the time.
            assert!(cache.find(0, &0_u32.to_be_bytes()).is_some(), "{n}");
        }
        let held = cache.young.held.len() + cache.old.held.len();
        assert!((100..420).contains(&held), "{held}");
        let mut none = Cache::new(0);
        none.keep(0, b"a", b"");
        assert_eq!(none.find(0, b"a"), None);
    }
}
