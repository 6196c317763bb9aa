//! Keys are changed and rotated while anything can stop: nothing is lost, and the store always opens.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod engines;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use engines::{builder, key};
use synctable_core::store::{Durability, StoreError, StoreErrorKind};
use synctable_encrypted::{Argon2Params, RawKey, Sealed, Secret};
use synctable_kv::{Buffered, Key, KvBackend, KvBatch, KvRead, KvReadExt, KvWrite};
use synctable_memory::MemoryBackend;

/// An engine that stops taking writes after some: what came before is there, nothing after it.
#[derive(Debug, Clone)]
struct Stopping {
    engine: MemoryBackend,
    left: Arc<AtomicUsize>,
    end: End,
    turn: Arc<Mutex<()>>,
}

/// What becomes of the write at which it stops.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Fails,
    /// Nobody is told that it was not done.
    Lost,
    /// Nobody is told that it was done.
    Done,
}

impl Stopping {
    fn new(engine: &MemoryBackend, left: usize, end: End) -> Self {
        Self {
            engine: engine.clone(),
            left: Arc::new(AtomicUsize::new(left)),
            end,
            turn: Arc::default(),
        }
    }
}

impl KvBackend for Stopping {
    fn snapshot(&self) -> Result<Box<dyn KvRead + '_>, StoreError> {
        self.engine.snapshot()
    }
    fn begin_write(&self, durability: Durability) -> Result<Box<dyn KvWrite + '_>, StoreError> {
        Buffered::begin(
            &self.turn,
            durability,
            || self.snapshot(),
            |batch| self.write(batch),
        )
    }
    fn sync(&self) -> Result<(), StoreError> {
        self.engine.sync()
    }
}

impl Stopping {
    fn write(&self, batch: &KvBatch) -> Result<(), StoreError> {
        let left = self.left.load(Ordering::SeqCst);
        if left == 0 {
            if self.end == End::Done {
                batch.write_to(&self.engine)?;
            }
            let kind = match self.end {
                End::Fails => StoreErrorKind::Io,
                End::Lost | End::Done => StoreErrorKind::Unknown,
            };
            return Err(StoreError::new(kind, "the engine stops"));
        }
        self.left.store(left - 1, Ordering::SeqCst);
        batch.write_to(&self.engine)
    }
}

const RECORDS: usize = 600;

fn record(n: usize) -> Vec<u8> {
    Key::Record {
        table: "t",
        id: &format!("r{n}"),
    }
    .encode()
}

fn index_entry(n: usize) -> Vec<u8> {
    let id = format!("r{n}");
    Key::Index {
        table: "t",
        index: "a",
        values: &[0x10, 1],
        id: &id,
    }
    .encode()
}

fn filled(engine: &MemoryBackend) {
    let sealed = builder(engine.clone())
        .equality_indexes(true)
        .open()
        .unwrap();
    let mut batch = KvBatch::new(Durability::Immediate);
    for n in 0..RECORDS {
        batch.put(record(n), n.to_string().into_bytes());
        if n % 3 == 0 {
            batch.put(index_entry(n), Vec::new());
        }
    }
    batch.write_to(&sealed).unwrap();
}

/// Everything is there, is found in order, and adds up.
fn whole<B: KvBackend>(sealed: &Sealed<B>, changed: Option<usize>) {
    let snapshot = sealed.snapshot().unwrap();
    for n in 0..RECORDS {
        let expected = match changed {
            Some(changed) if changed == n => b"changed".to_vec(),
            _ => n.to_string().into_bytes(),
        };
        assert_eq!(
            snapshot.copy_of(&record(n)).unwrap(),
            Some(expected),
            "record {n}"
        );
    }
    let scanned = snapshot.scan(&[2]..&[3], usize::MAX).unwrap();
    assert_eq!(scanned.len(), RECORDS);
    let table = snapshot.scan(b"\x02t\0"..b"\x02t\x01", usize::MAX).unwrap();
    assert!(table.is_sorted() && table == scanned);
    let mut back = snapshot
        .scan_back(b"\x02t\0"..b"\x02t\x01", usize::MAX)
        .unwrap();
    back.reverse();
    assert_eq!(back, table);
    let mut end = index_entry(0);
    let start = end[..end.len() - 2].to_vec();
    end.truncate(start.len());
    *end.last_mut().unwrap() += 1;
    let entries = snapshot.scan(&start..&end, usize::MAX).unwrap();
    assert_eq!(entries.len(), RECORDS.div_ceil(3));
    drop(snapshot);
    let report = sealed.verify(None).unwrap();
    assert!(report.is_sound(), "{:?}", report.findings);
}

#[test]
fn rotation_stopped_at_every_write_goes_on() {
    for end in [End::Fails, End::Lost, End::Done] {
        rotations_stop(end);
    }
}

