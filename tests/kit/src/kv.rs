//! What a key-value engine under `synctable_kv::KvStore` has to do: [`check_engine`] judges one before a store is made of it.

use std::collections::BTreeMap;
use std::ops::Range;

use synctable_core::query::Direction;
use synctable_core::store::{Durability, StoreErrorKind};
use synctable_kv::{Key, KvBackend, KvBatch, KvRead, KvReadExt};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// Increments that each of the threads makes.
#[cfg(not(synctable_single_threaded))]
const INCREMENTS: usize = 25;
/// How often a commit comes while a snapshot is held, and how often the holder stands back for it: an engine may hold commits off that long.
#[cfg(not(synctable_single_threaded))]
const HELD: (usize, usize) = (8, 10_000);

/// Demands all that the docs of `synctable_kv::KvBackend`, `KvRead` and `KvWrite` do of an engine that holds no records yet, and leaves none.
/// Not seen here are durability and what a crash leaves: those are judged by the groups of a store over it.
///
/// # Panics
/// With a sentence that says what is asked, and where it is written, if the engine does not do it.
pub fn check_engine(engine: &dyn KvBackend) {
    entries_come_in_order_from_both_ends(engine);
    a_transaction_reads_its_own_writes(engine);
    what_is_dropped_is_not_done(engine);
    limits_are_kept(engine);
    #[cfg(not(synctable_single_threaded))]
    {
        a_snapshot_stays_as_it_was(engine);
        one_writes_at_a_time(engine);
    }
    engine
        .sync()
        .expect("an engine that nothing is wrong with syncs (KvBackend::sync)");
    match engine.forget() {
        Ok(()) => {}
        Err(error) => assert_eq!(
            error.kind(),
            StoreErrorKind::Unsupported,
            "an engine forgets, or says that it cannot (KvBackend::forget): {error}"
        ),
    }
    clear(engine);
}

fn key(id: &str) -> Vec<u8> {
    Key::Record { table: "kit", id }.encode()
}

fn whole() -> Range<Vec<u8>> {
    let start = key("");
    let mut end = start.clone();
    end.pop();
    end.push(1);
    start..end
}

fn clear(engine: &dyn KvBackend) {
    let mut write = engine
        .begin_write(Durability::Eventual)
        .expect("a transaction begins");
    let keys = whole();
    write
        .delete_range(&keys.start..&keys.end)
        .expect("a range is removed");
    write.commit().expect("the transaction is taken");
}

fn fill(engine: &dyn KvBackend, entries: &Map) {
    clear(engine);
    let mut batch = KvBatch::new(Durability::Eventual);
    for (key, value) in entries {
        batch.put(key.clone(), value.clone());
    }
    batch.write_to(engine).expect("the batch is taken");
}

/// Demands that `read` shows `expected`, by key and in order from both ends.
fn assert_shows(read: &dyn KvRead, expected: &Map, what: &str) {
    for (key, value) in expected {
        let found = read.copy_of(key).expect("get answers");
        assert!(
            found.as_ref() == Some(value),
            "{what}, by key (KvRead::get): there is {} and not {}",
            found.map_or("nothing".to_owned(), |found| shown(key, &found)),
            shown(key, value)
        );
    }
    let keys = whole();
    for direction in [Direction::Ascending, Direction::Descending] {
        assert_range(read, expected, &keys.start..&keys.end, direction, what);
    }
}

