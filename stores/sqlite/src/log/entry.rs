//! What a commit has changed, as bytes in the ring.
//!
//! A fixed part of [`FIXED`] bytes (length of the whole, checksum, number of the commit, author, how many names), then the names. Texts have
//! their length in front, and a table is named only where it is another one than that of the name before.

use synctable_core::store::{Author, Changed};
use synctable_core::{RecordId, TableName};

/// The bytes of an entry in front of its names.
const FIXED: usize = 32;
/// A record of the table that was named last.
const RECORD: u8 = 0;
/// A table, and a record of it.
const RECORD_OF: u8 = 1;
/// A whole table.
const TABLE: u8 = 2;
/// In front of the number of names: there is an author.
const AUTHORED: u32 = 1 << 31;

/// One commit in the ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) commit: u64,
    pub(crate) author: Option<Author>,
    pub(crate) changed: Vec<Changed>,
}

/// Appends an entry that is to lie at the offset `at` of the log `id`.
pub(crate) fn encode(
    out: &mut Vec<u8>,
    (id, at): (u64, u64),
    commit: u64,
    author: Option<Author>,
    changed: &[Changed],
) {
    let start = out.len();
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&commit.to_le_bytes());
    let number = author.map_or(0, Author::number);
    out.extend_from_slice(&number.to_le_bytes());
    let count = u32::try_from(changed.len()).unwrap_or(u32::MAX) & !AUTHORED;
    let flag = author.map_or(0, |_| AUTHORED);
    out.extend_from_slice(&(count | flag).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    let mut last: Option<&TableName> = None;
    for change in changed {
        let table = change.table();
        match change {
            Changed::Record { id, .. } if last == Some(table) => {
                out.push(RECORD);
                push(out, id.as_str());
            }
            Changed::Record { id, .. } => {
                out.push(RECORD_OF);
                push(out, table.as_str());
                push(out, id.as_str());
            }
            Changed::Table { .. } => {
                out.push(TABLE);
                push(out, table.as_str());
            }
        }
        last = Some(table);
    }
    // Whole words, so that sums are made of those alone.
    out.resize(start + (out.len() - start).next_multiple_of(8), 0);
    let length = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    if let Some(entry) = out.get_mut(start..) {
        put(entry, 0, &length.to_le_bytes());
        let sum = sum_of(id, at, entry);
        put(entry, 4, &sum.to_le_bytes());
    }
}

/// About how many bytes the entry of such a commit takes: never fewer.
pub(crate) fn length(changed: &[Changed]) -> usize {
    let names = changed.iter().map(|change| {
        let id = match change {
            Changed::Record { id, .. } => id.as_str().len() + 2,
            Changed::Table { .. } => 0,
        };
        change.table().as_str().len() + id + 3
    });
    FIXED + 8 + names.sum::<usize>()
}

/// The entries that follow each other from the offset `at` on; `None` where one of them is not as it was written.
pub(crate) fn decode(mut bytes: &[u8], (id, mut at): (u64, u64)) -> Option<Vec<Entry>> {
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        let length = u32::from_le_bytes(*bytes.first_chunk()?) as usize;
        if length < FIXED || !length.is_multiple_of(8) {
            return None;
        }
        let (entry, rest) = bytes.split_at_checked(length)?;
        entries.push(decode_one(entry, id, at)?);
        bytes = rest;
        at += length as u64;
    }
    Some(entries)
}

fn decode_one(entry: &[u8], id: u64, at: u64) -> Option<Entry> {
    let sum: [u8; 4] = *entry.get(4..)?.first_chunk()?;
    if u32::from_le_bytes(sum) != sum_of(id, at, entry) {
        return None;
    }
    let word = |from: usize| Some(u64::from_le_bytes(*entry.get(from..)?.first_chunk()?));
    let count = u32::from_le_bytes(*entry.get(24..)?.first_chunk()?);
    let author = (count & AUTHORED != 0).then_some(Author::from_number(word(16)?));
    let mut names = entry.get(FIXED..)?;
    let mut table: Option<TableName> = None;
    let mut changed = Vec::new();
    for _ in 0..count & !AUTHORED {
        let (kind, rest) = names.split_first()?;
        names = rest;
        if *kind != RECORD {
            table = Some(TableName::stored(take(&mut names)?).ok()?);
        }
        let table = table.clone()?;
        changed.push(match *kind {
            RECORD | RECORD_OF => Changed::Record {
                table,
                id: RecordId::system(take(&mut names)?),
            },
            TABLE => Changed::Table { table },
            _ => return None,
        });
    }
    Some(Entry {
        commit: word(8)?,
        author,
        changed,
    })
}

