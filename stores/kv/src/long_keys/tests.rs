use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::{Bound, Range};

use proptest::collection::vec;
use proptest::prelude::*;
use synctable_core::query::Direction;
use synctable_core::store::StoreError;

use super::layout::{First, Layout, place, unwrap, wrap};
use super::{HELD, Laid, Sorted, Writing};
use crate::backend::Limits;
use crate::bytes::Bytes;
use crate::read::{KvEntries, KvRead, KvReadExt, KvWrite};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

const LONGEST: usize = 14;

/// A map that takes keys of 1 to 14 bytes, and neither a longer key nor a longer end of a range.
#[derive(Debug, Default)]
struct Short {
    map: Map,
    reads: RefCell<usize>,
}

fn fits(key: &[u8]) -> &[u8] {
    assert!(key.len() <= LONGEST, "{} bytes", key.len());
    key
}

impl KvRead for Short {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes<'_>>, StoreError> {
        let found = self.map.get(fits(key));
        Ok(found.map(|value| value.as_slice().into()))
    }

    fn entries(&self, keys: Range<&[u8]>, direction: Direction) -> KvEntries<'_> {
        let bounds = (
            Bound::Included(fits(keys.start)),
            Bound::Excluded(fits(keys.end)),
        );
        if keys.start >= keys.end {
            return Box::new(std::iter::empty());
        }
        let range = self.map.range::<[u8], _>(bounds);
        let entries = range.map(|(key, value)| {
            *self.reads.borrow_mut() += 1;
            Ok((key.as_slice().into(), value.as_slice().into()))
        });
        match direction {
            Direction::Ascending => Box::new(entries),
            Direction::Descending => Box::new(entries.rev()),
        }
    }
}

impl KvWrite for Short {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        assert!(!key.is_empty());
        self.map.insert(fits(key).to_vec(), value.to_vec());
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), StoreError> {
        self.map.remove(fits(key));
        Ok(())
    }

    fn commit(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }
}

fn limits() -> Limits {
    Limits::default().with_longest_key(LONGEST)
}

fn writing() -> Writing<'static> {
    let (layout, limits) = (Layout::of(limits()), limits());
    let read: Box<dyn KvWrite> = Box::<Short>::default();
    let laid = Laid { layout, read };
    Writing { laid, limits }
}

/// Keys that share many prefixes of four bytes, the most and the least bytes among them.
fn key() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(0_u8), Just(7), Just(8), Just(255)];
    prop_oneof![
        vec(byte.clone(), 1..7),
        vec(byte, 0..4).prop_map(|rest| [&[7; 4][..], &rest].concat()),
        (0..40_u8).prop_map(|n| [&[255; 4][..], &[n; 30]].concat()),
    ]
}

#[derive(Debug, Clone)]
enum Step {
    Put(Vec<u8>, u8),
    Delete(Vec<u8>),
    DeleteRange(Vec<u8>, Vec<u8>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (key(), any::<u8>()).prop_map(|(key, value)| Step::Put(key, value)),
        3 => key().prop_map(Step::Delete),
        1 => (key(), key()).prop_map(|(start, end)| Step::DeleteRange(start, end)),
    ]
}

fn in_range(map: &Map, start: &[u8], end: &[u8], direction: Direction) -> Vec<(Vec<u8>, Vec<u8>)> {
    let within = map
        .iter()
        .filter(|(key, _)| start <= key.as_slice() && key.as_slice() < end);
    let owned = |(key, value): (&Vec<u8>, &Vec<u8>)| (key.clone(), value.clone());
    match direction {
        Direction::Ascending => within.map(owned).collect(),
        Direction::Descending => within.rev().map(owned).collect(),
    }
}

proptest! {
    /// Whatever is written: the layer is a sorted map, at every key and in every range, with any bound on what it holds.
    #[test]
    fn long_keys_are_a_sorted_map(
        steps in vec(step(), 0..60),
        ranges in vec((prop_oneof![key(), Just(Vec::new())], key()), 1..6),
        most in 1..5_usize,
    ) {
        let (mut layer, mut map) = (writing(), Map::new());
        for step in steps {
            match step {
                Step::Put(key, value) => {
                    layer.put(&key, &[value]).unwrap();
                    map.insert(key, vec![value]);
                }
                Step::Delete(key) => {
                    layer.delete(&key).unwrap();
                    map.remove(&key);
                }
                Step::DeleteRange(start, end) => {
                    layer.delete_range(&start..&end).unwrap();
                    map.retain(|key, _| *key < start || *key >= end);
                }
            }
        }
        for (key, value) in &map {
            prop_assert_eq!(layer.copy_of(key).unwrap(), Some(value.clone()));
        }
        for (start, end) in ranges {
            prop_assert_eq!(layer.copy_of(&end).unwrap(), map.get(&end).cloned());
            for direction in [Direction::Ascending, Direction::Descending] {
                let sorted = Sorted::new(&layer.laid, &start..&end, direction, most);
                let found: Vec<_> = sorted
                    .map(Result::unwrap)
                    .map(|(key, value)| (key.into_vec(), value.into_vec()))
                    .collect();
                prop_assert_eq!(found, in_range(&map, &start, &end, direction));
            }
        }
    }

    #[test]
    fn parts_survive(key in vec(any::<u8>(), 0..20), value in vec(any::<u8>(), 0..20)) {
        let stored = wrap(&key, &value);
        prop_assert_eq!(unwrap(&stored), Some((&key[..], &value[..])));
    }

    #[test]
    fn any_bytes_are_parted_or_refused(bytes in vec(any::<u8>(), 0..30)) {
        let _ = unwrap(&bytes);
    }
}

