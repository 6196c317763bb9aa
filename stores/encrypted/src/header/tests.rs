use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;
use crate::cipher::{Aad, Kind};
use crate::key::{KeyProvider, Passphrase};

const LEAST: Argon2Params = Argon2Params::LEAST;

fn raw(byte: u8) -> Secret {
    Secret::Raw(RawKey::from_bytes([byte; 32]))
}

fn passphrase(text: &str) -> Secret {
    Secret::Passphrase(Passphrase::new(text.to_owned()).unwrap())
}

fn new_header(secret: &Secret) -> (Header, KeyRing) {
    Header::create(secret, &LEAST, false).unwrap()
}

fn kind_of<T>(result: Result<T, StoreError>) -> StoreErrorKind {
    result.err().expect("an error").kind()
}

/// Both rings hold the same keys: what one seals the other opens.
fn same(left: &KeyRing, right: &KeyRing) -> bool {
    left.current().header_mac(b"x") == right.current().header_mac(b"x")
        && left.older().map(|keys| keys.header_mac(b"x"))
            == right.older().map(|keys| keys.header_mac(b"x"))
}

fn reread(header: &Header) -> Header {
    let again = Header::decode(&header.encode()).unwrap();
    assert_eq!(&again, header);
    again
}

#[test]
fn each_change_makes_another_generation_and_the_first_format_is_brought_forward() {
    let (header, ring) = new_header(&raw(1));
    assert_eq!(header.generation, Some(1));
    let two = header.with_key(&raw(1), &raw(2), &LEAST).unwrap();
    assert_eq!(two.generation, Some(2));
    let mut first = Header {
        generation: None,
        ..two
    };
    first.mac = ring.current().header_mac(&first.without_mac());
    let first = reread(&first);
    assert!(first.is_first() && first.unlock(&raw(2)).is_ok());
    let now = reread(&first.forward(&ring));
    assert_eq!(now.generation, Some(1));
    for byte in [1, 2] {
        assert!(same(&ring, &now.unlock(&raw(byte)).unwrap().1));
    }
    // Neither is the other with another number.
    for (header, number) in [(&now, 1), (&first, 2)] {
        let mut bytes = header.encode();
        bytes[17] = number;
        let opened = Header::decode(&bytes).and_then(|header| header.unlock(&raw(1)));
        assert!(opened.is_err());
    }
}

#[test]
fn each_kind_of_secret_opens_what_it_made() {
    for secret in [raw(1), passphrase("päss")] {
        let (header, ring) = new_header(&secret);
        let (slot, opened) = reread(&header).unlock(&secret).unwrap();
        assert_eq!(slot, 0);
        assert!(same(&ring, &opened));
        assert_eq!(opened.current().epoch(), 1);
        assert!(opened.older().is_none() && opened.of(2).is_none());
    }
}

#[test]
fn another_secret_is_a_wrong_key_and_the_message_names_the_kind() {
    let (header, _) = new_header(&raw(1));
    let error = header.unlock(&raw(2)).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::WrongKey);
    assert_eq!(error.to_string(), "the key does not open this store");
    let error = header.unlock(&passphrase("a")).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::WrongKey);
    assert!(
        error.to_string().contains("not with a passphrase"),
        "{error}"
    );

    let (header, _) = new_header(&passphrase("a"));
    assert_eq!(
        kind_of(header.unlock(&passphrase("b"))),
        StoreErrorKind::WrongKey
    );
    let error = header.unlock(&raw(1)).unwrap_err();
    assert!(error.to_string().contains("not with a key"), "{error}");
}

#[test]
fn a_passphrase_opens_in_each_form_of_unicode() {
    let (header, _) = new_header(&passphrase("e\u{301}\u{fb01}"));
    assert!(header.unlock(&passphrase("\u{e9}fi")).is_ok());
    assert!(header.unlock(&passphrase("\u{e9}f")).is_err());
}

#[derive(Debug)]
struct Provider(AtomicUsize, u8);

impl KeyProvider for Provider {
    fn key(&self) -> Result<RawKey, StoreError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(RawKey::from_bytes([self.1; 32]))
    }
}

#[derive(Debug)]
struct NoProvider;