fn push(out: &mut Vec<u8>, text: &str) {
    // Names are far shorter.
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn take<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (text, rest) = rest.split_at_checked(u16::from_le_bytes(*length).into())?;
    *bytes = rest;
    std::str::from_utf8(text).ok()
}

fn put(bytes: &mut [u8], at: usize, part: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + part.len()) {
        place.copy_from_slice(part);
    }
}

/// The sum of an entry: of its length and all behind the sum, at its place in its log.
fn sum_of(id: u64, at: u64, entry: &[u8]) -> u32 {
    let length = entry.first_chunk().map_or(0, |it| u32::from_le_bytes(*it));
    let seed = sum(id, &[at, length.into()]);
    let rest = entry.get(8..).unwrap_or_default();
    let words = rest
        .as_chunks::<8>()
        .0
        .iter()
        .map(|it| u64::from_le_bytes(*it));
    let sum = words.fold(seed, mix);
    let [a, b, c, d, ..] = (sum ^ (sum >> 32)).to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// A sum of some words. It finds what was half written, not what somebody made on purpose.
pub(crate) fn sum(seed: u64, words: &[u64]) -> u64 {
    let sum = words.iter().copied().fold(seed, mix);
    sum ^ (sum >> 29)
}

fn mix(sum: u64, word: u64) -> u64 {
    let mixed = (sum ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed.rotate_left(29) ^ sum.rotate_left(17)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str) -> TableName {
        TableName::new(name).unwrap()
    }

    fn record(name: &str, id: &str) -> Changed {
        Changed::Record {
            table: table(name),
            id: RecordId::system(id),
        }
    }

    fn some() -> Vec<Entry> {
        let whole = Changed::Table { table: table("b") };
        let entry = |commit, author: Option<u64>, changed| Entry {
            commit,
            author: author.map(Author::from_number),
            changed,
        };
        vec![
            entry(
                7,
                Some(0),
                vec![record("a", "1"), record("a", "2"), record("b", "ö\0")],
            ),
            entry(8, None, vec![whole, record("b", "")]),
            entry(9, Some(u64::MAX), vec![record("c", &"x".repeat(3000))]),
        ]
    }

    fn bytes(id: u64, at: u64, entries: &[Entry]) -> Vec<u8> {
        let mut out = Vec::new();
        for it in entries {
            let before = out.len();
            let place = (id, at + before as u64);
            encode(&mut out, place, it.commit, it.author, &it.changed);
            assert!(out.len() - before <= length(&it.changed));
        }
        out
    }

    #[test]
    fn entries_come_back_as_they_were_written() {
        let bytes = bytes(5, 96, &some());
        assert_eq!(decode(&bytes, (5, 96)), Some(some()));
    }

    #[test]
    fn a_byte_that_changed_or_is_missing_is_found_and_another_place_and_log_too() {
        let whole = bytes(5, 96, &some());
        for at in 0..whole.len() {
            let mut other = whole.clone();
            other[at] ^= 1;
            assert_eq!(decode(&other, (5, 96)), None, "byte {at}");
        }
        let ends: Vec<usize> = (1..=2)
            .map(|it| bytes(5, 96, &some()[..it]).len())
            .collect();
        for cut in 1..whole.len() {
            let decoded = decode(&whole[..cut], (5, 96));
            assert_eq!(decoded.is_some(), ends.contains(&cut), "cut at {cut}");
        }
        assert_eq!(decode(&whole, (6, 96)), None);
        assert_eq!(decode(&whole, (5, 104)), None);
    }
}