fn rotations_stop(end: End) {
    let mut writes = 0;
    for stop in 0.. {
        let engine = MemoryBackend::new();
        filled(&engine);
        let stopping = Stopping::new(&engine, stop, end);
        let sealed = builder(stopping).open().unwrap();
        let done = sealed.rotate(&Secret::Raw(key()), |_| ());
        // Whoever has it open goes on reading.
        whole(&sealed, None);
        drop(sealed);
        let sealed = builder(engine.clone()).create(false).open().unwrap();
        whole(&sealed, None);
        let mut batch = KvBatch::new(Durability::Immediate);
        batch.put(record(7), b"changed".to_vec());
        batch.write_to(&sealed).unwrap();
        whole(&sealed, Some(7));
        sealed.rotate(&Secret::Raw(key()), |_| ()).unwrap();
        assert!(!sealed.is_rotating());
        whole(&sealed, Some(7));
        whole(&builder(engine).create(false).open().unwrap(), Some(7));
        if done.is_ok() {
            writes = stop;
            break;
        }
    }
    assert!(writes > 4, "{writes} writes");
}

#[test]
fn the_old_key_opens_nothing_that_was_rotated() {
    let engine = MemoryBackend::new();
    filled(&engine);
    let raw = |engine: &MemoryBackend| {
        engine
            .snapshot()
            .unwrap()
            .scan(&[]..&[255; 64], usize::MAX)
            .unwrap()
    };
    let before = raw(&engine);
    let sealed = builder(engine.clone()).open().unwrap();
    let other = || RawKey::from_bytes([9; 32]);
    let cheap = Argon2Params::default();
    sealed
        .add_key(&Secret::Raw(key()), &Secret::Raw(other()), &cheap)
        .unwrap();
    let mut heard = 0;
    sealed
        .rotate(&Secret::Raw(key()), |done| heard = done)
        .unwrap();
    assert_eq!(heard, (RECORDS + RECORDS.div_ceil(3)) as u64);
    let after = raw(&engine);
    assert_eq!(before.len(), after.len());
    let old: std::collections::BTreeSet<_> = before.iter().filter(|entry| entry.0[0] > 0).collect();
    assert!(after.iter().all(|entry| !old.contains(entry)));
    assert!(
        after
            .iter()
            .skip(2)
            .all(|(place, _)| before.iter().all(|(old, _)| old != place))
    );
    // The old header over the new entries: the old data key is of no use.
    let mut batch = KvBatch::new(Durability::Immediate);
    let header = before.iter().find(|(place, _)| *place == [0]).unwrap();
    batch.put(header.0.clone(), header.1.clone());
    batch.write_to(&engine).unwrap();
    assert_eq!(
        builder(engine).open().unwrap_err().kind(),
        StoreErrorKind::Tampered
    );
    assert_eq!(
        sealed.slots().len(),
        1,
        "the other key is enrolled again by hand"
    );
}

#[test]
fn others_read_and_write_during_a_rotation() {
    let engine = MemoryBackend::new();
    filled(&engine);
    let sealed = builder(engine.clone()).open().unwrap();
    let writer = sealed.clone();
    let thread = std::thread::spawn(move || {
        for round in 0..200 {
            let n = round % RECORDS;
            let mut batch = KvBatch::new(Durability::Eventual);
            batch.delete(record(n));
            batch.write_to(&writer).unwrap();
            let mut batch = KvBatch::new(Durability::Eventual);
            batch.put(record(n), n.to_string().into_bytes());
            batch.write_to(&writer).unwrap();
            let snapshot = writer.snapshot().unwrap();
            assert_eq!(
                snapshot
                    .scan(b"\x02t\0"..b"\x02t\x01", usize::MAX)
                    .unwrap()
                    .len(),
                RECORDS
            );
        }
    });
    for _ in 0..3 {
        sealed.rotate(&Secret::Raw(key()), |_| ()).unwrap();
    }
    thread.join().unwrap();
    whole(&sealed, None);
    whole(&builder(engine).create(false).open().unwrap(), None);
}

#[test]
fn rekey_stopped_at_every_write_leaves_a_key() {
    let other = || Secret::Raw(RawKey::from_bytes([9; 32]));
    for (stop, end, changed) in [
        (0, End::Fails, false),
        (0, End::Lost, false),
        (0, End::Done, true),
        (1, End::Fails, true),
    ] {
        let engine = MemoryBackend::new();
        filled(&engine);
        let sealed = builder(Stopping::new(&engine, stop, end)).open().unwrap();
        let done = sealed.rekey(&Secret::Raw(key()), &other(), &Argon2Params::default());
        assert_eq!(done.is_ok(), stop == 1);
        // Whoever has it open goes on reading, and finds nothing wrong with the header.
        whole(&sealed, None);
        let secret = if changed { other() } else { Secret::Raw(key()) };
        let again = Sealed::builder(engine).secret(secret).open().unwrap();
        whole(&again, None);
    }
}

/// A sealed store is an engine like any other, also while its keys change.
#[test]
fn the_engine_keeps_its_contract() {
    for equality in [false, true] {
        let sealed = builder(MemoryBackend::new())
            .equality_indexes(equality)
            .open()
            .unwrap();
        synctable_testkit::kv::check_engine(&sealed);
        sealed.verify(None).unwrap();
    }
}
