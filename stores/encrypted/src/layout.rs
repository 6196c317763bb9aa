//! Where an entry lies in the engine, and what its blob holds: pure functions.

use std::ops::Range;

use synctable_core::store::StoreError;
use synctable_kv::Key;
use zeroize::Zeroizing;

use crate::cipher::{Aad, EpochKeys, Kind, blob_epoch, push_field, tampered};
use crate::derive::StoreId;
use crate::header::KeyRing;

/// The header; where a store that is not sealed says its format.
pub(crate) const HEADER: &[u8] = &[0];
/// The manifest.
pub(crate) const MANIFEST: &[u8] = &[0, 1];
const ENTRY: u8 = 1;
const INDEX_ENTRY: u8 = 2;
/// All that the engine holds in entries.
pub(crate) const ENTRIES: Range<&[u8]> = &[ENTRY]..&[INDEX_ENTRY + 1];

/// A place begins with this many bytes: kind and epoch.
const EPOCH_END: usize = 5;
const TOKEN: usize = 16;

/// What a plain key belongs to: entries of one group are neighbours in the engine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Group(Vec<u8>);

impl Group {
    /// The group of a plain key.
    pub(crate) fn of(plain: &[u8]) -> Self {
        match Key::decode(plain) {
            Some(Key::Format) => Self::new(1, &[]),
            Some(Key::Table(_)) => Self::new(2, &[]),
            Some(Key::Record { table, .. }) => Self::new(3, &[table]),
            Some(Key::Index { table, index, .. }) => Self::new(4, &[table, index]),
            _ => Self::new(0, &[]),
        }
    }

    /// The group of which all keys in a range are; `None` where it may hold keys of several.
    pub(crate) fn of_range(keys: &Range<&[u8]>) -> Option<Self> {
        if let Some((table, index, _)) = Key::one_value(keys) {
            return Some(Self::new(4, &[table, index]));
        }
        Self::around(keys).map(|(group, _)| group)
    }

    /// The group whose keys are all those in a range, and no others.
    pub(crate) fn all_of(keys: &Range<&[u8]>) -> Option<Self> {
        let (group, all) = Self::around(keys)?;
        let is_all = all.start == keys.start && all.end == keys.end;
        // What has no group of its own may lie elsewhere, too.
        (is_all && group.kind() != Some(0)).then_some(group)
    }

    fn kind(&self) -> Option<u8> {
        self.0.get(b"group".len()).copied()
    }

    /// The group that a range lies in, and the range of all its keys.
    fn around(keys: &Range<&[u8]>) -> Option<(Self, Range<Vec<u8>>)> {
        let (&tag, rest) = keys.start.split_first()?;
        // The keys of a group share a beginning whose last byte is zero, but for the declarations of tables.
        let (names, kind) = match tag {
            1 => (0, 2),
            2 => (1, 3),
            3 => (2, 4),
            // How far indexes are built.
            4 => (0, 0),
            _ => return None,
        };
        let mut texts = Vec::new();
        let mut length = 1;
        for part in rest.split(|byte| *byte == 0).take(names) {
            texts.push(std::str::from_utf8(part).ok()?);
            length += part.len() + 1;
        }
        let start = keys.start.get(..length)?;
        let ends = match start.split_last()? {
            (&0, before) if names > 0 => [before, &[1]].concat(),
            (&last, before) if names == 0 => [before, &[last + 1]].concat(),
            _ => return None,
        };
        (keys.end <= ends.as_slice()).then(|| (Self::new(kind, &texts), start.to_vec()..ends))
    }

    fn new(kind: u8, names: &[&str]) -> Self {
        let mut text = b"group".to_vec();
        text.push(kind);
        for name in names {
            push_field(&mut text, name.as_bytes());
        }
        Self(text)
    }

    fn token(&self, keys: &EpochKeys) -> [u8; TOKEN] {
        keys.name_token(&self.0)
    }

    /// Stands for values of an index: equal values of two indexes stay apart.
    fn value_token(&self, keys: &EpochKeys, values: &[u8]) -> [u8; TOKEN] {
        let mut text = self.0.clone();
        push_field(&mut text, values);
        keys.index_token(&text)
    }
}

/// Whether index entries with equal values are neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) equality: bool,
}

impl Layout {
    /// Where the entry of a plain key lies in an epoch.
    pub(crate) fn physical(self, keys: &EpochKeys, plain: &[u8]) -> Vec<u8> {
        let group = Group::of(plain);
        let (token, name) = (group.token(keys), keys.name_token(plain));
        match Key::decode(plain) {
            Some(Key::Index { values, .. }) if self.equality => {
                let value = group.value_token(keys, values);
                start(INDEX_ENTRY, keys, &[&token, &value, &name])
            }
            _ => start(ENTRY, keys, &[&token, &name]),
        }
    }

