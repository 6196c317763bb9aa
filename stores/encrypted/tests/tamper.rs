//! Nothing that was changed without the key is taken for data, and verification finds every change.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod engines;

use std::collections::BTreeMap;

use engines::builder;
use proptest::prelude::*;
use synctable_core::store::{Durability, StoreErrorKind};
use synctable_encrypted::{SealFinding, VerifyReport};
use synctable_kv::{Entry, Key, KvBackend, KvBatch, KvReadExt};
use synctable_memory::MemoryBackend;

/// Some records, an index entry and a declaration, sealed.
fn store(records: usize) -> MemoryBackend {
    let engine = MemoryBackend::new();
    let sealed = builder(engine.clone())
        .equality_indexes(true)
        .open()
        .unwrap();
    let mut batch = KvBatch::new(Durability::Immediate);
    batch.put(Key::Table("t").encode(), b"declared".to_vec());
    batch.put(
        Key::Index {
            table: "t",
            index: "a",
            values: &[0x10, 1],
            id: "r0",
        }
        .encode(),
        Vec::new(),
    );
    for n in 0..records {
        batch.put(record(n), format!("value of {n}").into_bytes());
    }
    batch.write_to(&sealed).unwrap();
    engine
}

fn record(n: usize) -> Vec<u8> {
    Key::Record {
        table: "t",
        id: &format!("r{n}"),
    }
    .encode()
}

fn raw(engine: &MemoryBackend) -> Vec<Entry> {
    engine
        .snapshot()
        .unwrap()
        .scan(&[]..&[255; 64], usize::MAX)
        .unwrap()
}

/// An engine with other contents.
fn engine_of(entries: &[Entry]) -> MemoryBackend {
    let engine = MemoryBackend::new();
    let mut batch = KvBatch::new(Durability::Immediate);
    for (key, value) in entries {
        batch.put(key.clone(), value.clone());
    }
    batch.write_to(&engine).unwrap();
    engine
}

/// What a reader gets: plain keys and values, or `None` where there is an error.
fn readable(engine: MemoryBackend) -> Option<BTreeMap<Vec<u8>, Option<Vec<u8>>>> {
    let sealed = builder(engine).create(false).open().ok()?;
    let snapshot = sealed.snapshot().unwrap();
    let mut keys: Vec<Vec<u8>> = (0..12).map(record).collect();
    keys.push(Key::Table("t").encode());
    Some(
        keys.into_iter()
            .filter_map(|key| Some((key.clone(), snapshot.copy_of(&key).ok()?)))
            .collect(),
    )
}

fn verified(engine: MemoryBackend) -> Result<VerifyReport, StoreErrorKind> {
    let sealed = builder(engine)
        .create(false)
        .open()
        .map_err(|error| error.kind())?;
    Ok(sealed.verify(None).unwrap())
}

#[test]
fn every_changed_byte_is_noticed() {
    let entries = raw(&store(10));
    let good = readable(engine_of(&entries)).unwrap();
    let mut bytes = 0;
    for place in 0..entries.len() {
        let (key, value) = entries[place].clone();
        for at in 0..key.len() + value.len() {
            for flip in [0x01, 0x80] {
                let mut changed = entries.clone();
                let (key, value) = &mut changed[place];
                match at.checked_sub(key.len()) {
                    None => key[at] ^= flip,
                    Some(at) => value[at] ^= flip,
                }
                let case = format!("entry {place}, byte {at}");
                if let Some(found) = readable(engine_of(&changed)) {
                    // An entry is as it was, cannot be read, or seems to be missing: it never says anything else.
                    for (key, value) in found {
                        assert!(value.is_none() || good.get(&key) == Some(&value), "{case}");
                    }
                }
                let sound = verified(engine_of(&changed)).is_ok_and(|report| report.is_sound());
                assert!(!sound, "{case}");
                bytes += 1;
            }
        }
    }
    println!("{bytes} changed bytes");
    assert!(verified(engine_of(&entries)).unwrap().is_sound());
}

#[test]
fn entries_that_are_cut_or_grow_are_noticed() {
    let entries = raw(&store(3));
    for place in 0..entries.len() {
        let value = entries[place].1.clone();
        let shorter = (0..value.len()).map(|length| value[..length].to_vec());
        let longer = [[value.as_slice(), &[0]].concat()];
        for other in shorter.chain(longer) {
            let mut changed = entries.clone();
            changed[place].1 = other;
            let sound = verified(engine_of(&changed)).is_ok_and(|report| report.is_sound());
            assert!(!sound, "entry {place}");
        }
    }
}

