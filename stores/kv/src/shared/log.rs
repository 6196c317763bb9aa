//! The change log in the engine: what a [`ChangeLog`](synctable_core::store::ChangeLog) is in memory, and with the same answers.

use synctable_core::TableName;
use synctable_core::store::{
    Author, Changed, Changes, KNOWN_CHANGES, LastChange, Position, StoreError,
};

use super::names::{self, damaged};
use crate::key::Key;
use crate::read::{KvRead, KvReadExt, KvWrite};

const HEAD: u8 = 1;
const LAST: u8 = 2;
const COMMIT: u8 = 3;
/// The most names that one commit has in the log. Where it changed more, the log names its tables.
const NAMES: usize = 10_000;

/// Which commits the log has, and how many names they hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    id: u64,
    first: u64,
    last: u64,
    names: u64,
}

impl Head {
    /// That of a store in which nothing was noted yet.
    const NONE: Self = Self {
        id: 0,
        first: 1,
        last: 0,
        names: 0,
    };

    fn read(read: &dyn KvRead) -> Result<Option<Self>, StoreError> {
        let Some(bytes) = read.copy_of(&head_key())? else {
            return Ok(None);
        };
        let [id, first, last, names] = numbers(&bytes)?;
        Ok(Some(Self {
            id,
            first,
            last,
            names,
        }))
    }

    fn write(self, write: &mut dyn KvWrite) -> Result<(), StoreError> {
        let bytes = bytes([self.id, self.first, self.last, self.names]);
        write.put(&head_key(), &bytes)
    }

    fn position(self) -> Position {
        Position::new(self.id, self.last, 0)
    }
}

/// Notes what a transaction changes, before it is committed. Returns the position behind it. No entry is longer than `longest`.
pub(crate) fn append(
    write: &mut dyn KvWrite,
    longest: usize,
    author: Option<Author>,
    changed: &[Changed],
) -> Result<Position, StoreError> {
    let mut head = Head::read(write)?.unwrap_or_else(|| Head {
        id: Author::random().number(),
        ..Head::NONE
    });
    if changed.is_empty() {
        head.write(write)?;
        return Ok(head.position());
    }
    head.last += 1;
    for table in tables_of(changed) {
        let last = match last_change(write, table)? {
            Some(mut last) => {
                last.changed(author, head.last);
                last
            }
            None => LastChange::new(author, head.last),
        };
        write_last_change(write, table, last)?;
    }
    let whole = (changed.len() > NAMES).then(|| Changed::tables_of(changed));
    let changed = whole.as_deref().unwrap_or(changed);
    for (part, chunk) in names::encode(changed, longest).iter().enumerate() {
        write.put(&commit_key(head.last, part), chunk)?;
    }
    head.names += changed.len() as u64;
    while head.first < head.last {
        let oldest = of_commit(write, head.first)?.len() as u64;
        if head.names.saturating_sub(oldest) < KNOWN_CHANGES as u64 {
            break;
        }
        let (start, end) = (commit_key(head.first, 0), commit_key(head.first + 1, 0));
        write.delete_range(&start..&end)?;
        head.names = head.names.saturating_sub(oldest);
        head.first += 1;
    }
    head.write(write)?;
    Ok(head.position())
}

/// The place behind everything that this moment shows.
pub(crate) fn position(read: &dyn KvRead) -> Result<Position, StoreError> {
    Ok(Head::read(read)?.unwrap_or(Head::NONE).position())
}

