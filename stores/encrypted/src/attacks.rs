//! What someone tries who writes the files, and who may have learned a key that was rotated away.

use std::collections::BTreeMap;

use aes_gcm::aes::Aes256;
use aes_gcm::aes::cipher::{BlockCipherEncrypt, KeyInit};
use synctable_core::store::{Durability, StoreError, StoreErrorKind};
use synctable_kv::{Entry, Key, KvBackend, KvBatch, KvReadExt};
use synctable_memory::MemoryBackend;

use crate::cipher::{Aad, EpochKeys, Kind};
use crate::derive::Root;
use crate::header::Header;
use crate::kdf::Argon2Params;
use crate::key::{RawKey, Secret};
use crate::layout::{ENTRIES, HEADER, Layout, MANIFEST, text};
use crate::sealed::Sealed;

const LEAST: Argon2Params = Argon2Params::LEAST;
const RECORDS: usize = 600;

fn secret() -> Secret {
    Secret::Raw(RawKey::from_bytes([7; 32]))
}

fn other() -> Secret {
    Secret::Raw(RawKey::from_bytes([8; 32]))
}

fn record(n: usize) -> Vec<u8> {
    let id = &format!("r{n}");
    Key::Record { table: "t", id }.encode()
}

fn value(n: usize) -> Vec<u8> {
    format!("value of {n:0>80}").into_bytes()
}

fn filled() -> (MemoryBackend, Sealed<MemoryBackend>) {
    let engine = MemoryBackend::new();
    let sealed = Sealed::builder(engine.clone()).secret(secret());
    let sealed = sealed.create(true).open().unwrap();
    let mut batch = KvBatch::new(Durability::Immediate);
    for n in 0..RECORDS {
        batch.put(record(n), value(n));
    }
    batch.write_to(&sealed).unwrap();
    (engine, sealed)
}

type Contents = BTreeMap<Vec<u8>, Vec<u8>>;

fn contents(engine: &MemoryBackend) -> Contents {
    let all: Vec<Entry> = engine
        .snapshot()
        .unwrap()
        .scan(&[]..&[255; 64], usize::MAX)
        .unwrap();
    all.into_iter().collect()
}

fn engine_of(contents: &Contents) -> MemoryBackend {
    let engine = MemoryBackend::new();
    change(&engine, |batch| {
        for (key, value) in contents {
            batch.put(key.clone(), value.clone());
        }
    });
    engine
}

fn change(engine: &MemoryBackend, change: impl FnOnce(&mut KvBatch)) {
    let mut batch = KvBatch::new(Durability::Immediate);
    change(&mut batch);
    batch.write_to(engine).unwrap();
}

fn put(engine: &MemoryBackend, key: &[u8], value: &[u8]) {
    change(engine, |batch| batch.put(key.to_vec(), value.to_vec()));
}

fn open(engine: &MemoryBackend, secret: Secret) -> Result<Sealed<MemoryBackend>, StoreError> {
    Sealed::builder(engine.clone()).secret(secret).open()
}

fn kind<T>(result: Result<T, StoreError>) -> Option<StoreErrorKind> {
    result.err().map(|error| error.kind())
}

const TAMPERED: Option<StoreErrorKind> = Some(StoreErrorKind::Tampered);

/// What the store looks like after each write of a rotation, and the store.
fn rotated() -> (
    MemoryBackend,
    Sealed<MemoryBackend>,
    Contents,
    Vec<Contents>,
) {
    let (engine, sealed) = filled();
    let before = contents(&engine);
    let mut steps = Vec::new();
    let look = |_| steps.push(contents(&engine));
    sealed.rotate(&secret(), look).unwrap();
    assert!(steps.len() > 2);
    (engine, sealed, before, steps)
}

/// The keys of the older epoch, as someone has them who was shown the data key.
fn older_keys(before: &Contents) -> (EpochKeys, RawKey, Header) {
    let header = Header::decode(&before[HEADER]).unwrap();
    let (_, keys, _) = header.data_keys(&secret()).unwrap();
    let (epoch, data_key) = keys.current;
    let keys = EpochKeys::derive(epoch, &data_key, header.store_id()).unwrap();
    (keys, data_key, header)
}