#[test]
fn swapped_entries_are_noticed_when_they_are_read() {
    let entries = raw(&store(100));
    let records: Vec<usize> = (0..entries.len())
        .filter(|place| entries[*place].0[0] == 1)
        .collect();
    assert!(records.len() > 100);
    for (n, &a) in records.iter().enumerate() {
        // Each with some others; all pairs would take long.
        for &b in records.iter().skip(n + 1).step_by(7) {
            let mut changed = entries.clone();
            let value = std::mem::take(&mut changed[a].1);
            changed[a].1 = std::mem::replace(&mut changed[b].1, value);
            let report = verified(engine_of(&changed)).unwrap();
            let found = |place: usize| {
                report
                    .findings
                    .contains(&SealFinding::Entry(entries[place].0.clone()))
            };
            assert!(found(a) && found(b), "{a} and {b}");
        }
    }
}

#[test]
fn removed_added_and_older_entries_are_found() {
    let engine = store(10);
    let old = raw(&engine);
    let sealed = builder(engine.clone()).open().unwrap();
    let mut batch = KvBatch::new(Durability::Immediate);
    batch.put(record(3), b"a newer value".to_vec());
    batch.delete(record(4));
    batch.write_to(&sealed).unwrap();
    assert!(sealed.verify(None).unwrap().is_sound());
    let now = raw(&engine);
    let is_entry = |entry: &&Entry| entry.0[0] > 0;
    for (place, entry) in now.iter().enumerate().filter(|(_, entry)| entry.0[0] > 0) {
        let mut without = now.clone();
        without.remove(place);
        let report = verified(engine_of(&without)).unwrap();
        assert!(
            matches!(report.findings[..], [SealFinding::Entries { found, expected }] if found + 1 == expected),
            "{:?} {:?}",
            entry.0,
            report.findings
        );
    }
    let mut put_back = 0;
    for older in old
        .iter()
        .filter(is_entry)
        .filter(|entry| !now.contains(entry))
    {
        let mut changed: BTreeMap<_, _> = now.iter().cloned().collect();
        changed.insert(older.0.clone(), older.1.clone());
        let changed: Vec<Entry> = changed.into_iter().collect();
        let report = verified(engine_of(&changed)).unwrap();
        assert!(
            matches!(report.findings[..], [SealFinding::Entries { .. }]),
            "{:?}",
            report.findings
        );
        put_back += 1;
    }
    assert_eq!(put_back, 2, "the replaced record and the deleted one");
    let mut foreign = now.clone();
    foreign.push((vec![7], b"x".to_vec()));
    let report = verified(engine_of(&foreign)).unwrap();
    assert_eq!(report.findings, [SealFinding::Foreign(vec![7])]);
    // The whole older copy holds together; only who knows the counter sees it.
    let counter = sealed.counter().unwrap();
    let older = builder(engine_of(&old)).open().unwrap();
    assert!(older.verify(None).unwrap().is_sound());
    let report = older.verify(Some(counter)).unwrap();
    assert_eq!(
        report.findings,
        [SealFinding::OlderCopy {
            counter: counter - 1,
            known: counter
        }]
    );
    assert!(sealed.verify(Some(counter)).unwrap().is_sound());
}

#[test]
fn entries_of_another_store_with_the_same_key_are_refused() {
    let (one, two) = (raw(&store(2)), raw(&store(2)));
    for (place, (key, _)) in two.iter().enumerate().filter(|(_, entry)| entry.0[0] > 0) {
        let mut mixed = one.clone();
        mixed.push((key.clone(), two[place].1.clone()));
        let report = verified(engine_of(&mixed)).unwrap();
        assert!(
            report.findings.contains(&SealFinding::Entry(key.clone())),
            "{report:?}"
        );
    }
}

proptest! {
    /// Any bytes in the place of the header, the manifest or an entry: an error, and no panic.
    #[test]
    fn any_bytes_are_refused(
        place in 0..14_usize,
        start in 0..200_usize,
        rest in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let mut entries = raw(&store(10));
        let place = place % entries.len();
        let value = &mut entries[place].1;
        let before = value.clone();
        value.truncate(start);
        value.extend(rest);
        prop_assume!(*value != before);
        let _ = readable(engine_of(&entries));
        if let Ok(report) = verified(engine_of(&entries)) {
            prop_assert!(!report.is_sound());
        }
    }
}