fn assert_range(
    read: &dyn KvRead,
    expected: &Map,
    keys: Range<&[u8]>,
    direction: Direction,
    what: &str,
) {
    let within = expected
        .iter()
        .filter(|(key, _)| keys.contains(&key.as_slice()));
    let owned = |(key, value): (&Vec<u8>, &Vec<u8>)| (key.clone(), value.clone());
    let expected: Vec<_> = match direction {
        Direction::Ascending => within.map(owned).collect(),
        Direction::Descending => within.rev().map(owned).collect(),
    };
    let found: Vec<_> = read
        .entries(keys, direction)
        .map(|entry| {
            let (key, value) = entry.expect("an entry is read");
            (key.into_vec(), value.into_vec())
        })
        .collect();
    let shown = |entry: Option<&(Vec<u8>, Vec<u8>)>| match entry {
        Some((key, value)) => shown(key, value),
        None => "the end".to_owned(),
    };
    let other = (0..=expected.len()).find(|place| found.get(*place) != expected.get(*place));
    if let Some(place) = other {
        panic!(
            "{what}, each entry once and in order, {direction:?} (KvRead::entries): after {place} entries comes {} and not {}",
            shown(found.get(place)),
            shown(expected.get(place))
        );
    }
}

/// An entry for a person.
fn shown(key: &[u8], value: &[u8]) -> String {
    let id = key.strip_prefix(&*self::key("")).unwrap_or(key);
    format!("{} = {}", id.escape_ascii(), value.escape_ascii())
}

fn numbers(count: usize) -> Map {
    let entry = |n: usize| (key(&format!("{n:04}")), n.to_string().into_bytes());
    (0..count).map(entry).collect()
}

fn a_transaction_reads_its_own_writes(engine: &dyn KvBackend) {
    let mut map = numbers(9);
    fill(engine, &map);
    let mut write = engine
        .begin_write(Durability::Eventual)
        .expect("a transaction begins");
    let what = "a transaction reads what is stored and what it has written itself";
    assert_shows(&*write, &map, what);
    for (id, value) in [("0003", &b"other"[..]), ("00035", b""), ("a", b"last")] {
        write.put(&key(id), value).expect("put is taken");
        map.insert(key(id), value.to_vec());
    }
    for id in ["0000", "0008", "missing"] {
        write.delete(&key(id)).expect("delete is taken");
        map.remove(&key(id));
    }
    assert_shows(&*write, &map, what);
    write
        .delete_range(&key("0004")..&key("0007"))
        .expect("a range is removed");
    map.retain(|it, _| *it < key("0004") || *it >= key("0007"));
    write.put(&key("0005"), b"again").expect("put is taken");
    map.insert(key("0005"), b"again".to_vec());
    assert_shows(&*write, &map, what);
    write.commit().expect("the transaction is taken");
    let snapshot = engine.snapshot().expect("a snapshot");
    assert_shows(
        &*snapshot,
        &map,
        "a snapshot shows what was committed before it",
    );
}

fn what_is_dropped_is_not_done(engine: &dyn KvBackend) {
    let map = numbers(3);
    fill(engine, &map);
    let mut write = engine
        .begin_write(Durability::Immediate)
        .expect("a transaction begins");
    write.put(&key("new"), b"1").expect("put is taken");
    write.delete(&key("0001")).expect("delete is taken");
    drop(write);
    let snapshot = engine.snapshot().expect("a snapshot");
    assert_shows(
        &*snapshot,
        &map,
        "nothing of a transaction that is dropped has happened (KvWrite)",
    );
}

fn entries_come_in_order_from_both_ends(engine: &dyn KvBackend) {
    let map = numbers(700);
    fill(engine, &map);
    let what = "a range holds its start and not its end";
    let snapshot = engine.snapshot().expect("a snapshot");
    // Around the sizes of pages that engines read.
    for (start, end) in [
        (0, 700),
        (0, 64),
        (0, 65),
        (1, 256),
        (3, 260),
        (500, 501),
        (9, 9),
        (20, 10),
        (690, 999),
    ] {
        let (start, end) = (key(&format!("{start:04}")), key(&format!("{end:04}")));
        for direction in [Direction::Ascending, Direction::Descending] {
            assert_range(&*snapshot, &map, &start..&end, direction, what);
        }
    }
}