impl KeyProvider for NoProvider {
    fn key(&self) -> Result<RawKey, StoreError> {
        Err(StoreError::new(
            StoreErrorKind::Permission,
            "the key chain is locked",
        ))
    }
}

#[test]
fn a_provider_is_asked_once_and_its_error_is_passed_on() {
    let (header, ring) = new_header(&raw(9));
    let header = header.with_key(&raw(9), &raw(7), &LEAST).unwrap();
    let provider = Arc::new(Provider(AtomicUsize::new(0), 7));
    let (slot, opened) = header
        .unlock(&Secret::Provider(Arc::<Provider>::clone(&provider)))
        .unwrap();
    assert_eq!(slot, 1);
    assert!(same(&ring, &opened));
    assert_eq!(provider.0.load(Ordering::Relaxed), 1);

    let failing = Secret::Provider(Arc::new(NoProvider));
    assert_eq!(kind_of(header.unlock(&failing)), StoreErrorKind::Permission);
}

#[test]
fn what_is_not_a_sealed_header_says_what_it_is() {
    let kind = |bytes: &[u8]| kind_of(Header::decode(bytes));
    assert_eq!(kind(b"synctable kv 1"), StoreErrorKind::NotEncrypted);
    assert_eq!(kind(b"SQLite format 3\0"), StoreErrorKind::NotAStore);
    assert_eq!(kind(b""), StoreErrorKind::NotAStore);
    let bytes = new_header(&raw(1)).0.encode();
    for (place, value) in [(17, 3), (18, 2), (19, 2), (19, 0x81), (46, 3)] {
        let mut newer = bytes.clone();
        newer[place] = value;
        assert_eq!(kind(&newer), StoreErrorKind::FormatTooNew, "byte {place}");
    }
}

#[test]
fn costs_outside_of_the_bounds_are_refused_before_anything_is_derived() {
    let bytes = new_header(&passphrase("a")).0.encode();
    // Memory, passes and lanes of the first slot.
    for (place, value) in [
        (47, u32::MAX),
        (47, 8),
        (51, 1),
        (51, 17),
        (55, 0),
        (55, 17),
    ] {
        let mut changed = bytes.clone();
        changed[place..place + 4].copy_from_slice(&value.to_be_bytes());
        let error = Header::decode(&changed).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unsupported);
        assert!(error.to_string().starts_with("argon2id with"), "{error}");
    }
}

/// Any change of the header is an error for every secret: no byte of it is without a check.
#[test]
fn every_changed_byte_of_the_header_is_found() {
    let (header, _) = Header::create(&raw(1), &LEAST, true).unwrap();
    let header = header.with_key(&raw(1), &raw(2), &LEAST).unwrap();
    let bytes = header.encode();
    for place in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[place] ^= 1 << bit;
            let Ok(header) = Header::decode(&changed) else {
                continue;
            };
            for secret in [raw(1), raw(2)] {
                let kind = kind_of(header.unlock(&secret));
                let expected = [StoreErrorKind::Tampered, StoreErrorKind::WrongKey];
                assert!(
                    expected.contains(&kind),
                    "byte {place}, bit {bit}: {kind:?}"
                );
            }
        }
    }
    for len in 0..bytes.len() {
        assert!(Header::decode(&bytes[..len]).is_err(), "cut at {len}");
    }
    assert!(Header::decode(&[&bytes[..], &[0]].concat()).is_err());
}

#[test]
fn a_changed_slot_is_found_by_those_who_open_another() {
    let (header, _) = new_header(&raw(1));
    let two = header.with_key(&raw(1), &raw(2), &LEAST).unwrap();
    let three = two.with_key(&raw(2), &raw(3), &LEAST).unwrap();
    let mut dropped = three.clone();
    dropped.slots.remove(1);
    let mut swapped = three.clone();
    swapped.slots[1] = swapped.slots[2].clone();
    swapped.slots.pop();
    for changed in [
        dropped,
        swapped,
        Header {
            equality: true,
            ..three.clone()
        },
    ] {
        let kind = kind_of(changed.unlock(&raw(1)));
        assert!([StoreErrorKind::Tampered, StoreErrorKind::WrongKey].contains(&kind));
    }
    // A slot of another store opens nothing here.
    let (other, _) = new_header(&raw(4));
    let mut planted = two.clone();
    planted.slots[1] = other.slots[0].clone();
    assert_eq!(kind_of(planted.unlock(&raw(4))), StoreErrorKind::WrongKey);
    assert_eq!(kind_of(planted.unlock(&raw(1))), StoreErrorKind::Tampered);
}