/// Place and blob of an entry that the older key sealed.
fn forged(before: &Contents, n: usize) -> Entry {
    let (keys, _, header) = older_keys(before);
    let physical = Layout { equality: false }.physical(&keys, &record(n));
    let aad = Aad {
        store_id: header.store_id(),
        kind: Kind::Entry,
        physical: &physical,
        epoch: keys.epoch(),
    };
    let blob = keys.seal(&aad, &text(&record(n), b"forged")).unwrap();
    (physical, blob)
}

#[test]
fn an_older_header_is_refused_after_every_change_of_keys() {
    let (engine, sealed, before, steps) = rotated();
    let mut older = vec![before[HEADER].clone(), steps[0][HEADER].clone()];
    older.push(contents(&engine)[HEADER].clone());
    sealed.add_key(&secret(), &other(), &LEAST).unwrap();
    older.push(contents(&engine)[HEADER].clone());
    sealed.rekey(&secret(), &other(), &LEAST).unwrap();
    older.push(contents(&engine)[HEADER].clone());
    sealed.remove_key(0).unwrap();
    let now = contents(&engine);
    assert!(
        open(&engine, other())
            .unwrap()
            .verify(None)
            .unwrap()
            .is_sound()
    );
    for (n, header) in older.iter().enumerate() {
        put(&engine, HEADER, header);
        for secret in [secret(), other()] {
            let refused = [TAMPERED, Some(StoreErrorKind::WrongKey)];
            assert!(refused.contains(&kind(open(&engine, secret))), "header {n}");
        }
        assert!(!sealed.verify(None).unwrap().is_sound(), "header {n}");
        put(&engine, HEADER, &now[HEADER]);
    }
    assert!(sealed.verify(None).unwrap().is_sound());
}

#[test]
fn what_the_older_key_sealed_is_not_accepted_after_a_rotation() {
    let (engine, _, before, steps) = rotated();
    let (physical, blob) = forged(&before, 5);
    // Alone it is found; with the header that holds both keys, or with the one of the key, nothing opens.
    put(&engine, &physical, &blob);
    let sealed = open(&engine, secret()).unwrap();
    let found = sealed.snapshot().unwrap().copy_of(&record(5)).unwrap();
    assert_eq!(found, Some(value(5)));
    assert!(!sealed.verify(None).unwrap().is_sound());
    assert_eq!(kind(sealed.rotate(&secret(), |_| {})), TAMPERED);
    for headers in [&before, &steps[0]] {
        put(&engine, HEADER, &headers[HEADER]);
        assert_eq!(kind(open(&engine, secret())), TAMPERED);
    }
    // With the manifest of that time, too, the entries are not those that it counts.
    put(&engine, MANIFEST, &steps[0][MANIFEST]);
    assert_eq!(kind(open(&engine, secret())), TAMPERED);
}

/// A product in the field of GHASH; the first bit is the lowest.
fn times(a: u128, b: u128) -> u128 {
    let (mut product, mut b) = (0, b);
    for bit in (0..128).rev() {
        if a >> bit & 1 == 1 {
            product ^= b;
        }
        b = (b >> 1) ^ if b & 1 == 1 { 0xe1 << 120 } else { 0 };
    }
    product
}

/// Another blob for the same place, under the same nonce, with the same tag.
fn same_tag(before: &Contents, n: usize) -> Entry {
    let (keys, data_key, header) = older_keys(before);
    let physical = Layout { equality: false }.physical(&keys, &record(n));
    let mut blob = before[&physical].clone();
    let records = Root::new(&header.store_id().0, &data_key)
        .derive("records", &keys.epoch().to_be_bytes())
        .unwrap();
    // The key of this message, as XAES derives it, and the one of its GHASH.
    let encrypt = |key: &[u8; 32], block: [u8; 16]| {
        let mut block = block.into();
        Aes256::new(key.into()).encrypt_block(&mut block);
        <[u8; 16]>::from(block)
    };
    let first = u128::from_be_bytes(encrypt(records.as_bytes(), [0; 16]));
    let mask = (first << 1) ^ if first >> 127 == 1 { 0b1000_0111 } else { 0 };
    let mut message = [0; 32];
    for half in [1, 2] {
        let mut block = [0; 16];
        block[1] = half;
        block[2] = b'X';
        block[4..].copy_from_slice(&blob[6..18]);
        let block = (u128::from_be_bytes(block) ^ mask).to_be_bytes();
        let place = usize::from(half - 1) * 16;
        message[place..place + 16].copy_from_slice(&encrypt(records.as_bytes(), block));
    }
    let hash = u128::from_be_bytes(encrypt(&message, [0; 16]));
    // Two blocks within the value: what the one adds the other takes away.
    let difference = u128::from_be_bytes(*b"\0\0\0\0forged one\0\0");
    let start = 6 + 24 + 32;
    for (place, change) in [(start, difference), (start + 16, times(difference, hash))] {
        let block = &mut blob[place..place + 16];
        for (byte, change) in block.iter_mut().zip(change.to_be_bytes()) {
            *byte ^= change;
        }
    }
    (physical, blob)
}