    /// All places of a group in an epoch.
    pub(crate) fn group(self, keys: &EpochKeys, group: &Group) -> Range<Vec<u8>> {
        // The texts of groups of indexes are those of kind 4.
        let indexes = group.kind() == Some(4);
        let kind = if indexes && self.equality {
            INDEX_ENTRY
        } else {
            ENTRY
        };
        all_behind(start(kind, keys, &[&group.token(keys)]))
    }

    /// All places of index entries with these values in an epoch, where they are neighbours.
    pub(crate) fn same_values(
        self,
        keys: &EpochKeys,
        range: &Range<&[u8]>,
    ) -> Option<Range<Vec<u8>>> {
        let (_, _, values) = Key::one_value(range).filter(|_| self.equality)?;
        let group = Group::of_range(range)?;
        let value = group.value_token(keys, values);
        let tokens = [&group.token(keys), &value];
        Some(all_behind(start(INDEX_ENTRY, keys, &tokens)))
    }
}

/// All places of an epoch: plain entries, then those of indexes.
pub(crate) fn epoch(keys: &EpochKeys) -> [Range<Vec<u8>>; 2] {
    [ENTRY, INDEX_ENTRY].map(|kind| all_behind(start(kind, keys, &[])))
}

fn start(kind: u8, keys: &EpochKeys, tokens: &[&[u8; TOKEN]]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(EPOCH_END + tokens.len() * TOKEN);
    bytes.push(kind);
    bytes.extend_from_slice(&keys.epoch().to_be_bytes());
    for token in tokens {
        bytes.extend_from_slice(*token);
    }
    bytes
}

/// Everything that begins with `prefix`.
fn all_behind(prefix: Vec<u8>) -> Range<Vec<u8>> {
    let mut end = prefix.clone();
    // The first byte of a place is never 255, so there is always something to count up.
    while end.last() == Some(&u8::MAX) {
        end.pop();
    }
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    prefix..end
}

/// What is sealed for a plain key and its value.
pub(crate) fn text(plain: &[u8], value: &[u8]) -> Zeroizing<Vec<u8>> {
    let length = padded(plain.len() + value.len() + 8);
    let mut text = Zeroizing::new(Vec::with_capacity(length));
    push_field(&mut text, plain);
    push_field(&mut text, value);
    text.resize(length, 0);
    text
}

/// The plain key and the value in an opened text.
pub(crate) fn parts(text: &[u8]) -> Result<(&[u8], &[u8]), StoreError> {
    let (plain, rest) = field(text).ok_or_else(tampered)?;
    let (value, _) = field(rest).ok_or_else(tampered)?;
    Ok((plain, value))
}

/// Opens an entry under the keys of its epoch, whatever that is, and compares its place with the one where it belongs. Gives
/// these keys.
pub(crate) fn open_at_its_place<'r>(
    layout: Layout,
    ring: &'r KeyRing,
    store_id: &StoreId,
    physical: &[u8],
    blob: &[u8],
) -> Result<&'r EpochKeys, StoreError> {
    let keys = ring.of(blob_epoch(blob)?).ok_or_else(tampered)?;
    let aad = Aad {
        store_id,
        kind: Kind::Entry,
        physical,
        epoch: keys.epoch(),
    };
    let text = keys.open(&aad, blob)?;
    let (plain, _) = parts(&text)?;
    if layout.physical(keys, plain) == physical {
        return Ok(keys);
    }
    Err(tampered())
}