#[test]
fn a_wrong_key_and_a_changed_header_are_told_apart() {
    let bytes = new_header(&raw(1)).0.encode();
    assert_eq!(bytes.len(), 207);
    let kind_with = |place: usize| {
        let mut changed = bytes.clone();
        changed[place] ^= 1;
        kind_of(Header::decode(&changed).unwrap().unlock(&raw(1)))
    };
    let (store_id, number, salt, commit) = (20, 45, 59, 75);
    for place in [store_id, salt, commit, commit + 31] {
        assert_eq!(kind_with(place), StoreErrorKind::WrongKey, "byte {place}");
    }
    let (generation, nonce, wrapped, tag, mac) = (43, 107, 123, 159, 175);
    for place in [generation, number, nonce, wrapped, tag, mac, mac + 31] {
        assert_eq!(kind_with(place), StoreErrorKind::Tampered, "byte {place}");
    }
}

#[test]
fn slots_are_added_changed_and_removed() {
    let (header, ring) = new_header(&passphrase("first"));
    let header = header
        .with_key(&passphrase("first"), &raw(2), &LEAST)
        .unwrap();
    let header = reread(&header).with_key(&raw(2), &raw(3), &LEAST).unwrap();
    assert_eq!(header.unlock(&passphrase("first")).unwrap().0, 0);
    assert_eq!(header.unlock(&raw(2)).unwrap().0, 1);
    assert_eq!(header.unlock(&raw(3)).unwrap().0, 2);

    let header = reread(&header).without_slot(&ring, 1).unwrap();
    assert_eq!(kind_of(header.unlock(&raw(2))), StoreErrorKind::WrongKey);
    assert_eq!(
        kind_of(header.without_slot(&ring, 1)),
        StoreErrorKind::Unsupported
    );
    let header = header.with_key(&raw(3), &raw(4), &LEAST).unwrap();
    assert_eq!(
        reread(&header).unlock(&raw(4)).unwrap().0,
        1,
        "the free number"
    );

    let header = header
        .rekeyed(&raw(3), &passphrase("third"), &LEAST)
        .unwrap();
    let (slot, opened) = reread(&header).unlock(&passphrase("third")).unwrap();
    assert_eq!(slot, 2);
    assert!(same(&ring, &opened));
    assert_eq!(kind_of(header.unlock(&raw(3))), StoreErrorKind::WrongKey);
    let kinds: Vec<_> = header
        .slots()
        .map(|slot| (slot.number(), slot.kind()))
        .collect();
    let passphrase = SlotKind::Passphrase(LEAST);
    assert_eq!(
        kinds,
        [(0, passphrase), (1, SlotKind::RawKey), (2, passphrase)]
    );

    let header = header
        .without_slot(&ring, 0)
        .unwrap()
        .without_slot(&ring, 1)
        .unwrap();
    assert_eq!(
        kind_of(header.without_slot(&ring, 2)),
        StoreErrorKind::Unsupported
    );
}

#[test]
fn a_change_of_slots_needs_a_secret_that_opens() {
    let (header, _) = new_header(&raw(1));
    let wrong = [
        header.with_key(&raw(2), &raw(3), &LEAST),
        header.rekeyed(&raw(2), &raw(3), &LEAST),
        header.rotation_started(&raw(2)).map(|(header, _)| header),
        header.rotation_ended(&raw(2)).map(|(header, _)| header),
    ];
    for result in wrong {
        assert_eq!(kind_of(result), StoreErrorKind::WrongKey);
    }
}