#[test]
fn a_forgery_with_the_same_tag_is_not_laundered() {
    let (_, _, before, steps) = rotated();
    let there = |contents: &Contents| {
        let place = |n: &usize| contents.contains_key(&forged(&before, *n).0);
        (0..RECORDS).find(place).unwrap()
    };
    let n = there(&steps[0]);
    let (physical, blob) = same_tag(&before, n);
    // It is a forgery: it opens, says something else, and adds the same to a sum over tags.
    let (keys, _, header) = older_keys(&before);
    let aad = Aad {
        store_id: header.store_id(),
        kind: Kind::Entry,
        physical: &physical,
        epoch: keys.epoch(),
    };
    assert_ne!(
        keys.open(&aad, &blob).unwrap().as_slice(),
        text(&record(n), &value(n)).as_slice()
    );
    assert_eq!(
        blob[blob.len() - 16..],
        steps[0][&physical][blob.len() - 16..]
    );

    // Put there while the store is closed.
    let engine = engine_of(&steps[0]);
    put(&engine, &physical, &blob);
    assert_eq!(kind(open(&engine, secret())), TAMPERED);
    // While it is open: neither served nor sealed again, nor taken out of the count.
    let engine = engine_of(&steps[0]);
    let sealed = open(&engine, secret()).unwrap();
    put(&engine, &physical, &blob);
    let snapshot = sealed.snapshot().unwrap();
    assert_eq!(kind(snapshot.copy_of(&record(n))), TAMPERED);
    assert_eq!(
        kind(snapshot.scan(b"\x02t\0"..b"\x02t\x01", 9999)),
        TAMPERED
    );
    drop(snapshot);
    let mut batch = KvBatch::new(Durability::Immediate);
    batch.put(record(n), b"new".to_vec());
    assert_eq!(kind(batch.write_to(&sealed)), TAMPERED);
    assert!(!sealed.verify(None).unwrap().is_sound());
    assert_eq!(kind(sealed.rotate(&secret(), |_| {})), TAMPERED);
    assert!(sealed.is_rotating(), "both keys stay");
    // The right one put back: the rotation goes on.
    put(&engine, &physical, &steps[0][&physical]);
    sealed.rotate(&secret(), |_| {}).unwrap();
    assert!(
        open(&engine, secret())
            .unwrap()
            .verify(None)
            .unwrap()
            .is_sound()
    );
}

#[test]
fn what_is_lost_within_a_rotation_keeps_it_from_ending() {
    let (_, _, before, steps) = rotated();
    let old = steps[0]
        .keys()
        .find(|place| before.contains_key(*place) && place.len() > 2);
    let new = steps[0].keys().find(|place| !before.contains_key(*place));
    for lost in [old.unwrap(), new.unwrap()] {
        let engine = engine_of(&steps[0]);
        let sealed = open(&engine, secret()).unwrap();
        change(&engine, |batch| batch.delete(lost.clone()));
        assert_eq!(kind(sealed.rotate(&secret(), |_| {})), TAMPERED);
        assert!(sealed.is_rotating());
        let still = Header::decode(&contents(&engine)[HEADER]).unwrap();
        assert!(still.unlock(&secret()).unwrap().1.older().is_some());
    }
    // An entry of the older epoch that was sealed again already, put back.
    let engine = engine_of(&steps[0]);
    let sealed = open(&engine, secret()).unwrap();
    let gone = before.keys().find(|place| !steps[0].contains_key(*place));
    put(&engine, gone.unwrap(), &before[gone.unwrap()]);
    assert_eq!(kind(sealed.rotate(&secret(), |_| {})), TAMPERED);
    assert!(sealed.is_rotating());
}