/// Keys of equal hash have places of their own, and go one by one. The hash is a fact of the disk: its values are fixed.
#[test]
fn keys_that_meet_stay_apart() {
    let lies = place(b"abcd", b"foobar", 3);
    assert_eq!(
        lies,
        [
            &b"abcd"[..],
            &0x8594_4171_f739_67e8_u64.to_be_bytes(),
            &[0, 3]
        ]
        .concat()
    );
    let mut layer = writing();
    // What is in the way of a key in its first and third place.
    for (number, key) in [(0, &b"abcd-one"[..]), (2, b"abcd-two")] {
        let lies = place(b"abcd", b"abcd-new", number);
        layer.laid.read.put(&lies, &wrap(key, b"old")).unwrap();
    }
    layer.put(b"abcd-new", b"1").unwrap();
    layer.put(b"abcd-new", b"2").unwrap();
    assert_eq!(layer.copy_of(b"abcd-new").unwrap(), Some(b"2".to_vec()));
    let all = layer.scan(b"a"..b"b", 9).unwrap();
    let keys: Vec<_> = all.iter().map(|(key, _)| key.as_slice()).collect();
    assert_eq!(keys, [&b"abcd-new"[..], b"abcd-one", b"abcd-two"]);
    layer.delete(b"abcd-new").unwrap();
    assert_eq!(layer.scan(b"a"..b"b", 9).unwrap().len(), 2);
}

/// 100,000 keys with one prefix: all come in order, and no more than the bound are held.
#[test]
fn a_large_group_takes_bounded_memory() {
    let mut first = First::new(Direction::Ascending, HELD);
    for n in 0..100_000_u32 {
        // In no order.
        let key = n.wrapping_mul(2_654_435_761).to_be_bytes();
        first.show(&key, b"");
        assert!(first.len() <= HELD);
    }
    let mut layer = writing();
    for n in 0..100_000_u32 {
        let key = [b"abcd", &n.to_be_bytes()[..]].concat();
        layer.put(&key, b"").unwrap();
    }
    let number = |key: &[u8]| u32::from_be_bytes(key[4..].try_into().unwrap());
    let up = layer.entries(b"a"..b"b", Direction::Ascending);
    assert!(up.map(|entry| number(&entry.unwrap().0)).eq(0..100_000));
    let start = [b"abcd", &70_000_u32.to_be_bytes()[..]].concat();
    let down = layer
        .entries(b"a"..&start, Direction::Descending)
        .take(5000);
    assert!(
        down.map(|entry| number(&entry.unwrap().0))
            .eq((65_000..70_000).rev())
    );
    layer.delete_range(b"a"..b"b").unwrap();
    assert!(layer.is_vacant(b"a"..b"b").unwrap());
}

/// A page that ends within a group reads the group once.
#[test]
fn a_page_reads_its_group_once() {
    let (layout, mut short) = (Layout::of(limits()), Short::default());
    for n in 0..1000_u32 {
        let key = [b"abcd", &n.to_be_bytes()[..]].concat();
        short
            .put(&place(b"abcd", &key, 0), &wrap(&key, b""))
            .unwrap();
    }
    let laid = Laid {
        layout,
        read: Box::new(short),
    };
    let page = laid.entries(b"abcd"..b"b", Direction::Ascending).take(50);
    assert_eq!(page.count(), 50);
    let reads = *laid.read.reads.borrow();
    assert!(reads <= 1002, "{reads}");
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut layer = writing();
    layer.limits = limits().with_longest_value(20);
    assert!(layer.put(b"abc", &[0; 20]).is_ok());
    let error = layer.put(b"abc", &[0; 21]).unwrap_err();
    assert!(error.to_string().contains("21 bytes"), "{error}");
    assert!(layer.put(b"abcdefgh", &[0; 4]).is_ok());
    assert!(
        layer.put(b"abcdefgh", &[0; 5]).is_err(),
        "the key counts, too"
    );
}