fn field(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = text.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

/// The padded length: steps of an eighth from 64 on.
fn padded(length: usize) -> usize {
    let mut step = 64;
    while step < length {
        step += step / 8;
    }
    step
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::derive::StoreId;
    use crate::key::RawKey;

    fn keys() -> EpochKeys {
        EpochKeys::derive(1, &RawKey::from_bytes([7; 32]), &StoreId([1; 16])).unwrap()
    }

    /// The bytes of an integer as an index holds it, here without meaning.
    const VALUES: &[u8] = &[0x10, 0x01];

    fn plain() -> impl Strategy<Value = Vec<u8>> {
        let name = || prop_oneof![Just("a"), Just("ab"), Just("b")];
        prop_oneof![
            Just(Key::Format.encode()),
            name().prop_map(|table| Key::Table(table).encode()),
            (name(), "[a\0\u{ff}]{0,3}")
                .prop_map(|(table, id)| Key::Record { table, id: &id }.encode()),
            (name(), name(), "[a-c]{0,2}").prop_map(|(table, index, id)| {
                let values = VALUES;
                Key::Index {
                    table,
                    index,
                    values,
                    id: &id,
                }
                .encode()
            }),
            (name(), name()).prop_map(|(table, index)| Key::IndexState { table, index }.encode()),
        ]
    }

    proptest! {
        #[test]
        fn a_place_lies_in_the_range_of_its_group(plain in plain(), equality: bool) {
            let (layout, keys) = (Layout { equality }, keys());
            let place = layout.physical(&keys, &plain);
            prop_assert!(layout.group(&keys, &Group::of(&plain)).contains(&place));
            prop_assert!(epoch(&keys).iter().any(|range| range.contains(&place)));
            prop_assert_eq!(&place[1..EPOCH_END], 1_u32.to_be_bytes());
            prop_assert!((ENTRIES.start..ENTRIES.end).contains(&place.as_slice()));
        }

        #[test]
        fn a_range_of_one_group_holds_no_key_of_another(a in plain(), b in plain(), c in plain()) {
            let range = a.as_slice()..b.as_slice();
            if let Some(group) = Group::of_range(&range) && range.contains(&c.as_slice()) {
                prop_assert_eq!(group, Group::of(&c));
            }
        }

        #[test]
        fn texts_are_read_back(plain in vec(any::<u8>(), 0..90), value in vec(any::<u8>(), 0..90)) {
            let text = text(&plain, &value);
            prop_assert_eq!(parts(&text).unwrap(), (plain.as_slice(), value.as_slice()));
            prop_assert_eq!(text.len(), padded(text.len()));
            prop_assert!(text.len() <= 64.max((plain.len() + value.len() + 8) * 9 / 8));
        }

        #[test]
        fn any_text_is_read_or_refused(text in vec(0..9_u8, 0..20)) {
            let _ = parts(&text);
        }
    }

    #[test]
    fn the_ranges_that_stores_scan_have_a_group() {
        for (start, end, group) in [
            (&[1][..], &[2][..], Group::new(2, &[])),
            (b"\x02t\0", b"\x02t\x01", Group::new(3, &["t"])),
            (b"\x02t\0abc\0", b"\x02t\x01", Group::new(3, &["t"])),
            (
                b"\x03t\0a/b\0",
                b"\x03t\0a/b\x01",
                Group::new(4, &["t", "a/b"]),
            ),
            (
                b"\x03t\0a\0\x10",
                b"\x03t\0a\0\x11",
                Group::new(4, &["t", "a"]),
            ),
            (&[4], &[5], Group::new(0, &[])),
        ] {
            assert_eq!(Group::of_range(&(start..end)), Some(group), "{start:?}");
        }
        assert_eq!(Group::of_range(&(&[][..]..&[255][..])), None);
        assert_eq!(
            Group::of_range(&(b"\x02t\0".as_slice()..b"\x02u\x01".as_slice())),
            None
        );
    }

    #[test]
    fn what_is_cleared_as_a_whole_is_all_of_a_group_that_has_its_own_keys() {
        for (start, end, is_all) in [
            (b"\x02t\0".as_slice(), b"\x02t\x01".as_slice(), true),
            (b"\x03t\0a\0", b"\x03t\0a\x01", true),
            (b"\x02t\0a", b"\x02t\x01", false),
            (b"\x02t\0", b"\x02t\0b", false),
            (b"\x03t\0a\0\x10", b"\x03t\0a\0\x11", false),
            (&[4], &[5], false),
            (&[], &[255], false),
        ] {
            let range = start..end;
            let group = is_all.then(|| Group::of_range(&range).unwrap());
            assert_eq!(Group::all_of(&range), group, "{range:?}");
        }
    }

    #[test]
    fn equal_values_are_neighbours_only_where_that_was_chosen() {
        let keys = keys();
        let entry = |id: &str| {
            Key::Index {
                table: "t",
                index: "a",
                values: VALUES,
                id,
            }
            .encode()
        };
        let (a, b) = (entry("a"), entry("b"));
        let mut end = entry("");
        *end.last_mut().unwrap() += 1;
        let range = a.as_slice()..end.as_slice();
        let shown = Layout { equality: true };
        let places = shown.same_values(&keys, &range).unwrap();
        assert!(
            [a.clone(), b]
                .iter()
                .all(|plain| places.contains(&shown.physical(&keys, plain)))
        );
        assert_eq!(Layout { equality: false }.same_values(&keys, &range), None);
    }
}