/// What was changed since a position, at most `limit` names, but at least one.
pub(crate) fn since(
    read: &dyn KvRead,
    since: Position,
    limit: usize,
) -> Result<Changes, StoreError> {
    let head = Head::read(read)?.unwrap_or(Head::NONE);
    let now = head.position();
    let is_known = since <= now && since.commit() + 1 >= head.first;
    if !is_known {
        return Ok(Changes::Unknown { now });
    }
    let (mut changed, mut next) = (Vec::new(), since);
    while next != now {
        let names = of_commit(read, next.commit() + 1)?;
        let room = limit.max(1) - changed.len();
        let from = usize::try_from(next.place()).unwrap_or(usize::MAX);
        let rest = names.get(from..).unwrap_or_default();
        if room < rest.len() {
            changed.extend_from_slice(rest.get(..room).unwrap_or_default());
            // A commit has no more names than fit.
            let place = u32::try_from(from + room).unwrap_or(u32::MAX);
            next = Position::new(now.log(), next.commit(), place);
            break;
        }
        changed.extend_from_slice(rest);
        next = Position::new(now.log(), next.commit() + 1, 0);
    }
    let more = next != now;
    Ok(Changes::Known {
        changed,
        next,
        more,
    })
}

/// Whether nobody but `author` has changed a table since a position; false where that is not known.
pub(crate) fn is_unchanged(
    read: &dyn KvRead,
    table: &TableName,
    since: Position,
    author: Option<Author>,
) -> Result<bool, StoreError> {
    let last = last_change(read, table)?.map_or(0, |last| last.but_by(author));
    Ok(since <= position(read)? && last <= since.commit())
}

/// Each table once. Most commits change one table, or one after the other.
fn tables_of(changed: &[Changed]) -> Vec<&TableName> {
    let mut tables: Vec<&TableName> = changed.iter().map(Changed::table).collect();
    tables.dedup();
    // Two in a row differ.
    if tables.len() > 2 {
        tables.sort_unstable();
        tables.dedup();
    }
    tables
}

fn last_change(read: &dyn KvRead, table: &TableName) -> Result<Option<LastChange>, StoreError> {
    let Some(bytes) = read.copy_of(&last_key(table))? else {
        return Ok(None);
    };
    let [has_author, author, commit, others] = numbers(&bytes)?;
    Ok(Some(LastChange {
        author: (has_author == 1).then(|| Author::from_number(author)),
        commit,
        others,
    }))
}

fn write_last_change(
    write: &mut dyn KvWrite,
    table: &TableName,
    last: LastChange,
) -> Result<(), StoreError> {
    let has_author = u64::from(last.author.is_some());
    let author = last.author.map_or(0, Author::number);
    let bytes = bytes([has_author, author, last.commit, last.others]);
    write.put(&last_key(table), &bytes)
}

/// The names of one commit.
fn of_commit(read: &dyn KvRead, commit: u64) -> Result<Vec<Changed>, StoreError> {
    let (start, end) = (commit_key(commit, 0), commit_key(commit + 1, 0));
    let parts = read.scan(&start..&end, usize::MAX)?;
    if parts.is_empty() {
        return Err(damaged());
    }
    let mut changed = Vec::new();
    for (_, part) in parts {
        changed.append(&mut names::decode(&part)?);
    }
    Ok(changed)
}

fn head_key() -> Vec<u8> {
    Key::Notes(&[HEAD]).encode()
}

fn last_key(table: &TableName) -> Vec<u8> {
    Key::Notes(&[&[LAST], table.as_str().as_bytes()].concat()).encode()
}

fn commit_key(commit: u64, part: usize) -> Vec<u8> {
    let part = u32::try_from(part).unwrap_or(u32::MAX);
    let bytes = [&[COMMIT][..], &commit.to_be_bytes(), &part.to_be_bytes()];
    Key::Notes(&bytes.concat()).encode()
}

fn bytes(numbers: [u64; 4]) -> Vec<u8> {
    numbers.map(u64::to_be_bytes).concat()
}

fn numbers(bytes: &[u8]) -> Result<[u64; 4], StoreError> {
    let (chunks, rest) = bytes.as_chunks();
    let chunks: &[[u8; 8]; 4] = chunks.try_into().map_err(|_| damaged())?;
    if rest.is_empty() {
        Ok(chunks.map(u64::from_be_bytes))
    } else {
        Err(damaged())
    }
}
