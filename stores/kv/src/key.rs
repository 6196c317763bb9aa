//! The layout of keys: pure functions, the order of keys being the order of ids, and of values in an index.
//!
//! The first byte says what is stored; names of tables and indexes end with a zero byte, which cannot occur in them.

use std::ops::Range;

use synctable_core::{RecordId, TableName};

use crate::values;

const FORMAT: u8 = 0;
const TABLE: u8 = 1;
const RECORD: u8 = 2;
const INDEX: u8 = 3;
const STATE: u8 = 4;
const NOTES: u8 = 5;

/// What the key of an entry names. Keys of one table's records are neighbours, in the order of their ids; those of one
/// index are neighbours in the order of its values, then of the ids.
///
/// ```
/// use synctable_kv::Key;
/// let key = Key::Record { table: "todo", id: "a" };
/// assert_eq!(Key::decode(&key.encode()), Some(key));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key<'a> {
    /// The format of the store.
    Format,
    /// The declaration of a table.
    Table(&'a str),
    /// A record.
    Record {
        /// The name of its table.
        table: &'a str,
        /// Its id.
        id: &'a str,
    },
    /// A record's entry in an index.
    Index {
        /// The name of its table.
        table: &'a str,
        /// The fields of the index, joined by `/`.
        index: &'a str,
        /// The record's values of these fields, as bytes that sort like them and tell where they end.
        values: &'a [u8],
        /// The record's id.
        id: &'a str,
    },
    /// How far an index is built.
    IndexState {
        /// The name of its table.
        table: &'a str,
        /// The fields of the index, joined by `/`.
        index: &'a str,
    },
    /// What the processes that have one engine open note for each other.
    Notes(&'a [u8]),
}

impl<'a> Key<'a> {
    /// The key of a record.
    pub fn record(table: &'a TableName, id: &'a RecordId) -> Self {
        Self::Record {
            table: table.as_str(),
            id: id.as_str(),
        }
    }

    /// The key as bytes.
    pub fn encode(self) -> Vec<u8> {
        match self {
            Self::Format => vec![FORMAT],
            Self::Table(table) => [&[TABLE], table.as_bytes()].concat(),
            Self::Record { table, id } => {
                [&[RECORD], table.as_bytes(), &[0], id.as_bytes()].concat()
            }
            Self::Index {
                table,
                index,
                values,
                id,
            } => [
                index_start(table, index, 0).as_slice(),
                values,
                id.as_bytes(),
            ]
            .concat(),
            Self::IndexState { table, index } => {
                [&[STATE], table.as_bytes(), &[0], index.as_bytes()].concat()
            }
            Self::Notes(notes) => [&[NOTES], notes].concat(),
        }
    }

    /// What `bytes` name; `None` if no key is encoded so.
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (&tag, rest) = bytes.split_first()?;
        let text = |bytes: &'a [u8]| std::str::from_utf8(bytes).ok();
        match tag {
            FORMAT => rest.is_empty().then_some(Self::Format),
            TABLE => Some(Self::Table(text(rest)?)),
            RECORD => {
                let (table, id) = text(rest)?.split_once('\0')?;
                Some(Self::Record { table, id })
            }
            INDEX => {
                let (table, rest) = name(rest)?;
                let (index, rest) = name(rest)?;
                let (values, id) = rest.split_at_checked(values::length(rest)?)?;
                Some(Self::Index {
                    table,
                    index,
                    values,
                    id: text(id)?,
                })
            }
            STATE => {
                let (table, index) = text(rest)?.split_once('\0')?;
                Some(Self::IndexState { table, index })
            }
            NOTES => Some(Self::Notes(rest)),
            _ => None,
        }
    }

    /// The table, index and values of which all entries in `keys` are; `None` where the range may hold others.
    ///
    /// ```
    /// use synctable_kv::Key;
    /// assert_eq!(Key::one_value(&(&[2, b't', 0][..]..&[2, b't', 1][..])), None);
    /// ```
    pub fn one_value(keys: &Range<&'a [u8]>) -> Option<(&'a str, &'a str, &'a [u8])> {
        let Self::Index {
            table,
            index,
            values,
            ..
        } = Self::decode(keys.start)?
        else {
            return None;
        };
        let all = same_values(table, index, values);
        (keys.end <= all.end.as_slice()).then_some((table, index, values))
    }
}

/// A name that ends with a zero byte, and what follows.
fn name(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    let (name, rest) = bytes.split_at_checked(end)?;
    Some((std::str::from_utf8(name).ok()?, rest.get(1..)?))
}

/// All keys that a store can have.
pub(crate) const EVERYTHING: Range<&[u8]> = &[]..&[u8::MAX; 64];

pub(crate) fn index_start(table: &str, index: &str, end: u8) -> Vec<u8> {
    [&[INDEX], table.as_bytes(), &[0], index.as_bytes(), &[end]].concat()
}

