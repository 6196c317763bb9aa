//! The sum over all entries, by which removed and put-back ones are found, and the code of the header that goes with them.

use subtle::ConstantTimeEq;
use synctable_core::store::StoreError;

use crate::cipher::{Aad, EpochKeys, Kind, blob_epoch, blob_tag, tampered};
use crate::derive::StoreId;
use crate::header::{Header, KeyRing};
use crate::layout::MANIFEST;
use crate::slot::take;

/// How many entries there are, and the sum of what each adds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    pub(crate) entries: u64,
    sum: [u8; 32],
}

impl Tally {
    pub(crate) fn add(&mut self, term: &[u8; 32]) -> Result<(), StoreError> {
        self.sum = plus(&self.sum, term);
        self.entries = self.entries.checked_add(1).ok_or_else(tampered)?;
        Ok(())
    }

    pub(crate) fn remove(&mut self, term: &[u8; 32]) -> Result<(), StoreError> {
        self.sum = plus(&self.sum, &negative(term));
        // More are removed than were counted: one of them was put there by someone else.
        self.entries = self.entries.checked_sub(1).ok_or_else(tampered)?;
        Ok(())
    }

    /// Nothing is left of what was counted.
    pub(crate) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    fn encode(&self, text: &mut Vec<u8>) {
        text.extend_from_slice(&self.entries.to_be_bytes());
        text.extend_from_slice(&self.sum);
    }

    fn decode(text: &mut &[u8]) -> Result<Self, StoreError> {
        let entries = u64::from_be_bytes(take(text)?);
        let sum = take(text)?;
        Ok(Self { entries, sum })
    }
}

/// How often the store was written, which entries it has, and which header.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Manifest {
    pub(crate) counter: u64,
    /// The code of the header: an older one is not accepted beside this manifest.
    pub(crate) header: [u8; 32],
    /// The entries of the current epoch.
    pub(crate) current: Tally,
    /// Those of the epoch that a rotation replaces, by codes under the current keys.
    pub(crate) older: Tally,
}

impl Manifest {
    /// The manifest of a new store.
    pub(crate) fn new(header: &Header) -> Self {
        Self {
            header: *header.code(),
            ..Self::default()
        }
    }

    /// All entries.
    pub(crate) fn entries(&self) -> u64 {
        self.current.entries.saturating_add(self.older.entries)
    }

    /// Counts an entry of the current epoch in.
    pub(crate) fn add(
        &mut self,
        keys: &EpochKeys,
        physical: &[u8],
        blob: &[u8],
    ) -> Result<(), StoreError> {
        self.current.add(&term(keys, physical, blob)?)
    }

    /// Counts an entry out. One of the older epoch has to be one that was verified.
    pub(crate) fn remove(
        &mut self,
        ring: &KeyRing,
        physical: &[u8],
        blob: &[u8],
    ) -> Result<(), StoreError> {
        let current = ring.current();
        let epoch = blob_epoch(blob)?;
        if epoch == current.epoch() {
            return self.current.remove(&term(current, physical, blob)?);
        }
        ring.of_entry(epoch, physical, blob)?;
        self.older.remove(&current.older_term(physical, blob))
    }

    /// True when both counted the same entries, however often they were written.
    pub(crate) fn same_entries(&self, other: &Self) -> bool {
        (&self.current, &self.older) == (&other.current, &other.older)
    }

    pub(crate) fn seal(&self, keys: &EpochKeys, store_id: &StoreId) -> Result<Vec<u8>, StoreError> {
        let mut text = Vec::with_capacity(120);
        text.extend_from_slice(&self.counter.to_be_bytes());
        text.extend_from_slice(&self.header);
        self.current.encode(&mut text);
        self.older.encode(&mut text);
        keys.seal(&aad(keys, store_id, Kind::Manifest), &text)
    }