#[test]
fn eight_slots_are_the_most() {
    let (mut header, _) = new_header(&raw(0));
    for byte in 1..8 {
        header = header.with_key(&raw(0), &raw(byte), &LEAST).unwrap();
    }
    let full = header.with_key(&raw(0), &raw(8), &LEAST);
    assert_eq!(kind_of(full), StoreErrorKind::Unsupported);
    for byte in 0..8 {
        assert_eq!(
            reread(&header).unlock(&raw(byte)).unwrap().0,
            usize::from(byte)
        );
    }
}

#[test]
fn a_rotation_goes_from_one_key_over_two_to_one() {
    let (header, ring) = new_header(&passphrase("a"));
    let header = header.with_key(&passphrase("a"), &raw(2), &LEAST).unwrap();
    let (started, both) = header.rotation_started(&passphrase("a")).unwrap();
    let started = reread(&started);
    assert_eq!(started.store_id(), header.store_id());
    assert_eq!(started.slots().count(), 1);
    assert_eq!(kind_of(started.unlock(&raw(2))), StoreErrorKind::WrongKey);
    let (_, opened) = started.unlock(&passphrase("a")).unwrap();
    assert!(same(&both, &opened));
    assert_eq!(opened.current().epoch(), 2);
    assert_eq!(opened.older().map(EpochKeys::epoch), Some(1));
    let seal = |keys: &EpochKeys| {
        let aad = Aad {
            store_id: header.store_id(),
            kind: Kind::Entry,
            physical: b"p",
            epoch: 1,
        };
        keys.seal(&aad, b"text").map(|blob| (aad, blob)).unwrap()
    };
    let (aad, blob) = seal(ring.current());
    assert_eq!(
        opened
            .older()
            .unwrap()
            .open(&aad, &blob)
            .unwrap()
            .as_slice(),
        b"text"
    );

    assert_eq!(
        kind_of(started.rotation_started(&passphrase("a"))),
        StoreErrorKind::Unsupported
    );
    let added = started.with_key(&passphrase("a"), &raw(2), &LEAST);
    assert_eq!(kind_of(added), StoreErrorKind::Unsupported);
    let rekeyed = started.rekeyed(&passphrase("a"), &raw(3), &LEAST).unwrap();
    assert!(same(&both, &rekeyed.unlock(&raw(3)).unwrap().1));

    let (ended, last) = rekeyed.rotation_ended(&raw(3)).unwrap();
    let (_, opened) = reread(&ended).unlock(&raw(3)).unwrap();
    assert!(same(&last, &opened));
    assert!(opened.older().is_none() && opened.of(1).is_none());
    assert_eq!(
        opened.current().header_mac(b"x"),
        both.current().header_mac(b"x")
    );
}

#[test]
fn nothing_secret_is_shown() {
    let secret = Secret::Passphrase(Passphrase::new("hunter2".to_owned()).unwrap());
    let (header, ring) = new_header(&raw(0xAB));
    let (_, keys, _) = header.data_keys(&raw(0xAB)).unwrap();
    let shown = format!("{secret:?} {:?} {ring:?} {keys:?}", raw(0xAB));
    assert!(
        !shown.contains("hunter2") && !shown.contains("171") && !shown.contains("ab"),
        "{shown}"
    );
}

proptest! {
    #[test]
    fn any_bytes_are_a_header_or_refused(format in 1..4_u8, bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let bytes = [MAGIC.as_slice(), &[format, SUITE, 0], &bytes].concat();
        if let Ok(header) = Header::decode(&bytes) {
            prop_assert_eq!(header.encode(), bytes);
        }
    }

    #[test]
    fn headers_are_read_as_written(equality: bool, keys in prop::collection::btree_set(any::<u8>(), 1..5)) {
        let keys: Vec<u8> = keys.into_iter().collect();
        let (mut header, ring) = Header::create(&raw(keys[0]), &LEAST, equality).unwrap();
        for key in &keys[1..] {
            header = header.with_key(&raw(keys[0]), &raw(*key), &LEAST).unwrap();
        }
        let again = Header::decode(&header.encode()).unwrap();
        prop_assert_eq!(&again, &header);
        prop_assert_eq!(again.equality(), equality);
        for (slot, key) in keys.iter().enumerate() {
            let (opened, keys) = again.unlock(&raw(*key)).unwrap();
            prop_assert_eq!(opened, slot);
            prop_assert!(same(&ring, &keys));
        }
    }
}
