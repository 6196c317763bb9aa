//! The layout of keys: pure functions, the order of keys being the order of ids.
//!
//! The first byte says what is stored; table names end with a zero byte, which cannot occur in them.

use std::ops::Range;

use synctable_core::{RecordId, TableName};

const FORMAT: u8 = 0;
const TABLE: u8 = 1;
const RECORD: u8 = 2;

/// What the key of an entry names. Keys of one table's records are neighbours, in the order of their ids.
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
        }
    }

    /// What `bytes` name; `None` if no key is encoded so.
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (&tag, rest) = bytes.split_first()?;
        let text = std::str::from_utf8(rest).ok()?;
        match tag {
            FORMAT => text.is_empty().then_some(Self::Format),
            TABLE => Some(Self::Table(text)),
            RECORD => {
                let (table, id) = text.split_once('\0')?;
                Some(Self::Record { table, id })
            }
            _ => None,
        }
    }
}

/// The keys of all declarations.
pub(crate) fn all_tables() -> Range<Vec<u8>> {
    vec![TABLE]..vec![TABLE + 1]
}

/// The keys of all records of a table.
pub(crate) fn all_records(table: &TableName) -> Range<Vec<u8>> {
    let bound = |end: u8| [&[RECORD], table.as_str().as_bytes(), &[end]].concat();
    bound(0)..bound(1)
}

/// The first key that sorts behind `key`.
pub(crate) fn behind(mut key: Vec<u8>) -> Vec<u8> {
    key.push(0);
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table() -> impl Strategy<Value = TableName> {
        "(__)?[a-c][a-c_0]{0,3}".prop_map(|text| TableName::stored(&text).unwrap())
    }

    fn id() -> impl Strategy<Value = RecordId> {
        prop_oneof![".{0,6}", "[\0a\u{ff}]{0,4}"].prop_map(|text| RecordId::system(&text))
    }

    proptest! {
        #[test]
        fn keys_decode_to_what_was_encoded(table in table(), id in id()) {
            for key in [Key::Format, Key::Table(table.as_str()), Key::record(&table, &id)] {
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
        fn any_bytes_decode_or_are_refused(bytes in proptest::collection::vec(0..4u8, 0..6)) {
            if let Some(key) = Key::decode(&bytes) {
                prop_assert_eq!(key.encode(), bytes);
            }
        }
    }
}
