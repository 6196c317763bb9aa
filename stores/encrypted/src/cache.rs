//! Values that were opened lately, so that what is read often is not opened each time.
//!
//! A value is used again only where the engine still holds the blob that it came from: with another nonce or tag it is opened anew.
//! What is held is plain text in memory, at most as much as was allowed, and is wiped when it leaves.

use std::collections::HashMap;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::cipher::seal_of;

/// What an entry takes besides its bytes, about.
const OVERHEAD: usize = 160;

/// A value that was opened.
pub(crate) struct Held {
    pub(crate) physical: Vec<u8>,
    seal: [u8; 46],
    length: usize,
    value: Zeroizing<Vec<u8>>,
}

impl Held {
    /// The value, if `blob` is the one that it came from.
    pub(crate) fn of(&self, blob: &[u8]) -> Option<&[u8]> {
        let same = blob.len() == self.length && seal_of(blob) == Some(self.seal);
        same.then_some(self.value.as_slice())
    }
}

/// By plain key. What is not asked for while as much again comes in goes out.
pub(crate) struct Cache {
    most: usize,
    young: Half,
    old: Half,
}

#[derive(Default)]
struct Half {
    held: HashMap<Vec<u8>, Arc<Held>>,
    bytes: usize,
}

impl Cache {
    /// For about so many bytes; none for 0.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            young: Half::default(),
            old: Half::default(),
        }
    }

    pub(crate) fn find(&mut self, plain: &[u8]) -> Option<Arc<Held>> {
        if let Some(held) = self.young.held.get(plain) {
            return Some(Arc::clone(held));
        }
        let (plain, held) = self.old.held.remove_entry(plain)?;
        self.insert(plain, Arc::clone(&held));
        Some(held)
    }

    /// Keeps the value that `blob` at `physical` holds for `plain`.
    pub(crate) fn keep(&mut self, plain: &[u8], physical: Vec<u8>, blob: &[u8], value: &[u8]) {
        let Some(seal) = seal_of(blob).filter(|_| value.len() < self.most / 8) else {
            return;
        };
        let held = Held {
            physical,
            seal,
            length: blob.len(),
            value: Zeroizing::new(value.to_vec()),
        };
        self.insert(plain.to_vec(), Arc::new(held));
    }

    fn insert(&mut self, plain: Vec<u8>, held: Arc<Held>) {
        let bytes = plain.len() + held.physical.len() + held.value.len() + OVERHEAD;
        if self.young.bytes + bytes > self.most / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        if self.young.held.insert(plain, held).is_none() {
            self.young.bytes += bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(byte: u8) -> Vec<u8> {
        vec![byte; 80]
    }

    #[test]
    fn values_are_found_while_their_blob_is_there() {
        let mut cache = Cache::new(1 << 20);
        cache.keep(b"a", vec![1], &blob(7), b"value");
        let held = cache.find(b"a").unwrap();
        assert_eq!(held.of(&blob(7)), Some(&b"value"[..]));
        assert_eq!(held.of(&blob(8)), None);
        assert_eq!(held.of(&blob(7)[1..]), None);
        assert!(cache.find(b"b").is_none());
    }

    #[test]
    fn no_more_is_held_than_was_allowed() {
        let mut cache = Cache::new(100_000);
        for n in 0..10_000_u32 {
            cache.keep(&n.to_be_bytes(), vec![1; 50], &blob(7), &[0; 100]);
            // This one is asked for all the time.
            if n > 0 {
                assert!(cache.find(&0_u32.to_be_bytes()).is_some(), "{n}");
            }
        }
        let held = cache.young.held.len() + cache.old.held.len();
        assert!((100..400).contains(&held), "{held}");
        let mut none = Cache::new(0);
        none.keep(b"a", vec![1], &blob(7), b"");
        assert!(none.find(b"a").is_none());
    }
}