#[test]
fn a_loss_is_not_carried_into_another_key() {
    let (engine, sealed) = filled();
    let whole = contents(&engine);
    let lost = whole.keys().find(|place| place.len() > 2).unwrap();
    let (swapped, blob) = forged(&whole, 3);
    let attacks: [&dyn Fn(&mut KvBatch); 3] = [
        &|batch| batch.delete(lost.clone()),
        &|batch| batch.put(swapped.clone(), blob.clone()),
        &|batch| batch.put([&lost[..], &[0]].concat(), whole[lost].clone()),
    ];
    for (n, attack) in attacks.into_iter().enumerate() {
        change(&engine, attack);
        let attacked = contents(&engine);
        for sealed in [&sealed, &open(&engine, secret()).unwrap()] {
            assert_eq!(kind(sealed.rotate(&secret(), |_| {})), TAMPERED, "{n}");
            assert_eq!(
                kind(sealed.rekey(&secret(), &other(), &LEAST)),
                TAMPERED,
                "{n}"
            );
            assert_eq!(kind(sealed.check()), TAMPERED, "{n}");
        }
        assert_eq!(contents(&engine), attacked, "nothing is written");
        change(&engine, |batch| {
            batch.delete([&lost[..], &[0]].concat());
            for (key, value) in &whole {
                batch.put(key.clone(), value.clone());
            }
        });
    }
    assert!(sealed.verify(None).unwrap().is_sound());
}

#[test]
fn an_emptied_store_does_not_open() {
    let (engine, sealed) = filled();
    let known = sealed.anchor().unwrap();
    let whole = contents(&engine);
    let emptied = |places: &[&[u8]]| {
        let left = whole
            .iter()
            .filter(|(place, _)| places.contains(&place.as_slice()));
        engine_of(
            &left
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
        )
    };
    for left in [&[HEADER, MANIFEST][..], &[HEADER]] {
        assert_eq!(kind(open(&emptied(left), secret())), TAMPERED);
    }
    let none = || Sealed::builder(emptied(&[])).secret(secret());
    assert_eq!(kind(none().open()), Some(StoreErrorKind::Io));
    assert_eq!(kind(none().create(true).at_least(known).open()), TAMPERED);
    assert_eq!(kind(none().at_least(known).open()), TAMPERED);
    // Emptied while it is open.
    change(&engine, |batch| {
        for place in whole
            .keys()
            .filter(|place| ENTRIES.contains(&place.as_slice()))
        {
            batch.delete(place.clone());
        }
    });
    assert!(!sealed.verify(None).unwrap().is_sound());
    // A store in which nothing was written is empty by right, and nothing may be put there.
    let new = MemoryBackend::new();
    let builder = Sealed::builder(new.clone()).secret(secret());
    builder.create(true).open().unwrap();
    assert!(
        open(&new, secret())
            .unwrap()
            .verify(None)
            .unwrap()
            .is_sound()
    );
    let (place, blob) = whole.iter().next_back().unwrap();
    put(&new, place, blob);
    assert_eq!(kind(open(&new, secret())), TAMPERED);
}

#[test]
fn an_anchor_tells_older_copies() {
    let (engine, sealed) = filled();
    let older = contents(&engine);
    let at_least = |engine: &MemoryBackend, known| {
        let builder = Sealed::builder(engine.clone()).secret(secret());
        kind(builder.at_least(known).open())
    };
    let known = sealed.anchor().unwrap();
    let known_again = sealed.anchor().unwrap();
    assert_eq!(known, known_again, "it is durable already");
    assert_eq!((known.counter(), known.epoch()), (1, 1));
    sealed.add_key(&secret(), &other(), &LEAST).unwrap();
    let header_changed = sealed.anchor().unwrap();
    assert_eq!(header_changed.counter(), 2);
    assert_eq!(at_least(&engine_of(&older), known), None);
    assert_eq!(at_least(&engine_of(&older), header_changed), TAMPERED);
    // The older key can count as high as it likes, but not under the newer epoch.
    sealed.rotate(&secret(), |_| {}).unwrap();
    let rotated = sealed.anchor().unwrap();
    assert_eq!(rotated.epoch(), 2);
    let old = engine_of(&older);
    let before = open(&old, secret()).unwrap();
    for n in 0..20 {
        let mut batch = KvBatch::new(Durability::Eventual);
        batch.put(record(n), b"forged".to_vec());
        batch.write_to(&before).unwrap();
    }
    assert!(before.anchor().unwrap().counter() > rotated.counter());
    assert_eq!(at_least(&old, rotated), TAMPERED);
    assert_eq!(at_least(&engine, rotated), None);
    assert_eq!(at_least(&engine, (rotated.counter() + 1).into()), TAMPERED);
}