    pub(crate) fn open(
        keys: &EpochKeys,
        store_id: &StoreId,
        blob: &[u8],
    ) -> Result<Self, StoreError> {
        let text = keys.open(&aad(keys, store_id, Kind::Manifest), blob)?;
        let text = &mut text.as_slice();
        let manifest = Self {
            counter: u64::from_be_bytes(take(text)?),
            header: take(text)?,
            current: Tally::decode(text)?,
            older: Tally::decode(text)?,
        };
        text.is_empty().then_some(manifest).ok_or_else(tampered)
    }

    /// The manifest that belongs to a header, and to no other.
    pub(crate) fn of_header(
        header: &Header,
        keys: &EpochKeys,
        blob: &[u8],
    ) -> Result<Self, StoreError> {
        let manifest = Self::open(keys, header.store_id(), blob)?;
        if bool::from(manifest.header.ct_eq(header.code())) {
            return Ok(manifest);
        }
        Err(tampered())
    }
}

/// The manifest of release 0.1: the counter, and all entries by the keys of their epochs.
pub(crate) fn open_first(
    keys: &EpochKeys,
    store_id: &StoreId,
    blob: &[u8],
) -> Result<(u64, Tally), StoreError> {
    let text = keys.open(&aad(keys, store_id, Kind::FirstManifest), blob)?;
    let text = &mut text.as_slice();
    let counter = u64::from_be_bytes(take(text)?);
    let tally = Tally::decode(text)?;
    let whole = text.is_empty().then_some((counter, tally));
    whole.ok_or_else(tampered)
}

fn aad<'a>(keys: &EpochKeys, store_id: &'a StoreId, kind: Kind) -> Aad<'a> {
    Aad {
        store_id,
        kind,
        physical: MANIFEST,
        epoch: keys.epoch(),
    }
}

/// What an entry adds to the sum by the keys of its epoch.
pub(crate) fn term(keys: &EpochKeys, physical: &[u8], blob: &[u8]) -> Result<[u8; 32], StoreError> {
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
    use crate::kdf::Argon2Params;
    use crate::key::{RawKey, Secret};

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
        let secret = Secret::Raw(RawKey::from_bytes([7; 32]));
        let (header, ring) = Header::create(&secret, &Argon2Params::LEAST, false).unwrap();
        let (keys, id) = (ring.current(), header.store_id());
        let blob = |byte| {
            let aad = Aad {
                store_id: id,
                kind: Kind::Entry,
                physical: b"place",
                epoch: 1,
            };
            keys.seal(&aad, &[byte; 60]).unwrap()
        };
        let (one, two, nine) = (blob(1), blob(2), blob(9));
        let mut manifest = Manifest::new(&header);
        manifest.counter = 3;
        manifest.add(keys, b"a", &one).unwrap();
        manifest.add(keys, b"b", &two).unwrap();
        manifest.older.add(&[5; 32]).unwrap();
        let sealed = manifest.seal(keys, id).unwrap();
        assert_eq!(Manifest::open(keys, id, &sealed).unwrap(), manifest);
        assert!(open_first(keys, id, &sealed).is_err(), "of another format");
        let mut other = manifest.clone();
        other.remove(&ring, b"a", &one).unwrap();
        assert!(!other.same_entries(&manifest));
        other.add(keys, b"a", &nine).unwrap();
        assert!(
            !other.same_entries(&manifest),
            "another blob at the same place"
        );
        other.remove(&ring, b"a", &nine).unwrap();
        other.add(keys, b"a", &one).unwrap();
        other.counter += 1;
        assert!(other.same_entries(&manifest));
        other.older.remove(&[5; 32]).unwrap();
        assert!(other.older.is_nothing() && !other.same_entries(&manifest));
        let mut empty = Manifest::default();
        assert!(empty.remove(&ring, b"a", &one).is_err());

        let next = header.forward(&ring);
        assert!(Manifest::of_header(&header, keys, &sealed).is_ok());
        assert!(
            Manifest::of_header(&next, keys, &sealed).is_err(),
            "another header over the same keys"
        );
    }
}