fn limits_are_kept(engine: &dyn KvBackend) {
    let limits = engine.limits();
    let start = key("");
    if limits.longest_key < 1 << 16 {
        let longest = [&start[..], &vec![b'k'; limits.longest_key - start.len()]].concat();
        fill(engine, &Map::from([(longest.clone(), b"1".to_vec())]));
        let snapshot = engine.snapshot().expect("a snapshot");
        let found = snapshot.copy_of(&longest).expect("get answers");
        assert_eq!(
            found,
            Some(b"1".to_vec()),
            "the longest key is taken (Limits::longest_key)"
        );
        drop(snapshot);
        is_refused(
            engine,
            &[&longest[..], b"k"].concat(),
            b"",
            "a longer key (Limits::longest_key)",
        );
    }
    if limits.longest_value < 1 << 26 {
        let value = vec![7; limits.longest_value];
        fill(engine, &Map::from([(key("a"), value.clone())]));
        is_refused(
            engine,
            &key("b"),
            &[&value[..], &[7]].concat(),
            "a longer value (Limits::longest_value)",
        );
    }
}

fn is_refused(engine: &dyn KvBackend, key: &[u8], value: &[u8], what: &str) {
    let mut write = engine
        .begin_write(Durability::Eventual)
        .expect("a transaction begins");
    let put = write.put(key, value).and_then(|()| write.commit());
    let error = put
        .err()
        .unwrap_or_else(|| panic!("{what} is refused in a sentence"));
    assert_eq!(
        error.kind(),
        StoreErrorKind::Unsupported,
        "{what} is refused as unsupported: {error}"
    );
}

/// A commit of another thread does not show in a snapshot that was taken before it. An engine that holds commits off as long as a snapshot is held is
/// as good.
#[cfg(not(synctable_single_threaded))]
fn a_snapshot_stays_as_it_was(engine: &dyn KvBackend) {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    let (rounds, turns) = HELD;
    let (before, after) = (numbers(20), numbers(40));
    let after: Map = after
        .into_iter()
        .skip(10)
        .map(|(key, _)| (key, b"new".to_vec()))
        .collect();
    for _ in 0..rounds {
        fill(engine, &before);
        let snapshot = engine.snapshot().expect("a snapshot");
        let is_done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                fill(engine, &after);
                is_done.store(true, Ordering::Release);
            });
            for _ in 0..turns {
                if is_done.load(Ordering::Acquire) {
                    break;
                }
                thread::yield_now();
            }
            let what = "a snapshot shows the same as long as it is held, whoever commits (KvBackend::snapshot)";
            assert_shows(&*snapshot, &before, what);
            drop(snapshot);
        });
        let snapshot = engine.snapshot().expect("a snapshot");
        assert_shows(
            &*snapshot,
            &after,
            "a new snapshot shows what was committed before it",
        );
    }
}

/// Threads read a number, let others run, and write the next one: none may be lost.
#[cfg(not(synctable_single_threaded))]
fn one_writes_at_a_time(engine: &dyn KvBackend) {
    use std::thread;
    const THREADS: usize = 4;
    clear(engine);
    let number = |read: &dyn KvRead| {
        let found = read.copy_of(&key("n")).expect("get answers");
        found.map_or(0, |bytes| {
            String::from_utf8_lossy(&bytes)
                .parse::<usize>()
                .expect("a number")
        })
    };
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..INCREMENTS {
                    let mut write = engine
                        .begin_write(Durability::Eventual)
                        .expect("a transaction begins");
                    let next = number(&*write) + 1;
                    thread::yield_now();
                    write
                        .put(&key("n"), next.to_string().as_bytes())
                        .expect("put is taken");
                    write.commit().expect("the transaction is taken");
                }
            });
        }
    });
    let snapshot = engine.snapshot().expect("a snapshot");
    assert_eq!(
        number(&*snapshot),
        THREADS * INCREMENTS,
        "no other handle writes between what a transaction reads and its commit (KvBackend::begin_write)"
    );
}
