//! The sum over all entries, by which removed and put-back ones are found.

use synctable_core::store::StoreError;

use crate::cipher::{Aad, EpochKeys, Kind, blob_tag, tampered};
use crate::derive::StoreId;
use crate::layout::MANIFEST;

/// How often the store was written, how many entries it has, and the sum of what each adds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Manifest {
    pub(crate) counter: u64,
    pub(crate) entries: u64,
    sum: [u8; 32],
}

impl Manifest {
    /// Counts an entry in.
    pub(crate) fn add(
        &mut self,
        keys: &EpochKeys,
        physical: &[u8],
        blob: &[u8],
    ) -> Result<(), StoreError> {
        let term = term(keys, physical, blob)?;
        self.sum = plus(&self.sum, &term);
        self.entries = self.entries.checked_add(1).ok_or_else(tampered)?;
        Ok(())
    }

    /// Counts an entry out.
    pub(crate) fn remove(
        &mut self,
        keys: &EpochKeys,
        physical: &[u8],
        blob: &[u8],
    ) -> Result<(), StoreError> {
        let term = term(keys, physical, blob)?;
        self.sum = plus(&self.sum, &negative(&term));
        // More are removed than were counted: one of them was put there by someone else.
        self.entries = self.entries.checked_sub(1).ok_or_else(tampered)?;
        Ok(())
    }

    /// True when both counted the same entries, however often they were written.
    pub(crate) fn same_entries(&self, other: &Self) -> bool {
        (self.entries, self.sum) == (other.entries, other.sum)
    }

    pub(crate) fn seal(&self, keys: &EpochKeys, store_id: &StoreId) -> Result<Vec<u8>, StoreError> {
        let mut text = Vec::with_capacity(48);
        text.extend_from_slice(&self.counter.to_be_bytes());
        text.extend_from_slice(&self.entries.to_be_bytes());
        text.extend_from_slice(&self.sum);
        keys.seal(&aad(keys, store_id), &text)
    }

    pub(crate) fn open(
        keys: &EpochKeys,
        store_id: &StoreId,
        blob: &[u8],
    ) -> Result<Self, StoreError> {
        let text = keys.open(&aad(keys, store_id), blob)?;
        let (counter, rest) = text.split_first_chunk().ok_or_else(tampered)?;
        let (entries, rest) = rest.split_first_chunk().ok_or_else(tampered)?;
        Ok(Self {
            counter: u64::from_be_bytes(*counter),
            entries: u64::from_be_bytes(*entries),
            sum: rest.try_into().map_err(|_| tampered())?,
        })
    }
}

fn aad<'a>(keys: &EpochKeys, store_id: &'a StoreId) -> Aad<'a> {
    Aad {
        store_id,
        kind: Kind::Manifest,
        physical: MANIFEST,
        epoch: keys.epoch(),
    }
}

fn term(keys: &EpochKeys, physical: &[u8], blob: &[u8]) -> Result<[u8; 32], StoreError> {
    let tag = blob_tag(blob).ok_or_else(tampered)?;
    Ok(keys.manifest_term(physical, tag))
}

/// The sum of two big-endian numbers, mod 2^256.
fn plus(a: &[u8; 32], b: &[u8; 32]) -> [u8; 32] {
    let mut sum = [0; 32];
    let mut carry = 0;
    for ((sum, a), b) in sum.iter_mut().zip(a).zip(b).rev() {
        let total = u16::from(*a) + u16::from(*b) + carry;
        [_, *sum] = total.to_be_bytes();
        carry = total >> 8;
    }
    sum
}

/// What gives 0 together with a number, mod 2^256.
fn negative(a: &[u8; 32]) -> [u8; 32] {
    let mut one = [0; 32];
    if let Some(last) = one.last_mut() {
        *last = 1;
    }
    plus(&a.map(|byte| !byte), &one)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key::RawKey;

    proptest! {
        #[test]
        fn sums_do_not_depend_on_the_order(a: [u8; 32], b: [u8; 32], c: [u8; 32]) {
            prop_assert_eq!(plus(&a, &plus(&b, &c)), plus(&plus(&c, &a), &b));
            prop_assert_eq!(plus(&plus(&a, &b), &negative(&b)), a);
        }
    }

    #[test]
    fn numbers_carry() {
        let mut one = [0; 32];
        one[31] = 1;
        assert_eq!(plus(&[0xff; 32], &one), [0; 32]);
        assert_eq!(negative(&one), [0xff; 32]);
        assert_eq!(negative(&[0; 32]), [0; 32]);
    }

    #[test]
    fn manifests_are_read_back_and_tell_entries_apart() {
        let id = StoreId([1; 16]);
        let keys = EpochKeys::derive(1, &RawKey::from_bytes([7; 32]), &id).unwrap();
        let blob = |byte| [byte; 60];
        let mut manifest = Manifest {
            counter: 3,
            ..Manifest::default()
        };
        manifest.add(&keys, b"a", &blob(1)).unwrap();
        manifest.add(&keys, b"b", &blob(2)).unwrap();
        let sealed = manifest.seal(&keys, &id).unwrap();
        assert_eq!(Manifest::open(&keys, &id, &sealed).unwrap(), manifest);
        let mut other = manifest.clone();
        other.remove(&keys, b"a", &blob(1)).unwrap();
        assert!(!other.same_entries(&manifest));
        other.add(&keys, b"a", &blob(9)).unwrap();
        assert!(
            !other.same_entries(&manifest),
            "another blob at the same place"
        );
        other.remove(&keys, b"a", &blob(9)).unwrap();
        other.add(&keys, b"a", &blob(1)).unwrap();
        other.counter += 1;
        assert!(other.same_entries(&manifest));
        let mut none = Manifest::default();
        assert!(none.remove(&keys, b"a", &blob(1)).is_err());
    }
}
