//! A sealed store goes on where its engine does not know what came of a commit: of a batch, and of a change of keys.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod engines;

use std::sync::Arc;

use engines::{builder, key};
use synctable_core::store::{Durability, StoreError, StoreErrorKind};
use synctable_encrypted::{Argon2Params, RawKey, Sealed, Secret};
use synctable_kv::{Key, KvBackend, KvBatch, KvReadExt, KvStore};
use synctable_memory::MemoryBackend;
use synctable_testkit::doubt::{Doubt, Doubting, commits_in_doubt_are_settled};

fn histories(number: u32, equality: bool) {
    let open = |engine| {
        let sealed = builder(engine).equality_indexes(equality).open()?;
        KvStore::open(Arc::new(sealed) as Arc<dyn KvBackend>)
    };
    let engine = || Doubting::new(MemoryBackend::new());
    synctable_testkit::run(commits_in_doubt_are_settled(number, engine, &open));
}

#[test]
fn commits_in_doubt_are_settled_by_the_next_write() {
    histories(150, false);
}

#[test]
fn so_are_those_that_write_indexes() {
    histories(150, true);
}

type Store = Sealed<Doubting>;

fn other() -> RawKey {
    RawKey::from_bytes([7; 32])
}

fn entry(n: usize) -> Vec<u8> {
    let id = format!("r{n:03}");
    Key::Record {
        table: "t",
        id: &id,
    }
    .encode()
}

/// Four rows of a rotation's page, and a bit.
const ENTRIES: usize = 300;

fn shows(sealed: &Store) {
    let snapshot = sealed.snapshot().unwrap();
    for n in (0..ENTRIES).step_by(37) {
        assert_eq!(snapshot.get(&entry(n)).unwrap().as_deref(), Some(&b"v"[..]));
    }
    let all = snapshot.scan(&entry(0)..&entry(ENTRIES), 1_000).unwrap();
    assert_eq!(all.len(), ENTRIES);
}

/// Does `change` until it is no longer in doubt; how often it was.
fn settled(
    sealed: &Store,
    engine: &Doubting,
    land: bool,
    change: impl Fn(&Store) -> Result<(), StoreError>,
) -> usize {
    for tries in 0.. {
        match change(sealed) {
            Ok(()) => return tries,
            Err(error) => assert_eq!(error.kind(), StoreErrorKind::InDoubt, "{error}"),
        }
        shows(sealed);
        if land {
            engine.land().unwrap();
            shows(sealed);
        }
        // What looks on finds no fault, whichever it was.
        assert!(sealed.verify(None).unwrap().is_sound());
        sealed.check().unwrap();
        shows(sealed);
    }
    unreachable!()
}

#[test]
fn changes_of_keys_in_doubt_leave_a_store_that_goes_on() {
    type Change = fn(&Store) -> Result<(), StoreError>;
    let adds: Change = |it| {
        // In doubt it may have been done: a key too many is refused, or there twice.
        let kdf = Argon2Params::default();
        match it.slots().len() {
            1 => it.add_key(&Secret::Raw(key()), &Secret::Raw(other()), &kdf),
            _ => Ok(()),
        }
    };
    let rotates: Change = |it| it.rotate(&Secret::Raw(key()), |_| ());
    let writes: Change = |it| {
        let mut batch = KvBatch::new(Durability::Immediate);
        batch.put(entry(0), b"v".to_vec());
        batch.write_to(it)
    };
    let mut doubts = 0;
    for (which, change) in [adds, rotates, writes].into_iter().enumerate() {
        for doubt in [Doubt::Done, Doubt::Lost, Doubt::Late] {
            for (after, land) in (0..5).flat_map(|after| [(after, false), (after, true)]) {
                let engine = Doubting::new(MemoryBackend::new());
                let sealed = builder(engine.clone()).cache(1 << 20).open().unwrap();
                let mut batch = KvBatch::new(Durability::Immediate);
                for n in 0..ENTRIES {
                    batch.put(entry(n), b"v".to_vec());
                }
                batch.write_to(&sealed).unwrap();
                shows(&sealed);
                engine.doubt(Some((after, doubt)));
                doubts += settled(&sealed, &engine, land, change);
                engine.doubt(None);
                shows(&sealed);
                assert!(sealed.verify(None).unwrap().is_sound());
                assert!(!sealed.is_rotating());
                writes(&sealed).unwrap();
                let known = sealed.anchor().unwrap();
                drop(sealed);
                let with = if which == 0 { other() } else { key() };
                let again = Sealed::builder(engine).raw_key(with).at_least(known);
                let again = again.open().unwrap();
                shows(&again);
                assert!(again.verify(None).unwrap().is_sound());
            }
        }
    }
    // One commit of an added key and of a write, four or more of a rotation, with each of three endings.
    assert!(doubts >= (1 + 1 + 4) * 3 * 2, "{doubts}");
}
