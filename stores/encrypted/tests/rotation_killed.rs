//! Processes that are killed while they rotate the key of a store: nothing is lost, and it always opens.
//!
//! `SYNCTABLE_CYCLES` sets how many are killed (10), `SYNCTABLE_SEED` repeats a run.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod engines;

use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::{env, fs};

use engines::{builder, key};
use synctable_core::store::{Durability, StoreErrorKind};
use synctable_encrypted::{RawKey, Sealed, Secret};
use synctable_kv::{Key, KvBackend, KvBatch, KvReadExt};
use synctable_redb::RedbStore;
use synctable_sqlite::SqliteKv;

const RECORDS: usize = 3_000;
/// Where the format has its header.
const HEADER: [u8; 1] = [0];
const TABLES: [&str; 2] = ["t", "__operations"];

fn engine(name: &str, folder: &Path) -> Arc<dyn KvBackend> {
    match name {
        "redb" => Arc::new(
            RedbStore::builder(folder.join("store.redb"))
                .backend()
                .unwrap(),
        ),
        _ => Arc::new(SqliteKv::open(folder.join("store.db")).unwrap()),
    }
}

fn entry(table: &str, n: usize) -> Vec<u8> {
    let id = format!("r{n:05}");
    Key::Record { table, id: &id }.encode()
}

fn value(table: &str, n: usize) -> Vec<u8> {
    format!("{table} {n} {}", "x".repeat(n % 200)).into_bytes()
}

fn fill(sealed: &Sealed<Arc<dyn KvBackend>>) {
    let mut batch = KvBatch::new(Durability::Immediate);
    for table in TABLES {
        for n in 0..RECORDS {
            batch.put(entry(table, n), value(table, n));
        }
    }
    batch.write_to(sealed).unwrap();
}

fn whole(sealed: &Sealed<Arc<dyn KvBackend>>) {
    let snapshot = sealed.snapshot().unwrap();
    for table in TABLES {
        for n in 0..RECORDS {
            let found = snapshot.copy_of(&entry(table, n)).unwrap();
            assert_eq!(found, Some(value(table, n)), "{table} {n}");
        }
    }
    drop(snapshot);
    let report = sealed.verify(None).unwrap();
    assert!(report.is_sound(), "{:?}", report.findings);
}

/// The process that is killed: it rotates for ever, and says so.
#[test]
#[ignore = "the process that the tests of this file start"]
fn child() {
    let (name, folder) = (env::var("ROTATED").unwrap(), env::var("FOLDER").unwrap());
    let sealed = builder(engine(&name, Path::new(&folder)))
        .create(false)
        .open()
        .unwrap();
    let say = |done: u64| {
        let mut out = std::io::stdout().lock();
        // It ends with its parent.
        if writeln!(out, "rotated {done}")
            .and_then(|()| out.flush())
            .is_err()
        {
            std::process::exit(0);
        }
    };
    loop {
        say(0);
        sealed.rotate(&Secret::Raw(key()), say).unwrap();
    }
}

/// Small random numbers.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

fn setting(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

/// Starts a process and kills it after some of its lines and some work more; true when it was killed within a rotation.
fn killed_once(name: &str, folder: &Path, dice: &mut Dice) -> bool {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env("ROTATED", name)
        .env("FOLDER", folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut rotated = lines.filter(|line| line.as_ref().unwrap().contains("rotated"));
    for _ in 0..=dice.below(60) {
        rotated.next().expect("the process goes on").unwrap();
    }
    for n in 0..dice.below(2_000_000) {
        black_box(n);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let sealed = builder(engine(name, folder)).create(false).open().unwrap();
    whole(&sealed);
    sealed.is_rotating()
}

fn rotations_are_killed(name: &str) {
    let cycles = setting("SYNCTABLE_CYCLES").unwrap_or(10);
    let seed = setting("SYNCTABLE_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("SYNCTABLE_SEED={seed} repeats this run of {cycles} kills");
    let mut dice = Dice(seed);
    let folder = tempfile::tempdir().unwrap();
    let sealed = builder(engine(name, folder.path())).open().unwrap();
    fill(&sealed);
    drop(sealed);
    let bare = engine(name, folder.path());
    let header = bare.snapshot().unwrap().copy_of(&HEADER).unwrap();
    drop(bare);
    let mut within = 0;
    for _ in 0..cycles {
        within += u64::from(killed_once(name, folder.path(), &mut dice));
    }
    println!("{name}: {cycles} kills, {within} within a rotation, 0 lost");
    assert!(
        within * 2 > cycles,
        "{within} of {cycles} within a rotation"
    );

    // It ends at last, and the old data key is of no use.
    let sealed = builder(engine(name, folder.path()))
        .create(false)
        .open()
        .unwrap();
    sealed.rotate(&Secret::Raw(key()), |_| ()).unwrap();
    assert!(!sealed.is_rotating());
    whole(&sealed);
    drop(sealed);
    let other = Sealed::builder(engine(name, folder.path())).raw_key(RawKey::from_bytes([9; 32]));
    assert_eq!(
        other.create(false).open().unwrap_err().kind(),
        StoreErrorKind::WrongKey
    );
    let bare = engine(name, folder.path());
    let mut batch = KvBatch::new(Durability::Immediate);
    batch.put(HEADER.to_vec(), header.expect("a header"));
    batch.write_to(&bare).unwrap();
    let old = builder(bare).create(false).open();
    assert_eq!(old.unwrap_err().kind(), StoreErrorKind::Tampered);
    fs::remove_dir_all(folder.path()).unwrap();
}

#[test]
fn rotations_over_redb_are_killed() {
    rotations_are_killed("redb");
}

#[test]
fn rotations_over_sqlite_are_killed() {
    rotations_are_killed("sqlite");
}