/// The keys of all declarations.
pub(crate) fn all_tables() -> Range<Vec<u8>> {
    vec![TABLE]..vec![TABLE + 1]
}

/// The keys of all states of indexes.
pub(crate) fn all_states() -> Range<Vec<u8>> {
    vec![STATE]..vec![STATE + 1]
}

/// The keys of all records of a table.
pub(crate) fn all_records(table: &TableName) -> Range<Vec<u8>> {
    let bound = |end: u8| [&[RECORD], table.as_str().as_bytes(), &[end]].concat();
    bound(0)..bound(1)
}

/// The keys of all entries of an index.
pub(crate) fn all_entries(table: &str, index: &str) -> Range<Vec<u8>> {
    index_start(table, index, 0)..index_start(table, index, 1)
}

/// The keys of all entries of an index with these values, whole ones.
pub(crate) fn same_values(table: &str, index: &str, values: &[u8]) -> Range<Vec<u8>> {
    let start = [index_start(table, index, 0).as_slice(), values].concat();
    let end = successor(start.clone());
    start..end
}

/// The first bytes that sort behind everything that starts with `prefix`.
pub(crate) fn successor(mut prefix: Vec<u8>) -> Vec<u8> {
    while prefix.pop_if(|last| *last == u8::MAX).is_some() {}
    if let Some(last) = prefix.last_mut() {
        *last += 1;
    }
    prefix
}

/// The first key that sorts behind `key`.
pub(crate) fn behind(mut key: Vec<u8>) -> Vec<u8> {
    key.push(0);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn successors_are_behind_everything_that_starts_alike() {
        assert_eq!(successor(vec![1, 2]), [1, 3]);
        assert_eq!(successor(vec![1, 0xff, 0xff]), [2]);
    }
    use proptest::prelude::*;
    use synctable_core::query::SortValue;

    fn table() -> impl Strategy<Value = TableName> {
        "(__)?[a-c][a-c_0]{0,3}".prop_map(|text| TableName::stored(&text).unwrap())
    }

    fn id() -> impl Strategy<Value = RecordId> {
        prop_oneof![".{0,6}", "[\0a\u{ff}]{0,4}"].prop_map(|text| RecordId::system(&text))
    }

    proptest! {
        #[test]
        fn keys_decode_to_what_was_encoded(table in table(), id in id()) {
            let (table, id) = (table.as_str(), id.as_str());
            let values = &values::encode([&SortValue::Text("a\0".into()), &SortValue::Int(1)]);
            let index = "a/b";
            for key in [
                Key::Format,
                Key::Table(table),
                Key::Record { table, id },
                Key::Index { table, index, values, id },
                Key::IndexState { table, index },
                Key::Notes(values),
            ] {
                let bytes = key.encode();
                prop_assert_eq!(Key::decode(&bytes), Some(key));
            }
        }

        #[test]
        fn keys_of_a_table_sort_like_its_ids(table in table(), a in id(), b in id()) {
            let (left, right) = (Key::record(&table, &a).encode(), Key::record(&table, &b).encode());
            prop_assert_eq!(left.cmp(&right), a.as_str().cmp(b.as_str()));
            prop_assert_eq!(left < right, behind(left) <= right);
        }

        #[test]
        fn tables_do_not_overlap(a in table(), b in table(), id in id()) {
            let key = Key::record(&a, &id).encode();
            prop_assert_eq!(all_records(&b).contains(&key), a == b);
            prop_assert!(!all_tables().contains(&key));
            prop_assert!(all_tables().contains(&Key::Table(a.as_str()).encode()));
        }

        #[test]
        fn one_value_is_told_from_several(id in id(), other in id()) {
            let values = [1, 2].map(|n| values::encode([&SortValue::Int(n)]));
            let key = |values: &[u8], id: &RecordId| {
                Key::Index { table: "t", index: "a", values, id: id.as_str() }.encode()
            };
            let one = same_values("t", "a", &values[0]);
            prop_assert!(one.contains(&key(&values[0], &id)));
            prop_assert!(!one.contains(&key(&values[1], &id)));
            prop_assert!(all_entries("t", "a").contains(&key(&values[1], &id)));
            let start = behind(key(&values[0], &other));
            let found = Some(("t", "a", values[0].as_slice()));
            prop_assert_eq!(Key::one_value(&(&start..&one.end)), found);
            prop_assert_eq!(Key::one_value(&(&one.start..&one.end)), found);
            let all = all_entries("t", "a");
            prop_assert_eq!(Key::one_value(&(&one.start..&all.end)), None);
            prop_assert_eq!(Key::one_value(&(&all.start..&all.end)), None);
        }

        #[test]
        fn any_bytes_decode_or_are_refused(bytes in proptest::collection::vec(0..6u8, 0..9)) {
            if let Some(key) = Key::decode(&bytes) {
                prop_assert_eq!(key.encode(), bytes);
            }
        }
    }
}
