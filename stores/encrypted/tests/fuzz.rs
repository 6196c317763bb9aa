//! Sealed entries and headers that are nearly right.
//!
//! `SYNCTABLE_CASES=1000000 cargo test -p synctable-encrypted --release --test fuzz` tries more.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod engines;
#[path = "../../../core/tests/fuzz/mutate.rs"]
mod mutate;

use std::sync::atomic::{AtomicUsize, Ordering};

use engines::builder;
use mutate::{Edits, edits, try_many};
use proptest::prelude::*;
use proptest::sample::Index;
use synctable_core::store::Durability;
use synctable_kv::{Entry, Key, KvBackend, KvBatch, KvReadExt};
use synctable_memory::MemoryBackend;

const CASES: u32 = 5_000;
const RECORDS: usize = 6;

fn key(n: usize) -> Vec<u8> {
    let id = format!("r{n}");
    Key::Record {
        table: "t",
        id: &id,
    }
    .encode()
}

fn value(n: usize) -> Vec<u8> {
    format!("value of {n} ").repeat(n * n + 1).into_bytes()
}

/// A sealed store of some records, as its engine holds it.
fn sealed() -> Vec<Entry> {
    let engine = MemoryBackend::new();
    let store = builder(engine.clone()).open().unwrap();
    let mut batch = KvBatch::new(Durability::Immediate);
    for n in 0..RECORDS {
        batch.put(key(n), value(n));
    }
    batch.write_to(&store).unwrap();
    let snapshot = engine.snapshot().unwrap();
    snapshot.scan(&[]..&[255; 64], usize::MAX).unwrap()
}

fn engine_of(entries: &[Entry]) -> MemoryBackend {
    let engine = MemoryBackend::new();
    let mut batch = KvBatch::new(Durability::Immediate);
    for (key, value) in entries {
        batch.put(key.clone(), value.clone());
    }
    batch.write_to(&engine).unwrap();
    engine
}

/// Some entries are edited, header and manifest among them, or take the place of each other.
fn damage() -> impl Strategy<Value = Vec<(Index, Damage)>> {
    let one = prop_oneof![
        4 => edits(&["\0", "\u{1}", "\u{ff}", "SYNC"]).prop_map(Damage::Value),
        1 => edits(&["\0", "r", "t"]).prop_map(Damage::Key),
        1 => any::<Index>().prop_map(Damage::Swap),
        1 => Just(Damage::Remove),
    ];
    prop::collection::vec((any::<Index>(), one), 1..4)
}

#[derive(Debug, Clone)]
enum Damage {
    Value(Edits),
    Key(Edits),
    Swap(Index),
    Remove,
}

/// A value is the one that was written, is missing, or cannot be read; where one is not the first, it is found.
#[test]
fn sealed_entries() {
    let good = sealed();
    let (opened, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    try_many(CASES, &damage(), |damage| {
        let mut entries = good.clone();
        for (place, damage) in damage {
            if entries.is_empty() {
                break;
            }
            let place = place.index(entries.len());
            match damage {
                Damage::Value(edits) => edits.apply(&mut entries[place].1),
                Damage::Key(edits) => edits.apply(&mut entries[place].0),
                Damage::Swap(other) => {
                    let other = other.index(entries.len());
                    let value = std::mem::take(&mut entries[place].1);
                    let value = std::mem::replace(&mut entries[other].1, value);
                    entries[place].1 = value;
                }
                Damage::Remove => drop(entries.remove(place)),
            }
        }
        let store = match builder(engine_of(&entries)).create(false).open() {
            Ok(store) => {
                opened.fetch_add(1, Ordering::Relaxed);
                store
            }
            Err(error) => {
                refused.fetch_add(1, Ordering::Relaxed);
                prop_assert!(!error.to_string().chars().any(char::is_control), "{error}");
                return Ok(());
            }
        };
        let snapshot = store.snapshot().unwrap();
        let mut whole = true;
        for n in 0..RECORDS {
            match snapshot.copy_of(&key(n)) {
                Ok(Some(found)) => prop_assert_eq!(found, value(n)),
                Ok(None) | Err(_) => whole = false,
            }
        }
        let _ = snapshot.scan(&[]..&[255; 64], usize::MAX);
        let sound = store.verify(None).is_ok_and(|report| report.is_sound());
        prop_assert!(whole || !sound, "damage that verification does not find");
        Ok(())
    });
    let (opened, refused) = (opened.into_inner(), refused.into_inner());
    println!("{opened} damaged stores opened, {refused} did not");
    assert!(opened > 0 && refused > 0);
}
