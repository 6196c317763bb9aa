//! The entries of the epoch that a rotation replaces, as they were when they were verified.
//!
//! Who knows the older keys, for which a rotation is made, can seal entries under them. So none is accepted for its seal alone: when the
//! rotation begins, all entries are verified and each leaves a code under the new keys; a store that is opened within a rotation
//! makes the codes again and compares their sum with that in the manifest.

use std::collections::HashMap;
use std::fmt;

const HALF: usize = 16;

/// By the name token at the end of its place, the first half of the code of each entry.
#[derive(Default)]
pub(crate) struct Older(HashMap<[u8; HALF], [u8; HALF]>);

impl Older {
    /// Takes in an entry. What is too short for a place of an entry is not taken in, and so never accepted.
    pub(crate) fn insert(&mut self, physical: &[u8], term: &[u8; 32]) {
        if let Some((name, code)) = halves(physical, term) {
            self.0.insert(name, code);
        }
    }

    /// True for the very blob that was verified at this place.
    pub(crate) fn holds(&self, physical: &[u8], term: &[u8; 32]) -> bool {
        halves(physical, term).is_some_and(|(name, code)| self.0.get(&name) == Some(&code))
    }
}

impl fmt::Debug for Older {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Older({})", self.0.len())
    }
}

fn halves(physical: &[u8], term: &[u8; 32]) -> Option<([u8; HALF], [u8; HALF])> {
    Some((*physical.last_chunk()?, *term.first_chunk()?))
}
